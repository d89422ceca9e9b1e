"""Tests of evaluation: each figure is what its formula gives on the model's answers, and no partner is leaked."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from io_fixtures import refusal
from model_fixtures import (
    PAIRS,
    changed,
    correlations,
    counts,
    late_model,
    on_scale,
    rebuilt,
    small_model,
    test_cells,
    training,
)
from scipy import sparse
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from unisono.evaluation import answers as room
from unisono.evaluation.scores import evaluate
from unisono.inference.fitted_model import FittedModel
from unisono.metrics import expected_calibration_error
from unisono.model.query import query_view
from unisono.types import MatchPosterior

KINDS = ("rna", "adt")


@cache
def figures():
    return evaluate(small_model(), test_cells())


def matching(left, right, **options):
    query = test_cells()
    return (
        small_model()
        .match(query[left], query[right], prior_unmatched=0, **options)
        .match_posterior.probabilities.toarray()
    )


def similarity(left, right):
    """Inner products of untuned vectors, with what the anchors add to each cell."""
    query = changed(small_model(), moment_alignment={}).embed(test_cells())
    vectors = [query[m].obsm["X_unisono"] for m in (left, right)]
    anchors = small_model().fitted.anchors[left, right]
    a, b = anchors.swapped().potential(vectors[0]), anchors.potential(vectors[1])
    return vectors[0].astype(np.float64) @ vectors[1].T + (a[:, None] + b) / anchors.beta


def foscttm_by_hand(s, groups=None):
    """Share of the others of the own group that score above the partner, mean over cells and both directions."""
    same = np.ones(s.shape, dtype=bool) if groups is None else groups[:, None] == groups[None, :]
    shares = []
    for scores in (s, s.T):
        above = ((scores > np.diag(scores)[:, None]) & same).sum(axis=1)
        shares.append((above / (same.sum(axis=1) - 1)).mean())
    return np.mean(shares)


PREDICTION = (
    "pearson",
    "rmse",
    "mae",
    "pearson per cell",
    "overall pearson",
    "features without correlation",
)
MATCHING = (
    "foscttm",
    "recall@1",
    "recall@5",
    "recall@10",
    "match probability",
    "one-to-one accuracy",
    "calibration error",
    "pair auroc",
    "pair auprc",
)


def test_there_is_a_figure_for_every_direction_pair_and_setting():
    wanted = set()
    for source, target in [*PAIRS, *(pair[::-1] for pair in PAIRS)]:
        names = (*PREDICTION, *(("auroc", "auprc") if target == "atac" else ("spearman",)))
        wanted |= {f"{source}->{target} {name}" for name in names}
    for left, right in PAIRS:
        for suffix in ("", " within batch", " with depth", " within batch with depth"):
            wanted |= {f"{left}~{right} {name}{suffix}" for name in MATCHING}
    assert set(figures()) == wanted
    assert all(type(figure) is float and np.isfinite(figure) for figure in figures().values())


@pytest.mark.parametrize(("source", "target"), [*PAIRS, *(pair[::-1] for pair in PAIRS)])
def test_prediction_figures_are_those_of_predict(source, target):
    predicted = small_model().predict(test_cells(), source=source, target=target).X.astype(np.float64)
    measured = on_scale(test_cells()[target], target)
    is_constant = np.ptp(measured, axis=0) == 0
    pearson = np.zeros(measured.shape[1])
    pearson[~is_constant] = correlations(measured[:, ~is_constant], predicted[:, ~is_constant])
    task = f"{source}->{target}"
    assert figures()[f"{task} pearson"] == pytest.approx(pearson.mean(), abs=1e-4)
    assert figures()[f"{task} features without correlation"] == is_constant.sum()
    assert figures()[f"{task} rmse"] == pytest.approx(np.sqrt(((measured - predicted) ** 2).mean()), rel=1e-4)
    assert figures()[f"{task} mae"] == pytest.approx(np.abs(measured - predicted).mean(), rel=1e-4)
    per_cell = correlations(measured.T, predicted.T)
    assert figures()[f"{task} pearson per cell"] == pytest.approx(per_cell.mean(), abs=1e-4)
    overall = np.corrcoef(measured.ravel(), predicted.ravel())[0, 1]
    assert figures()[f"{task} overall pearson"] == pytest.approx(overall, abs=1e-4)
    if target != "atac":
        ranks = [rankdata(values, axis=0)[:, ~is_constant] for values in (measured, predicted)]
        spearman = correlations(*ranks).sum() / measured.shape[1]
        assert figures()[f"{task} spearman"] == pytest.approx(spearman, abs=1e-3)
    if target == "atac":
        n_open = measured.sum(axis=0)
        ranks = rankdata(predicted, axis=0)
        auroc = ((ranks * measured).sum(axis=0) - n_open * (n_open + 1) / 2) / np.maximum(n_open * (43 - n_open), 1)
        is_scored = (n_open >= 10) & (n_open <= 33)
        assert 0 < is_scored.sum() < 90
        assert figures()[f"{task} auroc"] == pytest.approx(auroc[is_scored].mean(), abs=1e-4)
        precision = [average_precision_score(measured[:, i], predicted[:, i]) for i in np.flatnonzero(is_scored)]
        assert figures()[f"{task} auprc"] == pytest.approx(np.mean(precision), abs=1e-4)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_matching_figures_are_those_of_match(left, right):
    task = f"{left}~{right}"
    for suffix, options in (
        ("", {}),
        (" within batch", {"within": "batch"}),
        (" with depth", {"depth": True}),
    ):
        soft = matching(left, right, top=1000, **options)
        assert figures()[f"{task} match probability{suffix}"] == pytest.approx(np.diag(soft).mean(), rel=1e-3)
        is_best = soft.argmax(axis=1) == np.arange(43)
        stated = expected_calibration_error(soft.max(axis=1), is_best)
        assert figures()[f"{task} calibration error{suffix}"] == pytest.approx(stated, abs=1e-3)
        one = matching(left, right, rule="one-to-one", **options)
        assert figures()[f"{task} one-to-one accuracy{suffix}"] == pytest.approx(np.diag(one).mean(), abs=1e-6)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_pair_figures_are_those_of_all_pairs_or_of_those_within_a_batch(left, right):
    task, is_partner = f"{left}~{right}", np.eye(43, dtype=bool)
    batch = test_cells()[left].obs["batch"].to_numpy(dtype=str)
    for suffix, options, is_possible in (
        ("", {}, np.ones((43, 43), dtype=bool)),
        (" within batch", {"within": "batch"}, batch[:, None] == batch),
    ):
        soft = matching(left, right, top=1000, **options)
        auroc = roc_auc_score(is_partner[is_possible], soft[is_possible])
        auprc = average_precision_score(is_partner[is_possible], soft[is_possible])
        assert figures()[f"{task} pair auroc{suffix}"] == pytest.approx(auroc, abs=1e-3)
        assert figures()[f"{task} pair auprc{suffix}"] == pytest.approx(auprc, abs=1e-3)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_rank_figures_are_those_of_the_untuned_embedding_and_the_anchors(left, right):
    s, task = similarity(left, right), f"{left}~{right}"
    batch = test_cells()[left].obs["batch"].to_numpy(dtype=str)
    assert figures()[f"{task} foscttm"] == pytest.approx(foscttm_by_hand(s), abs=1e-3)
    assert figures()[f"{task} foscttm within batch"] == pytest.approx(foscttm_by_hand(s, batch), abs=1e-3)
    for k in (1, 5, 10):
        recall = ((s > np.diag(s)[:, None]).sum(axis=1) < k).mean()
        assert figures()[f"{task} recall@{k}"] == pytest.approx(recall, abs=1e-6)


def test_rank_within_batch_with_depth_compares_what_match_within_batch_compares():
    views = [
        query_view(test_cells(), m, small_model().fitted.preprocessors, small_model().record) for m in ("rna", "adt")
    ]
    batch = views[0].batch
    left, right = small_model().fitted.similarity(*views, depth=True, groups=(batch, batch)).vectors
    wanted = foscttm_by_hand(left.astype(np.float64) @ right.T.astype(np.float64), batch)
    assert figures()["rna~adt foscttm within batch with depth"] == pytest.approx(wanted, abs=1e-6)


def test_figures_of_a_model_that_learnt_are_better_than_chance():
    found = evaluate(late_model(), test_cells())
    assert found["rna->adt pearson"] > 0.3
    assert found["rna~adt foscttm"] < 0.3
    assert found["rna~adt match probability"] > 1.5 / 43


@pytest.mark.parametrize("name", ["atac", "rna", "adt"])
def test_permuting_the_rows_of_one_modality_leaves_every_figure_alone(name):
    query = test_cells()
    parts = dict(query.mod)
    parts[name] = parts[name][np.random.default_rng(6).permutation(43)].copy()
    found = evaluate(small_model(), rebuilt(parts))
    assert set(found) == set(figures())
    for task, figure in figures().items():
        assert found[task] == pytest.approx(figure, abs=2e-4), task


def test_wrong_partners_cost_the_figures_that_right_ones_earn():
    query = test_cells()
    misnamed = query["adt"].copy()
    misnamed.obs_names = np.roll(misnamed.obs_names, 1)
    misnamed.obs["batch"] = query["rna"].obs["batch"].reindex(misnamed.obs_names)
    found = evaluate(small_model(), rebuilt({"rna": query["rna"], "adt": misnamed}))
    assert found["rna~adt foscttm"] == pytest.approx(0.5, abs=0.1)
    assert found["rna~adt foscttm"] > figures()["rna~adt foscttm"] + 0.1
    assert found["rna->adt pearson"] < figures()["rna->adt pearson"] - 0.1


def test_matching_is_given_the_right_cells_in_an_order_that_tells_nothing(monkeypatch):
    given, matched = [], []
    similarity_of, match_cells = FittedModel.similarity, room.match_cells

    def watched(model, left, right, **options):
        given.append((left, right, options["groups"]))
        return similarity_of(model, left, right, **options)

    def watched_match(similarity, **options):
        matched.append(similarity)
        return match_cells(similarity, **options)

    monkeypatch.setattr(FittedModel, "similarity", watched)
    monkeypatch.setattr(room, "match_cells", watched_match)
    query = test_cells()
    evaluate(small_model(), rebuilt({"rna": query["rna"], "adt": query["adt"]}))
    assert (len(given), len(matched)) == (2 * 2, 2 * 2 * 2)
    for left, right, groups in given:
        assert sorted(left.cells) == sorted(right.cells)
        assert sum(a == b for a, b in zip(left.cells, right.cells, strict=True)) < 6
        measured = counts(query["adt"][right.cells])
        np.testing.assert_array_equal(right.counts.toarray(), measured)
        if groups is not None:
            assert list(groups[0]) == list(left.batch)
            assert list(groups[1]) == list(right.batch)
            assert list(groups[0]) != list(groups[1])
    own = {
        m: small_model().fitted.content_vectors(
            query_view(query, m, small_model().fitted.preprocessors, small_model().record)
        )
        for m in KINDS
    }
    for left, right in ((similarity.left, similarity.right) for similarity in matched):
        place = np.array([np.abs(own["adt"] - row).sum(axis=1).argmin() for row in right])
        assert sorted(place) == list(range(43))
        assert (place == np.arange(43)).sum() < 6
        left_place = [np.abs(own["rna"] - row).sum(axis=1).argmin() for row in left]
        assert left_place == list(range(43))


def test_a_match_that_goes_by_position_earns_nothing(monkeypatch):
    """Were the right cells in the order of the left ones, naming one's own row would find every partner."""

    def by_position(similarity, **_):
        n_cells = len(similarity.left)
        return MatchPosterior(sparse.identity(n_cells, format="csr"), np.zeros(n_cells))

    monkeypatch.setattr(room, "match_cells", by_position)
    query = test_cells()
    found = evaluate(small_model(), rebuilt({"rna": query["rna"], "adt": query["adt"]}))
    assert found["rna~adt match probability"] < 6 / 43
    assert found["rna~adt one-to-one accuracy"] < 6 / 43


