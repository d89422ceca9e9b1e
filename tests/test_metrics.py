"""Metrics against hand-computed values and other libraries."""

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score

from unisono.evaluation import metrics
from unisono.evaluation.metrics import (
    accuracy,
    auroc_per_feature,
    expected_calibration_error,
    foscttm,
    mae,
    match_probability,
    mean_pearson,
    pearson_per_feature,
    probability_of_partner,
    recall_at,
    rmse,
    spearman_per_feature,
)


def truth_and_prediction(n_cells=31, n_features=7, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_cells, n_features))
    return truth.astype(np.float32), (truth + rng.normal(size=truth.shape)).astype(np.float32)


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


def test_pearson_is_numpys_for_each_feature():
    truth, prediction = truth_and_prediction()
    wanted = [np.corrcoef(x, y)[0, 1] for x, y in zip(truth.T, prediction.T, strict=True)]
    np.testing.assert_allclose(pearson_per_feature(truth, prediction), wanted, atol=1e-6)
    assert mean_pearson(truth, prediction) == pytest.approx(np.mean(wanted), abs=1e-6)


def test_pearson_runs_over_cells_not_features():
    truth, prediction = truth_and_prediction(8, 8)
    assert not np.allclose(pearson_per_feature(truth, prediction), pearson_per_feature(truth.T, prediction.T))


def test_pearson_of_a_constant_is_zero_and_counts():
    truth, prediction = truth_and_prediction(n_features=4)
    truth[:, 0] = 0.1
    prediction[:, 1] = 1 / 3
    found = pearson_per_feature(truth, prediction)
    assert (found[:2] == 0).all()
    assert (np.abs(found[2:]) > 0.1).all()
    assert mean_pearson(truth, prediction) == pytest.approx(found[2:].sum() / 4)


def test_pearson_ignores_scale_and_keeps_sign():
    truth, prediction = truth_and_prediction()
    found = pearson_per_feature(truth, -1000 * prediction + 7)
    np.testing.assert_allclose(found, -pearson_per_feature(truth, prediction), atol=1e-5)


def test_spearman_is_scipys_with_ties():
    truth, prediction = (np.round(values) for values in truth_and_prediction())
    wanted = [stats.spearmanr(x, y).statistic for x, y in zip(truth.T, prediction.T, strict=True)]
    np.testing.assert_allclose(spearman_per_feature(truth, prediction), wanted, atol=1e-12)


def test_errors_by_hand():
    truth, prediction = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 8.0]])
    assert rmse(truth, prediction) == pytest.approx(np.sqrt(20 / 4))
    assert mae(truth, prediction) == pytest.approx(6 / 4)


def test_different_shapes_are_refused_not_broadcast():
    with pytest.raises(ValueError, match=r"shapes \(31, 7\) and \(31, 1\) differ"):
        rmse(truth_and_prediction()[0], truth_and_prediction(n_features=1)[1])


def test_auroc_is_scikit_learns_with_ties_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, size=(83, 11))
    prediction = np.round(counts + rng.normal(size=counts.shape), 1)
    wanted = [roc_auc_score(x > 0, y) for x, y in zip(counts.T, prediction.T, strict=True)]
    np.testing.assert_allclose(auroc_per_feature(sparse.csr_matrix(counts), prediction), wanted)
    monkeypatch.setattr(metrics, "_BLOCK_ENTRIES", 83 * 3)
    np.testing.assert_allclose(auroc_per_feature(sparse.csr_matrix(counts), prediction), wanted)


def test_auroc_of_a_peak_with_few_open_or_few_closed_cells_is_nan():
    truth = np.zeros((40, 4), dtype=int)
    truth[:9, 0] = truth[:10, 1] = truth[:31, 2] = truth[:30, 3] = 1
    prediction = np.random.default_rng(0).normal(size=truth.shape)
    found = auroc_per_feature(sparse.csr_matrix(truth), prediction)
    assert np.isnan(found).tolist() == [True, False, True, False]
    assert not np.isnan(auroc_per_feature(sparse.csr_matrix(truth), prediction, min_class=9)).any()
    assert np.isnan(auroc_per_feature(sparse.csr_matrix((40, 4), dtype=int), prediction, min_class=0)).all()


def test_foscttm_equals_loops():
    left, right = vectors()
    assert 0.02 < foscttm(left, right) < 0.4
    assert foscttm(left, right) == pytest.approx(foscttm_by_loops(left, right))


def test_foscttm_does_not_depend_on_blocks(monkeypatch):
    left, right = vectors()
    whole = foscttm(left, right)
    monkeypatch.setattr(metrics, "_BLOCK_ENTRIES", 100)
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


def test_calibration_error_by_hand():
    probability = np.array([0.9, 0.8, 0.3, 0.2, 0.0, 1.0])
    correct = np.array([True, False, False, True, False, True])
    # two bins: 0–0.5 holds 0.3, 0.2, 0.0 with 1 right; 0.5–1 holds 0.9, 0.8, 1.0 with 2 right
    assert expected_calibration_error(probability, correct, bins=2) == pytest.approx((0.5 + 0.7) / 6)


def test_frequencies_that_equal_probabilities_have_no_calibration_error():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    correct = rng.random(20_000) < probability
    assert expected_calibration_error(probability, correct) < 0.02
    assert expected_calibration_error(probability, ~correct) > 0.3


def test_no_answers_have_no_calibration():
    with pytest.raises(ValueError, match="0 probabilities for 0 answers"):
        expected_calibration_error(np.empty(0), np.empty(0, dtype=bool))
