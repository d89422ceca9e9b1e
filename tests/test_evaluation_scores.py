"""Tests of evaluate: it scores what predict and match return, every row says of what, and no partner is leaked."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from io_fixtures import refusal
from model_fixtures import (
    PAIRS,
    assert_same,
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
from sklearn.linear_model import RidgeCV
from sklearn.metrics import average_precision_score, roc_auc_score

from unisono import metrics
from unisono.evaluation.score_table import Score, Scores
from unisono.evaluation.scores import evaluate
from unisono.messages import InputWarning
from unisono.model import unisono as model_room
from unisono.model.query import query_view
from unisono.types import MatchPosterior

KINDS = ("rna", "adt")
DIRECTIONS = (*PAIRS, *(pair[::-1] for pair in PAIRS))
SETTINGS = ((None, False), ("batch", False), (None, True), ("batch", True))
PREDICTION = (
    "pearson",
    "rmse",
    "mae",
    "pearson_per_cell",
    "overall_pearson",
    "n_without_correlation",
    "ridge_pearson",
)
MATCHING = (
    "foscttm",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "match_probability",
    "one_to_one_accuracy",
    "calibration_error",
    "pair_auroc",
    "pair_auprc",
    "label_transfer_accuracy",
)


@cache
def scores():
    return evaluate(small_model(), test_cells())


def shuffled(part):
    """A modality in the order that `evaluate` documents, and where the partner of each of its cells stands."""
    order = np.random.default_rng(0).permutation(part.n_obs)
    return part[order].copy(), np.argsort(order)


def similarity(left, right):
    """Inner products of unaligned vectors, with what the anchors add to each cell."""
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


def test_there_is_a_row_for_every_direction_pair_and_setting():
    wanted = set()
    for source, target in DIRECTIONS:
        names = (*PREDICTION, *(("auroc", "auprc", "ridge_auroc") if target == "atac" else ("spearman",)))
        wanted |= {("prediction", source, target, name, None, False) for name in names}
    wanted |= {("matching", *pair, name, *setting) for pair in PAIRS for name in MATCHING for setting in SETTINGS}
    assert {(row.task, *row.key) for row in scores().rows} == wanted
    assert len(scores().rows) == len(wanted) == 6 * 8 + 2 * 2 + 3 * 4 * 10
    assert all(type(row.value) is float and np.isfinite(row.value) for row in scores().rows)


@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
def test_every_score_of_prediction_is_its_metric_of_what_predict_returns(source, target):
    predicted = small_model().predict(test_cells(), source, target).X
    truth = on_scale(test_cells()[target], target)
    wanted = {
        "pearson": metrics.mean_pearson(truth, predicted),
        "spearman": metrics.spearman(truth, predicted, "feature").mean,
        "rmse": metrics.rmse(truth, predicted),
        "mae": metrics.mae(truth, predicted),
        "pearson_per_cell": metrics.pearson(truth, predicted, "cell").mean,
        "overall_pearson": metrics.overall_pearson(truth, predicted),
        "n_without_correlation": metrics.pearson(truth, predicted, "feature").n_undefined,
    }
    if target == "atac":
        areas = metrics.areas_per_feature(truth, predicted)
        wanted |= {"auroc": np.nanmean(areas.auroc), "auprc": np.nanmean(areas.auprc)}
        del wanted["spearman"]
    rows = [row for row in scores().rows if row.task == "prediction"]
    found = {row.metric: row.value for row in rows if (row.source, row.target) == (source, target)}
    found = {metric: value for metric, value in found.items() if not metric.startswith("ridge")}
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "rna"), ("atac", "adt")])
def test_the_ridge_is_scikit_learns_on_the_same_codes_at_one_of_the_penalties(source, target):
    model = late_model()
    codes = {m: model.fitted.preprocessors[m].transform(query_view_of(model, training(), m)) for m in (source, target)}
    tested = model.fitted.preprocessors[source].transform(query_view_of(model, test_cells(), source))
    ridge = RidgeCV(alphas=model.config.kernel.baseline_penalties).fit(codes[source].x, codes[target].x)
    loadings, intercept = model.fitted.predictor.loadings(source, target)
    predicted = np.maximum(ridge.predict(tested.x) @ loadings.T + intercept, 0)
    wanted = metrics.mean_pearson(on_scale(test_cells()[target], target), predicted)
    found = evaluate(model, test_cells())
    assert found.value(source, target, "ridge_pearson") == pytest.approx(wanted, abs=5e-4)
    assert abs(found.value(source, target, "pearson") - wanted) > 1e-3
    assert found.get(source, target, "ridge_pearson").chance == 0.0


def query_view_of(model, mdata, modality):
    return query_view(mdata, modality, model.fitted.preprocessors, model.record)


@pytest.mark.parametrize("within", [None, "batch"])
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_the_type_of_the_matched_cell_is_that_of_the_likeliest_one_and_chance_counts_all_pairs(left, right, within):
    query, (other, _) = test_cells()[left], shuffled(test_cells()[right])
    soft = small_model().match(query, other, within=within).to_anndata().X.toarray()
    own, others = (side.obs["cell_type"].to_numpy(dtype=str) for side in (query, other))
    found = scores().get(left, right, "label_transfer_accuracy", within=within)
    assert found.value == pytest.approx(np.mean(others[soft.argmax(axis=1)] == own))
    batches = [side.obs["batch"].to_numpy(dtype=str) for side in (query, other)]
    is_possible = np.ones((43, 43), bool) if within is None else batches[0][:, None] == batches[1]
    same = (own[:, None] == others) & is_possible
    assert found.chance == pytest.approx((same.sum(axis=1) / is_possible.sum(axis=1)).mean())
    assert 0 < found.chance < found.value < 1


def relabelled(**columns):
    """The test cells with other obs columns than their types."""
    query = test_cells()
    for part in query.mod.values():
        types = part.obs.pop("cell_type").astype(str)
        for name, of in columns.items():
            part.obs[name] = of(types)
    return query


def test_the_column_of_labels_is_the_one_named_or_the_first_usual_one_and_is_told():
    assert scores().label_key == "cell_type"
    query = relabelled(leiden=lambda types: types, mine=lambda types: np.where(types == "type1", "a", "b"))
    usual, named = evaluate(small_model(), query), evaluate(small_model(), query, label_key="mine")
    assert (usual.label_key, named.label_key) == ("leiden", "mine")
    chance = [each.get("rna", "adt", "label_transfer_accuracy").chance for each in (usual, named)]
    assert chance[0] == scores().get("rna", "adt", "label_transfer_accuracy").chance
    assert chance[1] > chance[0]
    found = refusal(evaluate, small_model(), query, label_key="yours")
    assert found.code == "E029"
    assert "'yours'" in found.what


def test_without_labels_their_rows_are_absent_and_cells_without_one_are_not_judged():
    bare = evaluate(small_model(), relabelled())
    assert bare.label_key is None
    assert {row.metric for row in scores().rows} - {row.metric for row in bare.rows} == {"label_transfer_accuracy"}
    some = relabelled(cell_type=lambda types: types.where(types == "type1"))
    found = evaluate(small_model(), some).get("rna", "adt", "label_transfer_accuracy")
    is_known = (test_cells()["rna"].obs["cell_type"] == "type1").to_numpy()
    assert 3 < is_known.sum() < 40
    assert found.chance == pytest.approx(is_known.mean())


@pytest.mark.parametrize(("within", "depth"), SETTINGS)
@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_every_score_of_matching_is_its_metric_of_what_match_returns(left, right, within, depth):
    query, (other, partner) = test_cells()[left], shuffled(test_cells()[right])
    soft, one_to_one = (
        small_model().match(query, other, within=within, depth=depth, **rule).to_anndata().X
        for rule in ({}, {"rule": "one-to-one"})
    )
    groups = None if within is None else tuple(side.obs[within].to_numpy(dtype=str) for side in (query, other))
    auroc, auprc = metrics.pair_areas(soft, partner, groups)
    wanted = {
        "match_probability": metrics.match_probability(soft, partner, groups),
        "one_to_one_accuracy": metrics.one_to_one_accuracy(one_to_one, partner, groups),
        "calibration_error": metrics.match_calibration_error(soft, partner, groups),
        "pair_auroc": auroc,
        "pair_auprc": auprc,
    }
    for metric, value in wanted.items():
        found = scores().value(left, right, metric, within=within, depth=depth)
        assert found == pytest.approx(value, abs=1e-6), metric


def test_partners_beyond_the_hundred_that_match_keeps_by_default_are_left_out():
    query = rebuilt({name: training()[name] for name in KINDS})
    right, partner = shuffled(query["adt"])
    soft = small_model().match(query["rna"], right).to_anndata().X
    assert np.diff(soft.indptr).max() == 100 < 151
    wanted = metrics.match_probability(soft, partner), metrics.pair_areas(soft, partner)[0]
    with pytest.warns(InputWarning, match="W064 test: 151 of 151 test cells were training cells"):
        found = evaluate(small_model(), query)
    assert found.value("rna", "adt", "match_probability") == pytest.approx(wanted[0], abs=1e-6)
    assert found.value("rna", "adt", "pair_auroc") == pytest.approx(wanted[1], abs=1e-6)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_pair_areas_are_scikit_learns_over_all_pairs_or_those_within_a_batch(left, right):
    is_partner = np.eye(43, dtype=bool)
    batch = test_cells()[left].obs["batch"].to_numpy(dtype=str)
    for within, is_possible in ((None, np.ones((43, 43), dtype=bool)), ("batch", batch[:, None] == batch)):
        soft = small_model().match(test_cells()[left], test_cells()[right], within=within).to_anndata().X.toarray()
        auroc = roc_auc_score(is_partner[is_possible], soft[is_possible])
        auprc = average_precision_score(is_partner[is_possible], soft[is_possible])
        assert scores().value(left, right, "pair_auroc", within=within) == pytest.approx(auroc, abs=1e-3)
        assert scores().value(left, right, "pair_auprc", within=within) == pytest.approx(auprc, abs=1e-3)


def test_one_posterior_serves_both_rules(monkeypatch):
    room, calls = import_module("unisono.matching.match"), []
    solved = room.posterior_among_all
    monkeypatch.setattr(room, "posterior_among_all", lambda *args: calls.append(1) or solved(*args))
    query = test_cells()
    evaluate(small_model(), rebuilt({name: query[name] for name in KINDS}))
    assert len(calls) == 2 * (1 + 2)


def test_chance_stands_beside_every_score_that_has_one():
    found = {row.metric for row in scores().rows if row.chance is None}
    assert found == {"n_without_correlation", "calibration_error"}
    assert scores().get("rna", "adt", "foscttm", within="batch").chance == 0.5
    assert scores().get("rna", "adt", "recall_at_5").chance == pytest.approx(5 / 43)
    assert scores().get("rna", "adt", "pearson").chance == 0.0


def row(**changes):
    plain = ("prediction", "rna", "adt", None, False, "pearson", 0.25, 0.0)
    return replace(Score(*plain), **changes)


def test_the_frame_has_a_row_for_each_score_and_nan_where_chance_is_unknown():
    frame = scores().to_frame()
    assert list(frame) == ["task", "source", "target", "within", "depth", "metric", "value", "chance"]
    chosen = frame[(frame.metric == "foscttm") & (frame.source == "rna") & (frame.within == "batch") & frame.depth]
    assert list(chosen.value) == [scores().value("rna", "adt", "foscttm", within="batch", depth=True)]
    assert frame.chance.isna().sum() == sum(row.chance is None for row in scores().rows) > 0
    assert (frame.value.dtype, frame.chance.dtype) == (np.float64, np.float64)
    assert list(Scores((row(chance=None),)).to_frame().chance.isna()) == [True]


def test_the_dictionary_is_plain_json_and_holds_the_same_table():
    found = json.loads(json.dumps(scores().to_dict(), allow_nan=False))
    assert list(found) == ["prediction", "matching"]
    frame = pd.concat([pd.DataFrame(rows).assign(task=task) for task, rows in found.items()], ignore_index=True)
    pd.testing.assert_frame_equal(frame[list(scores().to_frame())], scores().to_frame(), check_dtype=False)
    assert Scores((row(value=float("nan")),)).to_dict()["prediction"][0]["value"] is None
    assert Scores((row(chance=float("nan")),)).to_dict()["prediction"][0]["chance"] is None


def test_a_score_is_found_by_what_it_is_of_and_missed_by_anything_else():
    table = Scores((row(), row(task="matching", metric="foscttm", value=0.1), row(target="atac", value=0.5)))
    assert table.value("rna", "adt", "pearson") == 0.25
    assert table.value("rna", "atac", "pearson") == 0.5
    assert table.get("adt", "rna", "pearson") is None
    assert table.get("rna", "adt", "foscttm", depth=True) is None
    with pytest.raises(KeyError, match="no foscttm of rna and adt with within='batch', depth=False"):
        table.value("rna", "adt", "foscttm", within="batch")


def test_two_rows_of_one_score_are_refused():
    with pytest.raises(ValueError, match=r"1 scores stand in several rows \(first: \('rna', 'adt', 'pearson'"):
        Scores((row(), row(value=0.5)))


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_ranks_are_those_of_the_unaligned_embedding_and_the_anchors(left, right):
    s = similarity(left, right)
    batch = test_cells()[left].obs["batch"].to_numpy(dtype=str)
    assert scores().value(left, right, "foscttm") == pytest.approx(foscttm_by_hand(s), abs=1e-3)
    assert scores().value(left, right, "foscttm", within="batch") == pytest.approx(foscttm_by_hand(s, batch), abs=1e-3)
    for k in (1, 5, 10):
        recall = ((s > np.diag(s)[:, None]).sum(axis=1) < k).mean()
        assert scores().value(left, right, f"recall_at_{k}") == pytest.approx(recall, abs=1e-6)


def test_rank_within_batch_with_depth_compares_what_match_within_batch_compares():
    views = [
        query_view(test_cells(), m, small_model().fitted.preprocessors, small_model().record) for m in ("rna", "adt")
    ]
    batch = views[0].batch
    left, right = small_model().fitted.similarity(*views, depth=True, groups=(batch, batch)).vectors
    wanted = foscttm_by_hand(left.astype(np.float64) @ right.T.astype(np.float64), batch)
    assert scores().value("rna", "adt", "foscttm", within="batch", depth=True) == pytest.approx(wanted, abs=1e-6)


def test_scores_of_a_model_that_learnt_are_better_than_chance():
    found = evaluate(late_model(), test_cells())
    assert found.value("rna", "adt", "pearson") > 0.3
    assert found.value("rna", "adt", "foscttm") < 0.3
    assert found.value("rna", "adt", "match_probability") > 1.5 / 43


@pytest.mark.parametrize("name", ["atac", "rna", "adt"])
def test_permuting_the_rows_of_one_modality_leaves_every_score_alone(name):
    query = test_cells()
    parts = dict(query.mod)
    parts[name] = parts[name][np.random.default_rng(6).permutation(43)].copy()
    found = evaluate(small_model(), rebuilt(parts))
    assert_same(found, scores(), abs=2e-4)


def test_wrong_partners_cost_the_scores_that_right_ones_earn():
    query = test_cells()
    misnamed = query["adt"].copy()
    misnamed.obs_names = np.roll(misnamed.obs_names, 1)
    misnamed.obs["batch"] = query["rna"].obs["batch"].reindex(misnamed.obs_names)
    found = evaluate(small_model(), rebuilt({"rna": query["rna"], "adt": misnamed}))
    assert found.value("rna", "adt", "foscttm") == pytest.approx(0.5, abs=0.1)
    assert found.value("rna", "adt", "foscttm") > scores().value("rna", "adt", "foscttm") + 0.1
    assert found.value("rna", "adt", "pearson") < scores().value("rna", "adt", "pearson") - 0.1


def test_matching_is_given_the_right_cells_in_an_order_that_tells_nothing(monkeypatch):
    given, matched = [], []
    by_rules, match = model_room.Unisono.match_by_rules, model_room.match_posterior

    def watched(model, left, right, rules, **options):
        given.append((left, right, options["groups"]))
        return by_rules(model, left, right, rules, **options)

    def watched_match(similarity, **options):
        matched.append(similarity)
        return match(similarity, **options)

    monkeypatch.setattr(model_room.Unisono, "match_by_rules", watched)
    monkeypatch.setattr(model_room, "match_posterior", watched_match)
    query = test_cells()
    evaluate(small_model(), rebuilt({"rna": query["rna"], "adt": query["adt"]}))
    assert (len(given), len(matched)) == (2 * 2, 2 * 2)
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

    monkeypatch.setattr(model_room, "match_posterior", by_position)
    query = test_cells()
    found = evaluate(small_model(), rebuilt({"rna": query["rna"], "adt": query["adt"]}))
    assert found.value("rna", "adt", "match_probability") < 6 / 43
    assert found.value("rna", "adt", "one_to_one_accuracy") < 6 / 43


def test_only_cells_measured_in_both_are_scored():
    query = test_cells()
    parts = {"rna": query["rna"][:40].copy(), "adt": query["adt"][5:].copy()}
    found = evaluate(small_model(), rebuilt(parts))
    wanted = evaluate(small_model(), rebuilt({name: query[name][5:40].copy() for name in ("rna", "adt")}))
    assert_same(found, wanted, abs=2e-4)
    assert {row.key for row in found.rows} == {row.key for row in scores().rows if "atac" not in row.key}


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


def test_one_batch_has_no_scores_within_batch():
    query = training()
    one = (query["rna"].obs["batch"] == "b1").to_numpy()
    with pytest.warns(InputWarning, match=f"W064 test: {one.sum()} of {one.sum()} test cells"):
        found = evaluate(small_model(), rebuilt({name: query[name][one].copy() for name in ("rna", "adt")}))
    assert {row.within for row in found.rows} == {None}
    assert found.get("rna", "adt", "foscttm") is not None


def test_proteins_the_model_does_not_know_are_not_scored():
    query = test_cells()
    query["adt"].var_names = ["new", *query["adt"].var_names[1:]]
    predicted = small_model().predict(query, source="rna", target="adt").X[:, 1:]
    measured = on_scale(query["adt"], "adt")[:, 1:]
    with pytest.warns(UserWarning, match="W036"):
        found = evaluate(small_model(), query)
    assert found.value("rna", "adt", "pearson") == pytest.approx(correlations(measured, predicted).mean(), abs=1e-4)


def test_the_test_cells_are_not_changed():
    query, untouched = test_cells(), test_cells()
    evaluate(small_model(), query)
    for name in query.mod:
        assert (query[name].X != untouched[name].X).nnz == 0
        assert list(query[name].obsm) == []
        assert list(query[name].obs) == list(untouched[name].obs)
