"""Figures of matching against hand-computed values and other libraries, within groups, and their direction."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

from unisono.metrics import (
    accuracy,
    expected_calibration_error,
    foscttm,
    foscttm_of_scores,
    label_transfer_accuracy,
    label_transfer_probability,
    match_calibration_error,
    match_probability,
    one_to_one_accuracy,
    pair_areas,
    probability_of_partner,
    recall_at,
    within_groups,
)
from unisono.metrics import matching as room


def vectors(n=29, dim=4, noise=0.8, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, dim))
    return z, z + noise * rng.normal(size=z.shape)


def foscttm_by_loops(left, right):
    score, n = left @ right.T, len(left)
    shares = []
    for i in range(n):
        for others in (np.delete(score[i], i), np.delete(score[:, i], i)):
            shares.append(((others > score[i, i]).sum() + 0.5 * (others == score[i, i]).sum()) / (n - 1))
    return np.mean(shares)


def test_foscttm_equals_loops():
    left, right = vectors()
    assert 0.02 < foscttm(left, right) < 0.4
    assert foscttm(left, right) == pytest.approx(foscttm_by_loops(left, right))


def test_foscttm_does_not_depend_on_blocks(monkeypatch):
    left, right = vectors()
    whole = foscttm(left, right)
    monkeypatch.setattr(room, "_BLOCK_ENTRIES", 100)
    assert foscttm(left, right) == pytest.approx(whole)


def test_foscttm_is_zero_for_perfect_half_for_ties_and_one_for_the_worst():
    left = np.eye(7)
    assert foscttm(left, left) == 0
    assert foscttm(left, -left) == 1
    assert foscttm(left, np.ones((7, 7))) == 0.5


def test_foscttm_looks_both_ways():
    left = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    right = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    score = left @ right.T
    assert not np.allclose(score, score.T)
    ahead, back = np.mean([0, 0.25, 0.25]), np.mean([0, 0.5, 0])
    assert foscttm(left, right) == pytest.approx((ahead + back) / 2)


def test_foscttm_within_groups_is_the_mean_over_their_cells():
    left, right = vectors(30)
    group = np.array(["a"] * 11 + ["b"] * 18 + ["alone"])
    wanted = (11 * foscttm(left[:11], right[:11]) + 18 * foscttm(left[11:29], right[11:29])) / 29
    assert foscttm(left, right, group) == pytest.approx(wanted)
    shuffle = np.random.default_rng(0).permutation(30)
    assert foscttm(left[shuffle], right[shuffle], group[shuffle]) == pytest.approx(wanted)


def test_recall_counts_partners_among_the_k_best_and_has_a_direction():
    left, right = np.eye(3), np.array([[0.5, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    # scores, left by right: 0.5 1 0 / 0 2 0 / 0 3 1
    assert recall_at(left, right, (1, 2, 3)) == {1: pytest.approx(1 / 3), 2: 1, 3: 1}
    assert recall_at(right, left, (1, 2, 3)) == {1: pytest.approx(2 / 3), 2: 1, 3: 1}


def test_recall_at_n_is_one_and_within_groups_is_easier():
    left, right = vectors(40, noise=2.0)
    group = np.array(["a", "b"])[np.arange(40) % 2]
    assert recall_at(left, right, (40,)) == {40: 1}
    assert recall_at(left, right, (3,), group)[3] > recall_at(left, right, (3,))[3]


def test_recall_of_a_collapsed_embedding_is_not_perfect():
    same = np.ones((10, 2))
    assert recall_at(same, same, (1, 10)) == {1: 0, 10: 1}


def posterior_and_partner():
    posterior = np.array([[0.7, 0.3, 0.0], [0.6, 0.4, 0.0], [0.0, 0.5, 0.5], [0.2, 0.1, 0.7]])
    return sparse.csr_matrix(posterior), np.array([0, 1, 2, -1])


def test_match_probability_by_hand_leaves_out_cells_without_partner():
    posterior, partner = posterior_and_partner()
    np.testing.assert_allclose(probability_of_partner(posterior, partner), [0.7, 0.4, 0.5, np.nan])
    assert match_probability(posterior, partner) == pytest.approx(1.6 / 3)


def test_accuracy_by_hand_gives_a_tie_its_share():
    posterior, partner = posterior_and_partner()
    assert accuracy(posterior, partner) == pytest.approx((1 + 0 + 0.5) / 3)


def test_a_partner_outside_the_candidates_has_no_probability_and_is_not_found():
    posterior = sparse.csr_matrix(np.array([[1.0, 0.0]]))
    assert match_probability(posterior, np.array([1])) == 0
    assert accuracy(posterior, np.array([1])) == 0


def test_a_matrix_and_its_transpose_score_differently():
    posterior = sparse.csr_matrix(np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.0, 0.0, 1.0]]))
    partner = np.array([0, 2, 1])
    transposed = sparse.csr_matrix(posterior.T)
    assert match_probability(posterior, partner) == pytest.approx((0.9 + 0.1 + 0.0) / 3)
    assert accuracy(posterior, partner) == pytest.approx(1 / 3)
    one_way = np.array([1, 2, 0])
    assert match_probability(posterior, one_way) == pytest.approx((0.1 + 0.1 + 0.0) / 3)
    assert match_probability(transposed, one_way) == pytest.approx((0.8 + 0.0 + 0.0) / 3)


def test_a_partner_that_is_no_column_is_refused():
    with pytest.raises(ValueError, match="1 columns up to 2"):
        match_probability(sparse.csr_matrix(np.array([[1.0, 0.0]])), np.array([2]))


def test_recall_is_given_for_one_five_and_ten_unless_told():
    assert list(recall_at(*vectors())) == [1, 5, 10]


GROUPS = (np.array(["a", "b", "a", "b"]), np.array(["a", "b", "a"]))


def test_within_groups_other_entries_go_and_rows_sum_to_one_again():
    posterior, _ = posterior_and_partner()
    wanted = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 1.0, 0]]
    np.testing.assert_allclose(within_groups(posterior, GROUPS).toarray(), wanted)
    assert within_groups(posterior, None) is posterior
    alone = within_groups(posterior, (np.array(["c", "b", "a", "b"]), GROUPS[1]))
    np.testing.assert_allclose(alone.toarray(), [[0, 0, 0], *wanted[1:]])


def test_within_groups_keeps_the_odds_of_what_is_left():
    posterior = sparse.csr_matrix(np.array([[0.2, 0.5, 0.3]]))
    found = within_groups(posterior, (np.array(["a"]), GROUPS[1]))
    np.testing.assert_allclose(found.toarray(), [[0.4, 0.0, 0.6]])


def test_figures_within_groups_are_those_of_the_posterior_within_groups():
    posterior, partner = posterior_and_partner()
    assert match_probability(posterior, partner, GROUPS) == 1
    assert accuracy(posterior, partner, GROUPS) == 1
    assert match_calibration_error(posterior, partner, GROUPS) == 0
    assert label_transfer_accuracy(posterior, *LABELS, GROUPS) == pytest.approx(2 / 4)
    assert match_probability(posterior, partner) < 1


def test_groups_that_are_not_one_a_cell_are_refused():
    posterior, partner = posterior_and_partner()
    with pytest.raises(ValueError, match=r"4 left and 4 right cells for a posterior of \(4, 3\)"):
        match_probability(posterior, partner, (GROUPS[0], GROUPS[0]))


def test_one_to_one_accuracy_counts_partners_and_an_empty_row_as_wrong():
    partner = np.array([2, 0, 1, 3, -1])
    assigned = sparse.csr_matrix((np.ones(4), ([0, 1, 3, 4], [2, 1, 3, 0])), shape=(5, 4))
    assert one_to_one_accuracy(assigned, partner) == pytest.approx(2 / 4)
    groups = (np.array(["a", "a", "b", "b", "a"]), np.array(["a", "b", "a", "a"]))
    assert one_to_one_accuracy(assigned, partner, groups) == pytest.approx(1 / 4)


def test_probabilities_are_no_assignment():
    posterior, partner = posterior_and_partner()
    with pytest.raises(ValueError, match="4 rows hold several entries"):
        one_to_one_accuracy(posterior, partner)


def test_match_calibration_is_that_of_the_best_cell_of_each_row_that_has_a_partner():
    posterior, partner = posterior_and_partner()
    wanted = expected_calibration_error(np.array([0.7, 0.6, 0.5]), np.array([1, 0, 0.5]), bins=5)
    assert match_calibration_error(posterior, partner, bins=5) == pytest.approx(wanted)
    # bins of a fifth: 0.7 and 0.6 apart (0.3 and 0.6 off), the tie of 0.5 as often right as it says
    assert wanted == pytest.approx((0.3 + 0.6 + 0.0) / 3)


def sparse_posterior(n_left=23, n_right=29, seed=0):
    """Rounded, so that scores tie; about a third of the pairs stored, and not every partner."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.random((n_left, n_right)), 1) * (rng.random((n_left, n_right)) < 0.4)
    partner = rng.permutation(n_right)[:n_left]
    values[np.arange(n_left), partner] += np.round(0.5 * rng.random(n_left), 1) * (rng.random(n_left) < 0.8)
    partner[:2] = -1
    values[:, 0] += 0.1
    return values / values.sum(axis=1, keepdims=True), partner


