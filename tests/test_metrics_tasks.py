"""Tests of the metrics of a task: each is its metric on the whole, in blocks or not, and what chance gets."""

import numpy as np
import pytest
from scipy import sparse

from unisono import metrics
from unisono.metrics import matching_chance, matching_metrics, prediction_chance, prediction_metrics


def truth_and_prediction(n_cells=37, n_features=11, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.poisson(0.7, size=(n_cells, n_features)).astype(np.float32)
    return sparse.csr_matrix(truth), (truth + rng.normal(size=truth.shape)).astype(np.float32)


@pytest.mark.parametrize("is_binary", [False, True])
def test_metrics_of_prediction_are_those_of_the_whole(is_binary):
    truth, prediction = truth_and_prediction()
    truth = sparse.csr_matrix(truth.multiply(np.arange(11) != 4))
    found = prediction_metrics(truth, prediction, is_binary=is_binary)
    wanted = {
        "pearson": metrics.mean_pearson(truth, prediction),
        "rmse": metrics.rmse(truth, prediction),
        "mae": metrics.mae(truth, prediction),
        "pearson_per_cell": metrics.pearson(truth, prediction, "cell").mean,
        "overall_pearson": metrics.overall_pearson(truth, prediction),
        "n_without_correlation": 1.0,
    }
    if is_binary:
        areas = metrics.areas_per_feature(truth, prediction)
        wanted |= {"auroc": np.nanmean(areas.auroc), "auprc": np.nanmean(areas.auprc)}
    else:
        wanted["spearman"] = metrics.spearman(truth, prediction, "feature").mean
    assert found == pytest.approx(wanted)
    assert all(type(figure) is float for figure in found.values())


@pytest.mark.parametrize("is_binary", [False, True])
def test_a_prediction_in_blocks_of_any_width_has_the_metrics_of_the_whole(is_binary, monkeypatch):
    truth, prediction = truth_and_prediction()
    whole = prediction_metrics(truth, prediction, is_binary=is_binary)
    blocks = (prediction[:, a:b] for a, b in ((0, 2), (2, 3), (3, 11)))
    assert prediction_metrics(truth, blocks, is_binary=is_binary) == pytest.approx(whole)
    assert prediction_metrics(truth.tocsc(), prediction, is_binary=is_binary) == pytest.approx(whole)
    monkeypatch.setattr("unisono.metrics.tasks._BLOCK_ENTRIES", 37 * 4)
    assert prediction_metrics(truth, prediction, is_binary=is_binary) == pytest.approx(whole)


def test_peaks_that_are_rarely_open_have_no_area():
    truth, prediction = truth_and_prediction()
    rare = sparse.csr_matrix(truth.multiply(np.arange(37)[:, None] < 9))
    rare.eliminate_zeros()
    assert rare.getnnz(axis=0).max() < 10
    assert {"auroc", "auprc"} & set(prediction_metrics(rare, prediction, is_binary=True)) == set()


def test_a_prediction_that_is_not_whole_or_not_finite_is_refused():
    truth, prediction = truth_and_prediction()
    with pytest.raises(ValueError, match=r"10 features; the truth is \(37, 11\)"):
        prediction_metrics(truth, prediction[:, :10], is_binary=False)
    with pytest.raises(ValueError, match=r"37 cells, at least 12 features; the truth is \(37, 11\)"):
        prediction_metrics(truth, (prediction, prediction[:, :1]), is_binary=False)
    with pytest.raises(ValueError, match=r"36 cells, at least 11 features"):
        prediction_metrics(truth, prediction[:36], is_binary=False)
    prediction[5, 9] = np.nan
    with pytest.raises(ValueError, match="first: cell 5, feature 9"):
        prediction_metrics(truth, iter([prediction[:, :7], prediction[:, 7:]]), is_binary=False)


def matching(n=31, seed=0):
    """Vectors of both sides, a soft posterior and an assignment; right cells shuffled, `partner` says where to."""
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(n, 4))
    order = rng.permutation(n)
    right = (left + 0.7 * rng.normal(size=left.shape))[order]
    soft = np.exp(left @ right.T)
    soft[soft < 0.5] = 0
    one = np.zeros((n, n))
    one[np.arange(n), rng.permutation(n)] = 1
    one[:5] = 0
    partner = np.argsort(order)
    one[np.arange(5), partner[:5]] = 1
    return left, right, sparse.csr_matrix(soft / soft.sum(axis=1, keepdims=True)), sparse.csr_matrix(one), partner


