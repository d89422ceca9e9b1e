"""Matching vectors: identity, equivariance, groups, rules."""

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from unisono.matching import RULES, MatchingProblem, Similarity, apply_rule, match_cells, match_posterior, sinkhorn
from unisono.messages import BadInput
from unisono.types import MatchPosterior


def unit(n, dim, seed):
    values = np.random.default_rng(seed).normal(size=(n, dim))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def noisy_pair(n, dim=6, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, dim))
    return tuple((z + noise * rng.normal(size=z.shape)).astype(np.float32) for _ in range(2))


def random_posterior(n_left, n_right, seed=0):
    scores = np.random.default_rng(seed).normal(size=(n_left, n_right))
    return scores, sinkhorn(MatchingProblem.one_to_one(2.0 * scores), max_steps=20_000, tolerance=1e-12)


@pytest.mark.parametrize("rule", ["soft", "argmax", "one-to-one"])
def test_a_set_matched_with_itself_is_the_identity(rule):
    left = unit(61, 16, 0)
    matched = match_cells(Similarity(left, left, 200.0), rule=rule).probabilities.toarray()
    np.testing.assert_allclose(matched, np.eye(61), atol=1e-6)


@pytest.mark.parametrize("rule", ["soft", "argmax", "one-to-one"])
def test_shuffled_right_cells_shuffle_columns_and_nothing_else(rule):
    left, right = noisy_pair(47)
    right = right[:41]
    order = np.random.default_rng(1).permutation(41)
    groups = np.array(["a", "b", "a"])[np.arange(47) % 3], np.array(["b", "a"])[np.arange(41) % 2]
    one = match_cells(Similarity(left, right, 2.0), rule=rule, within=groups)
    other = match_cells(Similarity(left, right[order], 2.0), rule=rule, within=(groups[0], groups[1][order]))
    np.testing.assert_allclose(one.probabilities.toarray()[:, order], other.probabilities.toarray(), atol=1e-10)
    np.testing.assert_allclose(one.p_unmatched, other.p_unmatched, atol=1e-10)
    assert np.abs(one.probabilities.toarray() - other.probabilities.toarray()).max() > 0.1


def test_shuffled_left_cells_shuffle_rows_and_nothing_else():
    left, right = noisy_pair(47)
    order = np.random.default_rng(1).permutation(47)
    one, other = match_cells(Similarity(left, right[:41], 2.0)), match_cells(Similarity(left[order], right[:41], 2.0))
    np.testing.assert_allclose(one.probabilities.toarray()[order], other.probabilities.toarray(), atol=1e-10)
    np.testing.assert_allclose(one.p_unmatched[order], other.p_unmatched, atol=1e-10)


@pytest.mark.parametrize("rule", ["soft", "argmax", "one-to-one"])
def test_rows_sum_to_one_under_every_rule(rule):
    left, right = noisy_pair(37)
    found = match_cells(Similarity(left, right[:29], 1.0), rule=rule, k=5)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-9)


def test_no_cell_is_matched_out_of_its_group():
    left, right = noisy_pair(60)
    rng = np.random.default_rng(4)
    left_group, right_group = rng.choice(["a", "b", "c"], 60), rng.choice(["a", "b", "c", "d"], 60)
    found = match_cells(Similarity(left, right, 1.0), within=(left_group, right_group)).probabilities.tocoo()
    assert (left_group[found.row] == right_group[found.col]).all()
    free = match_cells(Similarity(left, right, 1.0)).probabilities.tocoo()
    assert not (left_group[free.row] == right_group[free.col]).all()


def test_each_group_is_matched_as_if_alone():
    left, right = noisy_pair(40)
    group = np.array(["b", "a", "c", "a"])[np.arange(40) % 4]
    right_group = np.array(["c", "b", "b", "a"])[np.arange(40) % 4]
    together = match_cells(Similarity(left, right, 1.0), within=(group, right_group))
    for name in "abc":
        alone = match_cells(Similarity(left[group == name], right[right_group == name], 1.0))
        block = together.probabilities.toarray()[np.ix_(group == name, right_group == name)]
        np.testing.assert_allclose(block, alone.probabilities.toarray(), atol=1e-12)
        np.testing.assert_allclose(together.p_unmatched[group == name], alone.p_unmatched, atol=1e-12)


def test_k_bounds_the_candidates():
    left, right = noisy_pair(50)
    assert match_cells(Similarity(left, right, 1.0), k=3).probabilities.nnz <= 2 * 3 * 50
    assert match_cells(Similarity(left, right, 1.0), max_partners=7).probabilities.nnz == 7 * 50


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("none", ["lonely", ""])
def test_left_cells_without_a_right_cell_in_their_group_are_unmatched_and_the_others_as_without_them(rule, none):
    left, right = noisy_pair(6)
    groups = np.array(["a", "b", none, "a", "b", none]), np.array(["a", "b", "a", "b", "a", none and "c"])
    found = match_cells(Similarity(left, right, 1.0), rule=rule, within=groups)
    alone, others = np.array([2, 5]), np.array([0, 1, 3, 4])
    assert found.p_unmatched[alone].tolist() == [1.0, 1.0]
    assert found.confidence[alone].tolist() == [0.0, 0.0]
    assert found.probabilities[alone].nnz == 0
    rest = match_cells(Similarity(left[others], right, 1.0), rule=rule, within=(groups[0][others], groups[1]))
    np.testing.assert_allclose(found.probabilities[others].toarray(), rest.probabilities.toarray(), atol=1e-12)
    np.testing.assert_allclose(found.p_unmatched[others], rest.p_unmatched, atol=1e-12)