def test_pair_areas_are_scikit_learns_over_all_pairs_with_zero_for_those_not_stored():
    values, partner = sparse_posterior()
    is_partner = partner[:, None] == np.arange(29)
    assert 0 < (values[is_partner] == 0).sum() < 10
    auroc, auprc = pair_areas(sparse.csr_matrix(values), partner)
    assert auroc == pytest.approx(roc_auc_score(is_partner.ravel(), values.ravel()))
    assert auprc == pytest.approx(average_precision_score(is_partner.ravel(), values.ravel()))


def test_pair_areas_within_groups_are_over_the_pairs_within_groups():
    values, partner = sparse_posterior()
    groups = (np.array(["a", "b"])[np.arange(23) % 2], np.array(["b", "c", "a"])[np.arange(29) % 3])
    inside = groups[0][:, None] == groups[1]
    kept = np.where(inside, values, 0)
    kept = kept / kept.sum(axis=1, keepdims=True)
    is_partner = partner[:, None] == np.arange(29)
    assert is_partner[inside].sum() < is_partner.sum()
    auroc, auprc = pair_areas(sparse.csr_matrix(values), partner, groups)
    assert auroc == pytest.approx(roc_auc_score(is_partner[inside], kept[inside]))
    assert auprc == pytest.approx(average_precision_score(is_partner[inside], kept[inside]))