def test_only_cells_measured_in_both_are_scored():
    query = test_cells()
    parts = {"rna": query["rna"][:40].copy(), "adt": query["adt"][5:].copy()}
    found = evaluate(small_model(), rebuilt(parts))
    wanted = evaluate(small_model(), rebuilt({name: query[name][5:40].copy() for name in ("rna", "adt")}))
    assert set(found) == {task for task in figures() if "atac" not in task}
    for task, figure in wanted.items():
        assert found[task] == pytest.approx(figure, abs=2e-4), task


def test_cells_without_partners_are_refused():
    query = test_cells()
    found = refusal(
        evaluate, small_model(), rebuilt({"rna": query["rna"][:20].copy(), "adt": query["adt"][20:].copy()})
    )
    assert found.code == "E027"
    assert found.where == "test"


def test_a_single_modality_is_refused():
    found = refusal(evaluate, small_model(), rebuilt({"rna": test_cells()["rna"]}), source_name="mine.h5mu")
    assert (found.code, found.where) == ("E027", "mine.h5mu")


def test_one_batch_has_no_figures_within_batch():
    query = training()
    one = (query["rna"].obs["batch"] == "b1").to_numpy()
    found = evaluate(small_model(), rebuilt({name: query[name][one].copy() for name in ("rna", "adt")}))
    assert not [task for task in found if "within" in task]
    assert "rna~adt foscttm" in found


def test_proteins_the_model_does_not_know_are_not_scored():
    query = test_cells()
    query["adt"].var_names = ["new", *query["adt"].var_names[1:]]
    predicted = small_model().predict(query, source="rna", target="adt").X[:, 1:]
    measured = on_scale(query["adt"], "adt")[:, 1:]
    with pytest.warns(UserWarning, match="W036"):
        found = evaluate(small_model(), query)
    assert found["rna->adt pearson"] == pytest.approx(correlations(measured, predicted).mean(), abs=1e-4)


def test_the_test_cells_are_not_changed():
    query, untouched = test_cells(), test_cells()
    evaluate(small_model(), query)
    for name in query.mod:
        assert (query[name].X != untouched[name].X).nnz == 0
        assert list(query[name].obsm) == []
        assert list(query[name].obs) == list(untouched[name].obs)