def test_figures_of_matching_are_the_metrics_of_cells_brought_to_their_partners():
    left, right, soft, one, partner = matching()
    aligned, soft_aligned = right[partner], soft[:, partner]
    own = np.arange(31)
    auroc, auprc = metrics.pair_areas(soft_aligned, own)
    recall = metrics.recall_at(left, aligned, (1, 5, 10))
    assert matching_metrics(left, right, soft, one, partner) == pytest.approx(
        {
            "foscttm": metrics.foscttm(left, aligned),
            "recall_at_1": recall[1],
            "recall_at_5": recall[5],
            "recall_at_10": recall[10],
            "match_probability": soft_aligned.diagonal().mean(),
            "one_to_one_accuracy": one[:, partner].diagonal().mean(),
            "calibration_error": metrics.match_calibration_error(soft_aligned, own),
            "pair_auroc": auroc,
            "pair_auprc": auprc,
        }
    )


def test_figures_of_matching_do_not_depend_on_the_order_of_right_cells():
    left, right, soft, one, partner = matching()
    turn = np.random.default_rng(1).permutation(31)
    found = matching_metrics(left, right[turn], soft[:, turn], one[:, turn], np.argsort(turn)[partner])
    assert found == pytest.approx(matching_metrics(left, right, soft, one, partner))


def test_wrong_partners_change_every_figure_of_matching():
    left, right, soft, one, partner = matching()
    given, wrong = (matching_metrics(left, right, soft, one, p) for p in (partner, np.roll(partner, 1)))
    for name, figure in given.items():
        assert abs(wrong[name] - figure) > 0.005, name


def test_within_groups_every_figure_is_that_of_its_metric_within_groups():
    left, right, soft, one, partner = matching()
    own = np.array(["a", "b"])[np.arange(31) % 2]
    groups = (own, own[np.argsort(partner)])
    found = matching_metrics(left, right, soft, one, partner, groups)
    assert found["foscttm"] == pytest.approx(metrics.foscttm(left, right[partner], own))
    assert found["recall_at_5"] == pytest.approx(metrics.recall_at(left, right[partner], (5,), own)[5])
    assert found["match_probability"] == pytest.approx(metrics.match_probability(soft, partner, groups))
    assert found["calibration_error"] == pytest.approx(metrics.match_calibration_error(soft, partner, groups))
    assert (found["pair_auroc"], found["pair_auprc"]) == pytest.approx(metrics.pair_areas(soft, partner, groups))
    assert found["match_probability"] > matching_metrics(left, right, soft, one, partner)["match_probability"]


def test_cells_without_partner_are_not_ranked():
    left, right, soft, one, partner = matching()
    lacking = partner.copy()
    lacking[[3, 8]] = -1
    found = matching_metrics(left, right, soft, one, lacking)
    rest = np.delete(np.arange(31), [3, 8])
    assert found["foscttm"] == pytest.approx(metrics.foscttm(left[rest], right[partner[rest]]))
    assert found["match_probability"] == pytest.approx(soft[rest, partner[rest]].mean())


def test_labels_add_the_figures_of_label_transfer():
    left, right, soft, one, partner = matching()
    own = np.array(["B", "T", "T"])[np.arange(31) % 3]
    labels = (own, own[np.argsort(partner)])
    found = matching_metrics(left, right, soft, one, partner, labels=labels)
    assert found["label_transfer_accuracy"] == pytest.approx(metrics.label_transfer_accuracy(soft, *labels))
    assert found["label_transfer_probability"] == pytest.approx(metrics.label_transfer_probability(soft, *labels))
    assert set(found) - set(matching_metrics(left, right, soft, one, partner)) == {
        "label_transfer_accuracy",
        "label_transfer_probability",
    }


def test_partners_that_score_nothing_are_refused():
    left, right, soft, one, _ = matching()
    with pytest.raises(ValueError, match="none of 31 left cells has a partner"):
        matching_metrics(left, right, soft, one, np.full(31, -1))
    with pytest.raises(ValueError, match="partner of several"):
        matching_metrics(left, right, soft, one, np.zeros(31, dtype=int))