def test_stored_zeros_are_scored_as_pairs_that_are_not_stored():
    values, partner = sparse_posterior()
    stored = sparse.csr_matrix((values.ravel(), np.tile(np.arange(29), 23), np.arange(0, 23 * 29 + 1, 29)))
    assert stored.nnz == 23 * 29
    assert pair_areas(stored, partner) == pytest.approx(pair_areas(sparse.csr_matrix(values), partner))


def test_pair_areas_of_a_perfect_match_are_one_and_of_no_partner_nan():
    assert pair_areas(sparse.identity(7, format="csr"), np.arange(7)) == (1, 1)
    assert np.isnan(pair_areas(sparse.identity(7, format="csr"), np.full(7, -1))).all()


LABELS = (np.array(["B", "T", "T", "B"]), np.array(["B", "T", "B"]))


def test_label_transfer_by_hand_gives_a_tie_its_share_and_counts_every_left_cell():
    posterior, _ = posterior_and_partner()
    # best right cells: B, B, T or B, B
    assert label_transfer_accuracy(posterior, *LABELS) == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert label_transfer_probability(posterior, *LABELS) == pytest.approx((0.7 + 0.4 + 0.5 + 0.9) / 4)


def test_an_empty_row_transfers_no_label():
    posterior = sparse.csr_matrix(np.array([[0.0, 0.0], [0.5, 0.5]]))
    labels = np.array(["B", "B"])
    assert label_transfer_accuracy(posterior, labels, labels) == 0.5
    assert label_transfer_probability(posterior, labels, labels) == 0.5


def test_every_figure_of_a_posterior_has_a_direction():
    values = np.array([[0.9, 0.1, 0.0, 0.0], [0.6, 0.1, 0.3, 0.0], [0.0, 0.0, 0.2, 0.8], [0.3, 0.3, 0.3, 0.1]])
    posterior, transposed = sparse.csr_matrix(values), sparse.csr_matrix(values.T)
    partner, labels = np.array([0, 2, 3, 1]), np.array(["B", "T", "T", "NK"])
    other = labels[[0, 3, 1, 2]]
    assert match_probability(posterior, partner) == pytest.approx((0.9 + 0.3 + 0.8 + 0.3) / 4)
    assert match_probability(transposed, partner) == pytest.approx((0.9 + 0.0 + 0.3 + 0.0) / 4)
    for figure in (accuracy, match_calibration_error, pair_areas):
        assert figure(posterior, partner) != pytest.approx(figure(transposed, partner)), figure
    for figure in (label_transfer_accuracy, label_transfer_probability):
        assert figure(posterior, labels, other) != pytest.approx(figure(transposed, labels, other)), figure
    best = sparse.csr_matrix((np.ones(4), values.argmax(axis=1), np.arange(5)))
    assert one_to_one_accuracy(best, partner) == pytest.approx(2 / 4)


def test_foscttm_of_scores_is_that_of_vectors_where_scores_are_inner_products():
    rng = np.random.default_rng(5)
    left, right = rng.normal(size=(23, 3)), rng.normal(size=(23, 3))
    groups = np.asarray(["a"] * 9 + ["b"] * 13 + ["c"])
    for labels in (None, groups):
        wanted = foscttm(left, right, labels)
        assert foscttm_of_scores(left @ right.T, labels) == pytest.approx(wanted)


def test_foscttm_of_scores_counts_both_directions():
    scores = np.array([[2.0, 3.0, 1.0], [0.0, 4.0, 1.0], [0.0, 0.0, 5.0]])
    assert foscttm_of_scores(scores) == pytest.approx((1 / 2 / 3 + 0) / 2)
    assert foscttm_of_scores(np.full((4, 4), -np.inf)) == pytest.approx(0.5)


def test_scores_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="as many left as right"):
        foscttm_of_scores(np.zeros((3, 4)))


def test_cells_alone_in_their_groups_leave_foscttm_undefined_in_silence():
    left, right = vectors(7)
    assert np.isnan(foscttm(left, right, np.arange(7)))
    found = foscttm(left, right, np.array([0, 0, 1, 2, 3, 4, 5]))
    np.testing.assert_allclose(found, foscttm(left[:2], right[:2]), rtol=1e-12)
