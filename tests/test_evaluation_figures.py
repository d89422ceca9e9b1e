"""Figures: each is its metric on the whole, however the prediction comes and in whatever order right cells stand."""

import numpy as np
import pytest
from scipy import sparse

from unisono import metrics
from unisono.evaluation.figures import matching_figures, prediction_figures


def truth_and_prediction(n_cells=37, n_features=11, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.poisson(0.7, size=(n_cells, n_features)).astype(np.float32)
    return sparse.csr_matrix(truth), (truth + rng.normal(size=truth.shape)).astype(np.float32)


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
def test_figures_of_prediction_are_the_metrics_of_the_whole(modality):
    truth, prediction = truth_and_prediction()
    truth = sparse.csr_matrix(truth.multiply(np.arange(11) != 4))
    found = prediction_figures(truth, prediction, modality)
    wanted = {
        "pearson": metrics.mean_pearson(truth, prediction),
        "rmse": metrics.rmse(truth, prediction),
        "mae": metrics.mae(truth, prediction),
        "pearson per cell": metrics.pearson(truth, prediction, "cell").mean,
        "overall pearson": metrics.overall_pearson(truth, prediction),
        "features without correlation": 1.0,
    }
    if modality == "atac":
        areas = metrics.areas_per_feature(truth, prediction)
        wanted |= {"auroc": np.nanmean(areas.auroc), "auprc": np.nanmean(areas.auprc)}
    else:
        wanted["spearman"] = metrics.spearman(truth, prediction, "feature").mean
    assert found == pytest.approx(wanted)
    assert all(type(figure) is float for figure in found.values())


@pytest.mark.parametrize("modality", ["rna", "atac"])
def test_a_prediction_in_blocks_of_any_width_has_the_figures_of_the_whole(modality, monkeypatch):
    truth, prediction = truth_and_prediction()
    whole = prediction_figures(truth, prediction, modality)
    blocks = (prediction[:, a:b] for a, b in ((0, 2), (2, 3), (3, 11)))
    assert prediction_figures(truth, blocks, modality) == pytest.approx(whole)
    assert prediction_figures(truth.tocsc(), prediction, modality) == pytest.approx(whole)
    monkeypatch.setattr("unisono.evaluation.figures._BLOCK_ENTRIES", 37 * 4)
    assert prediction_figures(truth, prediction, modality) == pytest.approx(whole)


def test_peaks_that_are_rarely_open_have_no_area():
    truth, prediction = truth_and_prediction()
    rare = sparse.csr_matrix(truth.multiply(np.arange(37)[:, None] < 9))
    rare.eliminate_zeros()
    assert rare.getnnz(axis=0).max() < 10
    assert {"auroc", "auprc"} & set(prediction_figures(rare, prediction, "atac")) == set()


def test_a_prediction_that_is_not_whole_or_not_finite_is_refused():
    truth, prediction = truth_and_prediction()
    with pytest.raises(ValueError, match=r"10 features; the truth is \(37, 11\)"):
        prediction_figures(truth, prediction[:, :10], "rna")
    with pytest.raises(ValueError, match=r"37 cells, at least 12 features; the truth is \(37, 11\)"):
        prediction_figures(truth, (prediction, prediction[:, :1]), "rna")
    with pytest.raises(ValueError, match=r"36 cells, at least 11 features"):
        prediction_figures(truth, prediction[:36], "rna")
    prediction[5, 9] = np.nan
    with pytest.raises(ValueError, match="first: cell 5, feature 9"):
        prediction_figures(truth, iter([prediction[:, :7], prediction[:, 7:]]), "rna")


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
    assert matching_figures(left, right, soft, one, partner) == pytest.approx(
        {
            "foscttm": metrics.foscttm(left, aligned),
            "recall@1": recall[1],
            "recall@5": recall[5],
            "recall@10": recall[10],
            "match probability": soft_aligned.diagonal().mean(),
            "one-to-one accuracy": one[:, partner].diagonal().mean(),
            "calibration error": metrics.match_calibration_error(soft_aligned, own),
            "pair auroc": auroc,
            "pair auprc": auprc,
        }
    )


def test_figures_of_matching_do_not_depend_on_the_order_of_right_cells():
    left, right, soft, one, partner = matching()
    turn = np.random.default_rng(1).permutation(31)
    found = matching_figures(left, right[turn], soft[:, turn], one[:, turn], np.argsort(turn)[partner])
    assert found == pytest.approx(matching_figures(left, right, soft, one, partner))


def test_wrong_partners_change_every_figure_of_matching():
    left, right, soft, one, partner = matching()
    given, wrong = (matching_figures(left, right, soft, one, p) for p in (partner, np.roll(partner, 1)))
    for name, figure in given.items():
        assert abs(wrong[name] - figure) > 0.005, name


def test_within_groups_every_figure_is_that_of_its_metric_within_groups():
    left, right, soft, one, partner = matching()
    own = np.array(["a", "b"])[np.arange(31) % 2]
    groups = (own, own[np.argsort(partner)])
    found = matching_figures(left, right, soft, one, partner, groups)
    assert found["foscttm"] == pytest.approx(metrics.foscttm(left, right[partner], own))
    assert found["recall@5"] == pytest.approx(metrics.recall_at(left, right[partner], (5,), own)[5])
    assert found["match probability"] == pytest.approx(metrics.match_probability(soft, partner, groups))
    assert found["calibration error"] == pytest.approx(metrics.match_calibration_error(soft, partner, groups))
    assert (found["pair auroc"], found["pair auprc"]) == pytest.approx(metrics.pair_areas(soft, partner, groups))
    assert found["match probability"] > matching_figures(left, right, soft, one, partner)["match probability"]


def test_cells_without_partner_are_not_ranked():
    left, right, soft, one, partner = matching()
    lacking = partner.copy()
    lacking[[3, 8]] = -1
    found = matching_figures(left, right, soft, one, lacking)
    rest = np.delete(np.arange(31), [3, 8])
    assert found["foscttm"] == pytest.approx(metrics.foscttm(left[rest], right[partner[rest]]))
    assert found["match probability"] == pytest.approx(soft[rest, partner[rest]].mean())


def test_labels_add_the_figures_of_label_transfer():
    left, right, soft, one, partner = matching()
    own = np.array(["B", "T", "T"])[np.arange(31) % 3]
    labels = (own, own[np.argsort(partner)])
    found = matching_figures(left, right, soft, one, partner, labels=labels)
    assert found["label transfer accuracy"] == pytest.approx(metrics.label_transfer_accuracy(soft, *labels))
    assert found["label transfer probability"] == pytest.approx(metrics.label_transfer_probability(soft, *labels))
    assert set(found) - set(matching_figures(left, right, soft, one, partner)) == {
        "label transfer accuracy",
        "label transfer probability",
    }


def test_partners_that_judge_nothing_are_refused():
    left, right, soft, one, _ = matching()
    with pytest.raises(ValueError, match="none of 31 left cells has a partner"):
        matching_figures(left, right, soft, one, np.full(31, -1))
    with pytest.raises(ValueError, match="partner of several"):
        matching_figures(left, right, soft, one, np.zeros(31, dtype=int))