@pytest.mark.parametrize("is_binary", [False, True])
def test_chance_of_prediction_is_the_score_of_the_mean_profile(is_binary):
    rng = np.random.default_rng(3)
    truth = rng.poisson(rng.gamma(0.7, size=13), size=(37, 13)).astype(np.float64)
    truth = np.log1p(truth) if not is_binary else (truth > 0).astype(np.float64)
    profile = np.tile(truth.mean(axis=0), (37, 1))
    wanted = prediction_metrics(sparse.csc_matrix(truth), profile, is_binary=is_binary)
    del wanted["n_without_correlation"]
    found = prediction_chance(sparse.csc_matrix(truth), is_binary=is_binary)
    assert found == pytest.approx(wanted, abs=1e-9)
    assert found["pearson_per_cell"] > 0.1


@pytest.mark.parametrize("is_grouped", [False, True])
def test_chance_of_matching_is_the_score_of_equal_probabilities(is_grouped):
    labels = np.array(["a"] * 7 + ["b"] * 4)
    groups = (labels, labels) if is_grouped else None
    same = labels[:, None] == labels[None, :] if is_grouped else np.ones((11, 11))
    posterior = sparse.csr_matrix(same / same.sum(axis=1, keepdims=True))
    vectors = np.ones((11, 3)) / np.sqrt(3)
    found = matching_chance(11, groups)
    wanted = matching_metrics(vectors, vectors, posterior, sparse.identity(11, format="csr"), np.arange(11), groups)
    for metric in ("foscttm", "match_probability", "pair_auroc", "pair_auprc"):
        assert found[metric] == pytest.approx(wanted[metric]), metric
    assert wanted["calibration_error"] == pytest.approx(0.0, abs=1e-12)
    assert found["recall_at_5"] == pytest.approx((7 * 5 / 7 + 4) / 11 if is_grouped else 5 / 11)
    assert found["one_to_one_accuracy"] == pytest.approx(2 / 11 if is_grouped else 1 / 11)
    assert set(found) == set(wanted) - {"calibration_error"}


def groups_of(is_measured):
    """Distinct rows of a mask, each with its cells."""
    rows, index = np.unique(is_measured, axis=0, return_inverse=True)
    return [(row, np.flatnonzero(np.ravel(index) == number)) for number, row in enumerate(rows)]


@pytest.mark.parametrize("is_binary", [False, True])
def test_metrics_are_over_the_values_that_were_measured(is_binary, monkeypatch):
    """Each figure by its formula over the measured values, in blocks of any width."""
    truth, prediction = truth_and_prediction(n_cells=67)
    is_measured = np.ones((67, 11), dtype=bool)
    is_measured[1::3, [2, 3, 9]] = False
    is_measured[2::3, [0, 3]] = False
    x, y = truth.toarray().astype(float), prediction.astype(float)
    by_feature = [(x[rows, j], y[rows, j]) for j, rows in enumerate(is_measured.T)]
    by_cell = [(x[i, columns], y[i, columns]) for i, columns in enumerate(is_measured)]
    wanted = {
        "pearson": np.mean([np.corrcoef(*pair)[0, 1] for pair in by_feature]),
        "rmse": np.sqrt(((x - y)[is_measured] ** 2).mean()),
        "mae": np.abs((x - y)[is_measured]).mean(),
        "pearson_per_cell": np.mean([np.corrcoef(*pair)[0, 1] for pair in by_cell]),
        "overall_pearson": np.corrcoef(x[is_measured], y[is_measured])[0, 1],
        "n_without_correlation": 0.0,
    }
    if is_binary:
        areas = [metrics.areas_per_feature(a[:, None], b[:, None]) for a, b in by_feature]
        wanted |= {
            "auroc": np.nanmean([each.auroc for each in areas]),
            "auprc": np.nanmean([each.auprc for each in areas]),
        }
    else:
        wanted["spearman"] = np.mean([metrics.spearman(a[:, None], b[:, None], "feature").mean for a, b in by_feature])
    for entries in (2**21, 67 * 4):
        monkeypatch.setattr("unisono.metrics.tasks._BLOCK_ENTRIES", entries)
        found = prediction_metrics(truth, prediction, is_binary=is_binary, measured=groups_of(is_measured))
        assert found == pytest.approx(wanted)
    held = sparse.csr_matrix(x * is_measured)
    chance = prediction_chance(held, is_binary=is_binary, measured=groups_of(is_measured))
    mean = np.broadcast_to(np.array([a.mean() for a, _ in by_feature]), x.shape)
    assert chance["rmse"] == pytest.approx(np.sqrt(((x - mean)[is_measured] ** 2).mean()))
    assert chance["mae"] == pytest.approx(np.abs((x - mean)[is_measured]).mean())
    assert chance["overall_pearson"] == pytest.approx(np.corrcoef(x[is_measured], mean[is_measured])[0, 1])
