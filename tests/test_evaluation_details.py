"""Tests of the evaluation report: scores are those of evaluate, samples and curves are those of the outputs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from io_fixtures import refusal
from model_fixtures import PAIRS, assert_same, counts, late_model, on_scale, rebuilt, small_model, test_cells
from scipy import sparse

from unisono.evaluation import details as room
from unisono.evaluation import report_data as space_room
from unisono.evaluation.details import evaluation_report
from unisono.evaluation.scores import evaluate


@cache
def report():
    return evaluation_report(small_model(), test_cells(), source_name="test.h5mu")


def of(directions, source, target):
    return next(each for each in directions if (each.source, each.target) == (source, target))


def test_scores_are_those_of_evaluate():
    assert_same(report().scores, evaluate(small_model(), test_cells()), rel=1e-12)


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "atac")])
def test_samples_are_what_was_measured_and_what_the_model_predicts(source, target):
    found = of(report().directions, source, target)
    query = test_cells()
    wanted = small_model().predict(query, source=source, target=target).X
    columns = found.sample.columns
    np.testing.assert_allclose(found.sample.predicted, wanted[:, columns], atol=1e-5)
    np.testing.assert_allclose(found.sample.measured, on_scale(query[target], target)[:, columns], atol=1e-5)
    assert list(found.features) == list(query[target].var_names)


def test_accuracy_by_feature_has_the_figure_as_its_mean():
    for each in report().directions:
        pearson = report().scores.value(each.source, each.target, "pearson")
        assert each.accuracy["correlation"].mean() == pytest.approx(pearson)
        assert ("AUROC" in each.accuracy) == (each.target == "atac")


def test_a_large_panel_is_shown_by_its_best_its_worst_and_its_most_variable(monkeypatch):
    monkeypatch.setattr(room, "MAX_FEATURES", 11)
    monkeypatch.setattr(room, "_EACH", 3)
    found = of(evaluation_report(small_model(), test_cells()).directions, "adt", "rna")
    assert sorted(found.sample.why) == ["least accurate"] * 3 + ["most accurate"] * 3 + ["most variable"] * 3
    assert len(set(found.sample.columns)) == 9
    scores = found.accuracy["correlation"]
    best = found.sample.columns[found.sample.why == "most accurate"]
    assert set(best) == set(np.argsort(scores)[-3:])
    worst = found.sample.columns[found.sample.why == "least accurate"]
    assert scores[worst].max() < scores[best].min()
    chosen = found.sample.columns[found.sample.why == "most variable"]
    variance = on_scale(test_cells()["rna"], "rna").var(axis=0)
    rest = np.setdiff1d(np.arange(60), found.sample.columns)
    assert variance[chosen].min() > variance[rest].max()


def test_features_found_in_a_few_cells_are_shown_only_where_others_are_lacking():
    truth = np.zeros((43, 200))
    truth[:3, :100] = 1.0
    truth[:12, 100:] = np.arange(100) + 1.0
    accuracy = np.where(np.arange(200) < 100, 0.9, np.linspace(-0.5, 0.5, 200))
    output = SimpleNamespace(truth=sparse.csc_matrix(truth))
    columns, why = room._select_examples(output, accuracy)
    assert columns.min() >= 100
    assert sorted(columns[why == "most accurate"]) == list(range(180, 200))
    truth[:12, 110:] = 0.0
    columns, _ = room._select_examples(SimpleNamespace(truth=sparse.csc_matrix(truth)), accuracy)
    assert len(set(columns)) == 60
    assert columns.max() < 110


def test_coverage_counts_measured_values_inside_the_intervals():
    found = of(report().directions, "rna", "adt").coverage
    query = test_cells()
    measured = on_scale(query["adt"], "adt")
    for x, y in zip(found.x, found.y, strict=True):
        predicted = small_model().predict(query, source="rna", target="adt", interval=float(x))
        inside = (measured >= predicted.layers["lower"] - 1e-6) & (measured <= predicted.layers["upper"] + 1e-6)
        assert y == pytest.approx(inside.mean(), abs=2 / inside.size)
    assert of(report().directions, "rna", "atac").coverage is None


def test_without_intervals_there_is_no_coverage_and_all_else():
    found = evaluation_report(late_model(), test_cells())
    assert late_model().fitted.intervals == {}
    assert {each.coverage for each in found.directions} == {None}
    assert_same(found.scores, evaluate(late_model(), test_cells()), rel=1e-12)


def test_points_of_one_cell_are_partners_and_carry_its_labels():
    space = report().space
    query = test_cells()
    assert len(space.vectors) == 3 * 43
    for point in (0, 40, 77, 128):
        name, modality = space.names[space.cell[point]], space.modality[point]
        own = small_model().embed(test_cells())[modality]
        row = own.obs_names.get_loc(name)
        np.testing.assert_allclose(space.vectors[point], own.obsm["X_unisono"][row], atol=1e-6)
        assert space.labels["cell_type"][point] == str(query[modality].obs["cell_type"].iloc[row])
    assert next(iter(space.labels)) == "batch"


def test_partners_are_more_alike_than_any_two_cells():
    alone = [each for each in report().pairings if each.is_content_alone]
    assert [(each.left, each.right) for each in alone] == list(PAIRS)
    assert list(report().pairings[:3]) == alone
    for each in alone:
        assert each.partner_similarity > each.other_similarity + 0.1
        assert each.abstention.x[-1] == 1.0
        assert list(each.reliability.n) == [15, 14, 14]


def test_many_points_are_drawn_cell_by_cell(monkeypatch):
    monkeypatch.setattr(space_room, "MAX_POINTS", 50)
    space = evaluation_report(small_model(), test_cells()).space
    assert space.is_sampled
    assert (len(space.names), space.n_cells) == (16, 43)
    assert len(space.vectors) == 3 * 16
    assert sorted(np.bincount(space.cell)) == [3] * 16


def test_numbers_of_cells_follow_their_cells():
    query = test_cells()
    depth = {name: counts(query[name]).sum(axis=1) for name in ("rna", "adt")}
    space = evaluation_report(small_model(), query, numbers={"depth": depth}).space
    assert np.isnan(space.numbers["depth"][space.modality == "atac"]).all()
    np.testing.assert_array_equal(space.numbers["depth"][space.modality == "adt"], depth["adt"])


def test_cells_that_lack_a_modality_are_shown_but_not_scored():
    query = test_cells()
    found = evaluation_report(small_model(), rebuilt({"rna": query["rna"][:40].copy(), "adt": query["adt"][5:].copy()}))
    assert found.n_cells == {"rna": 40, "adt": 38}
    assert {each.n_cells for each in found.directions} == {35}
    assert len(found.space.vectors) == 78
    assert len(found.space.names) == 43


def test_a_foreign_panel_is_scored_by_the_features_it_shares():
    query = test_cells()
    query["adt"].var_names = ["new", *query["adt"].var_names[1:]]
    with pytest.warns(UserWarning, match="W036"):
        found = evaluation_report(small_model(), query)
    direction = of(found.directions, "rna", "adt")
    assert list(direction.features) == list(query["adt"].var_names[1:])
    assert direction.coverage.n[0] == 43 * 7
    assert found.findings[0].code == "W036"


@pytest.mark.filterwarnings("ignore::unisono.messages.InputWarning")
def test_a_new_batch_and_a_missing_column_are_among_the_findings():
    query = rebuilt({m: test_cells()[m] for m in ("rna", "adt")})
    for part in query.mod.values():
        part.obs["batch"] = "b9"
    with pytest.warns(UserWarning, match="W034"):
        assert "W034" in [each.code for each in evaluation_report(small_model(), query).findings]
    for part in query.mod.values():
        del part.obs["batch"]
    with pytest.warns(UserWarning, match="W029"):
        found = evaluation_report(small_model(), query)
    assert "W029" in [each.code for each in found.findings]
    assert "batch" not in found.space.labels


def test_without_partners_it_is_refused_as_by_evaluate():
    query = test_cells()
    apart = rebuilt({"rna": query["rna"][:20].copy(), "adt": query["adt"][20:].copy()})
    assert refusal(evaluation_report, small_model(), apart).code == "E027"


def test_a_space_with_columns_of_another_length_is_refused():
    space = report().space
    with pytest.raises(ValueError, match="129 points"):
        replace(space, cell=space.cell[:-1])
