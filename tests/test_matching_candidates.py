"""Candidates are the exact nearest cells, whatever the block size and the order of the cells."""

import numpy as np
import pytest
from scipy import sparse

from unisono.matching import candidates, nearest
from unisono.matching.candidates import most_similar


def vectors(n_left, n_right, dim=5, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n_left, dim)).astype(np.float32),
        rng.normal(size=(n_right, dim)).astype(np.float32),
    )


def reference_mask(left, right, k):
    scores = left.astype(np.float64) @ right.T
    mask = np.zeros(scores.shape, dtype=bool)
    for i, row in enumerate(scores):
        mask[i, np.argsort(-row)[:k]] = True
    for j, column in enumerate(scores.T):
        mask[np.argsort(-column)[:k], j] = True
    return mask


def stored(graph):
    mask = np.zeros(graph.shape, dtype=bool)
    mask[np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr)), graph.indices] = True
    return mask


@pytest.mark.parametrize(("n_left", "n_right", "k"), [(17, 23, 3), (23, 17, 3), (301, 713, 5), (713, 301, 5)])
def test_candidates_are_the_k_best_of_both_directions(n_left, n_right, k):
    left, right = vectors(n_left, n_right)
    graph = nearest(left, right, k)
    assert (stored(graph) == reference_mask(left, right, k)).all()
    np.testing.assert_allclose(graph.toarray()[stored(graph)], (left @ right.T)[stored(graph)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_candidates_are_exact_where_many_cells_are_one_and_the_same(share):
    """Thresholds of a sample are then reached by more cells than can be held."""
    left, right = vectors(800, 900, dim=4)
    for side in (left, right):
        side[: int(share * len(side))] = side[0]
    graph, scores = nearest(left, right, 9), left.astype(np.float64) @ right.T
    mask = stored(graph)
    for found, value in ((mask, scores), (mask.T, scores.T)):
        least = np.sort(value, axis=1)[:, -9]
        assert (found.sum(axis=1) >= 9).all()
        assert found[value > least[:, None] + 1e-5].all()
    if share == 0:
        assert (mask == reference_mask(left, right, 9)).all()


def test_the_largest_of_a_row_are_those_of_its_sorted_values():
    rng = np.random.default_rng(4)
    values = rng.integers(1, 6, size=(30, 40)) * (rng.random((30, 40)) < 0.6)
    graph = sparse.csr_matrix(values.astype(np.float64))
    for k in (1, 3, 50):
        chosen = candidates.largest_in_rows(graph, k)
        assert (chosen == (candidates.rank_in_row(graph) < k)).all()


def test_block_size_changes_no_bit():
    left, right = vectors(211, 307)
    whole = nearest(left, right, 7)
    parts = nearest(left, right, 7, block_entries=1000)
    assert (whole != parts).nnz == 0
    assert (whole.indptr == parts.indptr).all()


def test_shuffled_right_cells_shuffle_columns_and_change_no_bit():
    left, right = vectors(53, 71)
    order = np.random.default_rng(1).permutation(71)
    assert (nearest(left, right, 6)[:, order] != nearest(left, right[order], 6)).nnz == 0


def test_default_k_takes_all_of_a_small_side():
    left, right = vectors(7, 11)
    assert nearest(left, right).nnz == 77


def test_pairs_of_score_zero_stay_candidates():
    left, right = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)
    assert nearest(left, right).nnz == 9


def test_many_equal_scores_still_give_k_candidates_each():
    left, right = np.ones((90, 2), np.float32), np.ones((110, 2), np.float32)
    graph = nearest(left, right, 2)
    assert np.diff(graph.indptr).min() >= 2
    assert np.diff(graph.tocsc().indptr).min() >= 2


def test_rows_are_exact_where_the_sampled_columns_mislead():
    left = np.ones((3, 1), np.float32)
    right = np.random.default_rng(0).random((801, 1)).astype(np.float32)
    right[::8] += 2
    far = np.full((40, 1), 9.0, dtype=np.float32)
    graph = nearest(np.vstack([left, far]), right, 20)
    assert stored(graph)[:3, np.argsort(-right[:, 0])[:20]].all()


def test_cap_keeps_the_best_and_first_of_all_a_right_cells_last_edge():
    left = np.array([[1.0, 0.0], [2.0, 1.0]], dtype=np.float32)
    high = np.column_stack([np.linspace(1.0, 1.4, 5), np.zeros(5)])
    low = np.array([[0.1, -1.0], [0.2, -1.0]])
    right = np.vstack([high, low]).astype(np.float32)
    capped = stored(nearest(left, right, cap=3))
    assert np.flatnonzero(capped[0]).tolist() == [4, 5, 6]  # the best of the high ones, and both it alone is best for
    assert np.flatnonzero(capped[1]).tolist() == [2, 3, 4]  # best for five, which is more than the cap


def test_a_nan_is_refused_with_its_number_and_side():
    left, right = vectors(5, 6)
    right[2, 3] = np.nan
    with pytest.raises(ValueError, match="right: 1 of 30 values are not finite"):
        nearest(left, right)


def test_different_dimensions_are_refused():
    with pytest.raises(ValueError, match="left has 5 dimensions, right 4"):
        nearest(vectors(3, 4)[0], vectors(3, 4, dim=4)[1])


@pytest.mark.parametrize("block_entries", [1, 100, 2**20])
def test_the_most_similar_are_the_first_of_the_sorted_scores_in_blocks_of_any_size(block_entries):
    query, reference = vectors(13, 29)
    positions, scores = most_similar(query, reference, 6, block_entries=block_entries)
    exact = query.astype(np.float64) @ reference.T
    np.testing.assert_array_equal(positions, np.argsort(-exact, axis=1)[:, :6])
    np.testing.assert_allclose(scores, np.take_along_axis(exact, positions, axis=1), rtol=1e-5, atol=1e-6)
    assert scores.dtype == np.float32


def test_of_equal_references_the_first_is_named_first_and_no_more_are_found_than_there_are():
    query, reference = vectors(3, 5)
    reference[3] = reference[1]
    positions, scores = most_similar(query, reference, 9)
    assert positions.shape == scores.shape == (3, 5)
    assert [row.index(1) + 1 for row in positions.tolist()] == [row.index(3) for row in positions.tolist()]


def test_a_search_for_nothing_among_nothing_or_of_other_dimensions_is_refused():
    query, reference = vectors(3, 5)
    for arguments in ((query, reference, 0), (query, reference[:0], 2), (query, reference[:, 1:], 2)):
        with pytest.raises(ValueError, match="expected k of 1 or more, and references of the dimension"):
            most_similar(*arguments)