def test_groups_of_which_none_is_on_both_sides_are_refused():
    left, right = noisy_pair(4)
    with pytest.raises(BadInput, match=r"E057 .*no group of the left cells is on the right \(first: 'd1 ', 'd1'\)"):
        match_cells(Similarity(left, right, 1.0), within=(np.array(["d1 "] * 4), np.array(["d1"] * 4)))


def test_an_empty_right_side_is_refused():
    left, right = noisy_pair(6)
    with pytest.raises(BadInput, match="E057"):
        match_cells(Similarity(left, right[:0], 1.0))


def test_labels_of_another_length_are_refused():
    left, right = noisy_pair(6)
    with pytest.raises(ValueError, match="5 and 6 labels for 6 left and 6 right cells"):
        match_cells(Similarity(left, right, 1.0), within=(np.array(list("aabbc")), np.array(list("aabbcc"))))


def test_no_left_cells_give_no_rows():
    left, right = noisy_pair(6)
    assert match_cells(Similarity(left[:0], right, 1.0)).probabilities.shape == (0, 6)


def test_soft_keeps_the_top_entries_in_proportion():
    _, match_posterior = random_posterior(9, 14)
    dense, kept = (
        match_posterior.probabilities.toarray(),
        apply_rule(match_posterior, "soft", max_partners=4).probabilities,
    )
    assert (np.diff(kept.indptr) == 4).all()
    for before, after in zip(dense, kept.toarray(), strict=True):
        best = np.argsort(-before)[:4]
        np.testing.assert_allclose(after[best], before[best] / before[best].sum())


def test_soft_leaves_short_rows_alone():
    _, match_posterior = random_posterior(9, 14)
    np.testing.assert_allclose(
        apply_rule(match_posterior, "soft").probabilities.toarray(), match_posterior.probabilities.toarray()
    )


def test_argmax_gives_one_to_the_largest_of_each_row():
    _, match_posterior = random_posterior(14, 9)
    found = apply_rule(match_posterior, "argmax")
    assert (found.probabilities.data == 1).all()
    assert (found.probabilities.indices == match_posterior.probabilities.toarray().argmax(axis=1)).all()
    assert (found.p_unmatched == match_posterior.p_unmatched).all()


@pytest.mark.parametrize(("n_left", "n_right"), [(12, 12), (9, 15)])
def test_one_to_one_equals_dense_assignment(n_left, n_right):
    scores, match_posterior = random_posterior(n_left, n_right)
    found = apply_rule(match_posterior, "one-to-one")
    rows, columns = linear_sum_assignment(-np.log(match_posterior.probabilities.toarray()))
    assert (found.probabilities.indices[rows] == columns).all()
    assert (found.p_unmatched == 0).all()
    assert len(np.unique(found.probabilities.indices)) == n_left
    if n_left == n_right:
        assert (linear_sum_assignment(-scores)[1] == columns).all()


@pytest.mark.parametrize("seed", range(8))
def test_one_to_one_leaves_over_the_left_cells_that_dense_assignment_of_scores_leaves_over(seed):
    scores, match_posterior = random_posterior(15, 9, seed)
    found = apply_rule(match_posterior, "one-to-one")
    rows, columns = linear_sum_assignment(-scores)
    assert (found.probabilities.indices[rows] == columns).all()
    left_over = np.setdiff1d(np.arange(15), rows)
    assert (np.flatnonzero(found.p_unmatched) == left_over).all()
    assert (
        found.probabilities.indices[left_over] == match_posterior.probabilities.toarray()[left_over].argmax(axis=1)
    ).all()


def test_one_to_one_matches_all_it_can_where_candidates_are_few():
    graph = sparse.csr_matrix(np.array([[0.6, 0.4, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    found = apply_rule(MatchPosterior(graph, np.zeros(3)), "one-to-one")
    assert found.p_unmatched.sum() == 1
    assert found.probabilities.indices[0] == 1
    assert found.p_unmatched[0] == 0


def test_an_unknown_rule_is_refused():
    _, match_posterior = random_posterior(3, 3)
    with pytest.raises(ValueError, match="rule 'hard' unknown, expected one of soft, argmax, one-to-one"):
        apply_rule(match_posterior, "hard")


def test_few_candidates_change_little_where_partners_are_clear():
    left = unit(300, 12, 0)
    right = left + 0.3 * unit(300, 12, 1)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    similarity = Similarity(left, right, 18.0)
    full, few = (match_posterior(similarity, k=k).probabilities.toarray() for k in (300, 30))
    assert 0.2 < full.diagonal().min() < 0.9 < full.diagonal().max()
    assert np.abs(full - few).max() < 0.01
