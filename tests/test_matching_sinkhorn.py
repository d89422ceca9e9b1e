"""The posterior has the marginals it promises and equals a plain dense Sinkhorn."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp

from unisono.matching import nearest, posterior


def dense_reference(scores, beta, n_iter=1200):
    """Partial-matching Sinkhorn in log domain on a dense matrix with slack row and column, float64."""
    n_left, n_right = scores.shape
    log_kernel = beta * scores
    rows, columns = np.ones(n_left), np.ones(n_right)
    if n_left > n_right:
        log_kernel, columns = np.hstack([log_kernel, np.zeros((n_left, 1))]), np.append(columns, n_left - n_right)
    if n_right > n_left:
        log_kernel, rows = np.vstack([log_kernel, np.zeros((1, n_right))]), np.append(rows, n_right - n_left)
    g = np.zeros(len(columns))
    for _ in range(n_iter):
        f = np.log(rows) - logsumexp(log_kernel + g, axis=1)
        g = np.log(columns) - logsumexp(log_kernel + f[:, None], axis=0)
    f = np.log(rows) - logsumexp(log_kernel + g, axis=1)
    joint = np.exp(log_kernel + f[:, None] + g)[:n_left]
    partner = joint[:, :n_right]
    return partner / partner.sum(axis=1, keepdims=True), 1 - partner.sum(axis=1)


def scores_of(n_left, n_right, seed=0):
    return np.random.default_rng(seed).normal(size=(n_left, n_right))


@pytest.mark.parametrize(("n_left", "n_right"), [(13, 13), (17, 11), (11, 17)])
@pytest.mark.parametrize("beta", [0.3, 4.0])
def test_posterior_equals_dense_sinkhorn(n_left, n_right, beta):
    scores = scores_of(n_left, n_right)
    found = posterior(sparse.csr_matrix(scores), beta, n_iter=20_000, tolerance=1e-13)
    wanted, p_unmatched = dense_reference(scores, beta)
    np.testing.assert_allclose(found.posterior.toarray(), wanted, atol=1e-9)
    np.testing.assert_allclose(found.p_unmatched, p_unmatched, atol=1e-9)


def test_rows_and_columns_sum_to_one_for_equal_sizes():
    found = posterior(sparse.csr_matrix(scores_of(19, 19)), 2.0, n_iter=5000, tolerance=1e-12)
    np.testing.assert_allclose(found.posterior.sum(axis=0), 1.0, atol=1e-9)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1.0, atol=1e-12)
    assert (found.p_unmatched == 0).all()


def test_surplus_of_left_cells_is_the_expected_number_without_partner():
    found = posterior(sparse.csr_matrix(scores_of(23, 14)), 1.5, n_iter=5000, tolerance=1e-12)
    assert found.p_unmatched.sum() == pytest.approx(9, abs=1e-8)
    joint = found.posterior.multiply(1 - found.p_unmatched[:, None])
    np.testing.assert_allclose(joint.sum(axis=0), 1.0, atol=1e-8)


def test_surplus_of_right_cells_leaves_no_left_cell_unmatched_and_no_column_above_one():
    found = posterior(sparse.csr_matrix(scores_of(14, 23)), 1.5, n_iter=5000, tolerance=1e-12)
    assert (found.p_unmatched == 0).all()
    assert found.posterior.sum(axis=0).max() < 1


def test_swapping_sides_transposes():
    scores = scores_of(16, 16)
    one = posterior(sparse.csr_matrix(scores), 3.0, n_iter=5000, tolerance=1e-12).posterior.toarray()
    other = posterior(sparse.csr_matrix(scores.T), 3.0, n_iter=5000, tolerance=1e-12).posterior.toarray()
    np.testing.assert_allclose(one, other.T, atol=1e-8)
    assert np.abs(one - other).max() > 0.1


def test_a_constant_for_a_row_or_column_changes_nothing_for_equal_sizes():
    scores, rng = scores_of(12, 12), np.random.default_rng(3)
    moved = scores + rng.normal(size=(12, 1)) + rng.normal(size=12)
    one, other = (posterior(sparse.csr_matrix(s), 2.0, n_iter=5000, tolerance=1e-12) for s in (scores, moved))
    np.testing.assert_allclose(one.posterior.toarray(), other.posterior.toarray(), atol=1e-8)


def test_one_score_for_all_means_no_preference():
    found = posterior(sparse.csr_matrix(np.full((6, 4), 2.0)), 5.0)
    np.testing.assert_allclose(found.posterior.toarray(), 0.25)
    np.testing.assert_allclose(found.p_unmatched, 1 / 3, atol=1e-4)


def test_graph_without_a_perfect_matching_still_has_rows_that_sum_to_one():
    scores = sparse.csr_matrix(np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0], [1.0, 1.0, 3.0]]))
    scores.eliminate_zeros()
    found = posterior(scores, 2.0)
    assert np.isfinite(found.posterior.data).all()
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1.0)


@pytest.mark.parametrize(("n_left", "n_right"), [(30, 30), (34, 29), (29, 34)])
def test_extreme_temperatures_stay_finite(n_left, n_right):
    rng = np.random.default_rng(5)
    left = rng.normal(size=(n_left, 3)).astype(np.float32)
    right = rng.normal(size=(n_right, 3)).astype(np.float32)
    for beta in (1e-6, 1e4):
        found = posterior(nearest(left, right, 4), beta)
        assert np.isfinite(found.posterior.data).all()
        assert np.isfinite(found.p_unmatched).all()


def test_a_row_without_candidates_is_refused():
    with pytest.raises(ValueError, match="1 of 2 left cells have no candidate"):
        posterior(sparse.csr_matrix(np.array([[1.0, 2.0], [0.0, 0.0]])), 1.0)


@pytest.mark.parametrize("beta", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_that_is_no_positive_number_is_refused(beta):
    with pytest.raises(ValueError, match="must be positive and finite"):
        posterior(sparse.csr_matrix(np.ones((2, 2))), beta)
