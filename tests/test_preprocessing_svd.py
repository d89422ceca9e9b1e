"""The truncated SVD of a sparse matrix spans what numpy and scikit-learn find on the dense one."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from unisono.preprocessing.svd import truncated_svd


def matrix_of(seed=0, n_rows=61, n_columns=43, rank=4):
    """A sparse matrix with `rank` strong directions and a large mean."""
    rng = np.random.default_rng(seed)
    strong = rng.normal(size=(n_rows, rank)) * (1.6 ** -np.arange(rank)) @ rng.normal(size=(rank, n_columns))
    noisy = 3.0 + strong + 0.05 * rng.normal(size=(n_rows, n_columns))
    return sparse.csr_matrix(noisy * (rng.random(noisy.shape) < 0.97))


def signed(vectors):
    """Columns turned so that the largest entry is positive."""
    return vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])


@pytest.mark.parametrize("seed", [0, 1])
def test_vectors_equal_those_of_numpy_on_the_dense_centred_matrix(seed):
    matrix = matrix_of(seed)
    centre = np.asarray(matrix.mean(axis=0)).ravel()
    found = truncated_svd(matrix, centre, 3, np.random.default_rng(0))
    wanted = np.linalg.svd(matrix.toarray() - centre, full_matrices=False)[2][:3].T
    np.testing.assert_allclose(found, signed(wanted), atol=2e-3)


def test_vectors_equal_those_of_scikit_learn_without_centring():
    matrix = matrix_of()
    found = truncated_svd(matrix, np.zeros(43), 3, np.random.default_rng(0))
    wanted = TruncatedSVD(3, algorithm="arpack", random_state=0).fit(matrix).components_.T
    np.testing.assert_allclose(found, signed(wanted), atol=2e-3)


def test_the_centre_changes_the_vectors():
    matrix = matrix_of()
    centred = truncated_svd(matrix, np.asarray(matrix.mean(axis=0)).ravel(), 1, np.random.default_rng(0))
    plain = truncated_svd(matrix, np.zeros(43), 1, np.random.default_rng(0))
    assert abs(float(centred[:, 0] @ plain[:, 0])) < 0.9


def test_columns_are_orthonormal_and_the_largest_entry_of_each_is_positive():
    found = truncated_svd(matrix_of(), np.zeros(43), 5, np.random.default_rng(0))
    assert found.shape == (43, 5)
    np.testing.assert_allclose(found.T @ found, np.eye(5), atol=1e-5)
    assert (found[np.abs(found).argmax(axis=0), np.arange(5)] > 0).all()


def test_another_draw_gives_the_same_vectors_with_the_same_sign():
    matrix = matrix_of()
    one, other = (truncated_svd(matrix, np.zeros(43), 4, np.random.default_rng(s)) for s in (1, 2))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_captured_variance_is_within_a_tenth_of_a_percent_of_the_best_when_nothing_stands_out():
    dense = np.random.default_rng(3).normal(size=(89, 53))
    found = truncated_svd(sparse.csr_matrix(dense), np.zeros(53), 7, np.random.default_rng(0)).astype(float)
    captured = ((dense @ found) ** 2).sum()
    best = (np.linalg.svd(dense, compute_uv=False)[:7] ** 2).sum()
    assert 0.999 * best < captured <= best * (1 + 1e-6)


def test_a_rank_above_the_smaller_side_is_refused_and_the_full_rank_is_not():
    matrix = matrix_of(n_rows=7, n_columns=11)
    assert truncated_svd(matrix, np.zeros(11), 7, np.random.default_rng(0)).shape == (11, 7)
    with pytest.raises(ValueError, match="rank 8 of a matrix with 7 rows and 11 columns"):
        truncated_svd(matrix, np.zeros(11), 8, np.random.default_rng(0))
