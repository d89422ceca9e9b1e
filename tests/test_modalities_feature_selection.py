"""Selection keeps the features that deviate most from constant fractions, or that are seen most often."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import xlogy

from unisono.modalities.normalise import best, multinomial_deviance, times_seen


def counts_of(seed=0):
    return np.random.default_rng(seed).poisson(np.linspace(0.2, 3.0, 11), size=(7, 11))


def poisson_deviance(x):
    """Half the likelihood ratio of a saturated Poisson model to one of constant fractions, twice, with every term."""
    mean = x.sum(axis=1, keepdims=True) * x.sum(axis=0) / x.sum()
    return 2 * (xlogy(x, x) - xlogy(x, mean) - (x - mean)).sum(axis=0)


def test_deviance_equals_the_dense_poisson_deviance_with_all_its_terms():
    x = counts_of()
    np.testing.assert_allclose(multinomial_deviance(sparse.csr_matrix(x)), poisson_deviance(x), rtol=1e-10)


def test_a_gene_with_the_same_fraction_in_every_cell_has_no_deviance_and_one_that_switches_has():
    total = np.array([3, 5, 7, 11, 13, 17, 19])
    steady = 2 * total
    switching = np.where(np.arange(7) < 3, total, 0)
    x = np.stack([steady, switching, 4 * total - switching], axis=1)
    steady, switching, _ = multinomial_deviance(sparse.csr_matrix(x))
    assert steady == pytest.approx(0.0, abs=1e-9)
    assert switching > 5.0


def test_deviance_ignores_stored_zeros():
    x = sparse.csr_matrix(counts_of())
    with_zeros = x.copy()
    with_zeros.data[::4] = 0
    without = with_zeros.copy()
    without.eliminate_zeros()
    np.testing.assert_allclose(multinomial_deviance(with_zeros), multinomial_deviance(without))
    np.testing.assert_array_equal(times_seen(with_zeros), times_seen(without))


def test_times_seen_counts_cells_and_not_counts():
    x = counts_of()
    np.testing.assert_array_equal(times_seen(sparse.csr_matrix(x)), (x > 0).sum(axis=0))


def test_the_best_stand_in_their_original_order_and_ties_go_to_the_earlier():
    score = np.array([2.0, 9.0, 4.0, 0.0, 4.0, 7.0, 4.0])
    assert best(score, 4).tolist() == [1, 2, 4, 5]
    assert best(score, 1).tolist() == [1]


def test_a_feature_without_score_is_never_selected():
    assert best(np.array([0.0, 3.0, 0.0, 1.0]), 10).tolist() == [1, 3]
