"""Thinning is binomial, at each cell's own rate, and draws from its generator alone."""

import numpy as np
import pytest
from scipy import sparse

from unisono.preprocessing.thinning import thin

N_DRAWS = 3000


def counts_of(seed=0, n_cells=7, n_features=11):
    return sparse.csr_matrix(np.random.default_rng(seed).poisson(1.5, size=(n_cells, n_features)))


@pytest.fixture(scope="module")
def draws():
    counts = sparse.csr_matrix(np.array([[1, 0, 6, 2], [1, 13, 0, 1], [3, 1, 1, 0]]))
    rate = np.array([0.3, 0.8, 0.55])
    rng = np.random.default_rng(1)
    return counts.toarray(), rate, np.stack([thin(counts, rate, rng).toarray() for _ in range(N_DRAWS)])


def test_thinning_keeps_the_expectation(draws):
    counts, rate, found = draws
    mean = rate[:, None] * counts
    error = np.sqrt(mean * (1 - rate[:, None]) / N_DRAWS)
    assert (np.abs(found.mean(axis=0) - mean) <= 4.5 * error).all()


def test_thinned_counts_have_the_variance_of_the_binomial(draws):
    counts, rate, found = draws
    wanted = counts * (rate * (1 - rate))[:, None]
    np.testing.assert_allclose(found.var(axis=0), wanted, rtol=0.12)


def test_entries_of_a_cell_are_thinned_independently(draws):
    _, _, found = draws
    correlation = np.corrcoef(found[:, 1, [0, 1, 3]].T)
    assert np.abs(correlation - np.eye(3)).max() < 4.5 / np.sqrt(N_DRAWS)


def test_thinned_counts_are_integers_between_zero_and_the_count():
    counts = counts_of()
    found = thin(counts, np.full(7, 0.5), np.random.default_rng(2))
    assert found.dtype == counts.dtype
    assert (found.toarray() >= 0).all()
    assert (counts - found).toarray().min() >= 0
    assert found.sum() < counts.sum()


def test_rate_one_is_the_identity():
    counts = counts_of()
    found = thin(counts, np.ones(7), np.random.default_rng(3))
    np.testing.assert_array_equal(found.toarray(), counts.toarray())


def test_rate_zero_keeps_nothing():
    assert thin(counts_of(), np.zeros(7), np.random.default_rng(3)).sum() == 0


def test_each_cell_is_thinned_at_its_own_rate():
    counts = counts_of()
    rate = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    found = thin(counts, rate, np.random.default_rng(3)).toarray()
    np.testing.assert_array_equal(found, counts.toarray() * rate[:, None].astype(int))


def test_the_argument_is_left_unchanged():
    counts = counts_of()
    before = counts.copy()
    thin(counts, np.full(7, 0.4), np.random.default_rng(4))
    np.testing.assert_array_equal(counts.toarray(), before.toarray())


def test_the_draw_follows_the_generator_and_another_seed_gives_another():
    counts, rate = counts_of(), np.full(7, 0.5)
    one, same, other = (thin(counts, rate, np.random.default_rng(s)).toarray() for s in (5, 5, 6))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_second_draw_of_one_generator_is_another():
    rng = np.random.default_rng(7)
    counts, rate = counts_of(), np.full(7, 0.5)
    assert (thin(counts, rate, rng).toarray() != thin(counts, rate, rng).toarray()).any()
