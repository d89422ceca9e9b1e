"""Tests of intervals and novelty of a fitted model: they cover what they promise, and say where nothing is promised."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from io_fixtures import refusal
from model_fixtures import on_scale, rebuilt, small_model, take, test_cells, tiny
from scipy import sparse

from unisono.api import fit, load
from unisono.datasets import simulate
from unisono.evaluation.details import evaluation_report
from unisono.model.query import query_view
from unisono.model.unisono import Unisono

N_TRAINING, N_UNSEEN = 1100, 401


@cache
def cells():
    return simulate(n_cells=N_TRAINING + 2 * N_UNSEEN, n_genes=40, n_peaks=50, n_proteins=9, batch_effect=0.5, seed=8)


def part(start, stop):
    return take(cells(), slice(start, stop))


@cache
def model() -> Unisono:
    """1100 cells, of which 220 are validation cells; not refitted on them."""
    config = tiny(validation={"fraction": 0.2})
    return fit(part(0, N_TRAINING), batch_key="batch", config=config, device="cpu")


def unseen(start, stop):
    """Cells after those of the fit."""
    return part(N_TRAINING + start, N_TRAINING + stop)


def covered(found, query, target):
    measured = on_scale(query[target], target)
    return ((measured >= found.layers["lower"]) & (measured <= found.layers["upper"])).mean()


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "rna"), ("atac", "adt")])
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_new_cells_are_covered_as_often_as_promised(source, target, coverage):
    query = unseen(0, N_UNSEEN)
    found = model().predict(query, source, target, interval=coverage)
    assert covered(found, query, target) == pytest.approx(coverage, abs=0.05)
    assert (found.layers["lower"] >= 0).all()
    assert (found.layers["lower"] <= found.X + 1e-6).all()
    assert (found.layers["upper"] >= found.X - 1e-6).all()
    assert found.uns["unisono"]["interval"] == coverage


def test_wider_coverage_gives_wider_intervals_about_the_same_prediction():
    query = unseen(0, 60)
    narrow, wide = (model().predict(query, "rna", "adt", interval=c) for c in (0.5, 0.9))
    np.testing.assert_allclose(narrow.X, wide.X, atol=1e-6)
    np.testing.assert_allclose(narrow.X, model().predict(query, "rna", "adt").X, atol=1e-6)
    assert ((wide.layers["upper"] - narrow.layers["upper"]) > 0).all()


def test_a_saved_model_gives_the_same_intervals_and_novelty(tmp_path):
    query = unseen(0, 30)
    model().save(tmp_path / "model")
    again = load(tmp_path / "model", device="cpu").predict(query, "rna", "adt", interval=0.8)
    wanted = model().predict(query, "rna", "adt", interval=0.8)
    for layer in ("lower", "upper"):
        np.testing.assert_allclose(again.layers[layer], wanted.layers[layer], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(again.obs["unisono_novelty"], wanted.obs["unisono_novelty"], rtol=1e-5)


def test_calibration_on_shifted_cells_restores_what_the_shift_broke():
    def shifted(start, stop):
        query = unseen(start, stop)
        adt = query["adt"].copy()
        adt.X = adt.X.multiply(np.where(np.arange(9) % 3 == 0, 6, 1)).tocsr().astype(np.int64)
        return rebuilt({"rna": query["rna"], "adt": adt})

    query = shifted(N_UNSEEN, 2 * N_UNSEEN)
    before = covered(model().predict(query, "rna", "adt", interval=0.9), query, "adt")
    calibrated = model().calibrate(shifted(0, N_UNSEEN))
    after = covered(calibrated.predict(query, "rna", "adt", interval=0.9), query, "adt")
    assert before < 0.8
    assert after == pytest.approx(0.9, abs=0.04)
    np.testing.assert_array_equal(calibrated.predict(query, "rna", "adt").X, model().predict(query, "rna", "adt").X)


def test_groups_asked_for_have_widths_of_their_own():
    known = unseen(0, N_UNSEEN)
    grouped = model().calibrate(known, by="batch").fitted.intervals["rna", "adt"]
    names, sizes = np.unique(known["rna"].obs["batch"], return_counts=True)
    assert grouped.groups == tuple(names)
    assert grouped.n_cells == (N_UNSEEN, *sizes)
    assert np.abs(grouped.scores[1] - grouped.scores[2]).max() > 0.01


def annotated(start, stop):
    """Cells of two kinds: proteins of the noisy third are measured with an error of their own."""
    query = unseen(start, stop)
    rng = np.random.default_rng(start)
    kind = np.where(rng.random(stop - start) < 1 / 3, "noisy", "clean")
    adt = query["adt"].copy()
    noise = np.where((kind == "noisy")[:, None], rng.choice([0.25, 4.0], size=adt.shape), 1.0)
    adt.X = sparse.csr_matrix(np.rint(adt.X.toarray() * noise).astype(np.int64))
    found = rebuilt({"rna": query["rna"].copy(), "adt": adt})
    found["rna"].obs["kind"] = found["adt"].obs["kind"] = kind
    return found, kind


def test_intervals_calibrated_by_a_column_hold_within_its_groups_and_are_looked_up_by_it(tmp_path):
    known, _ = annotated(0, N_UNSEEN)
    query, kind = annotated(N_UNSEEN, 2 * N_UNSEEN)
    model().calibrate(known, by="kind").save(tmp_path / "by_kind")
    whole, by_kind = model().calibrate(known), load(tmp_path / "by_kind", device="cpu")
    for group in ("noisy", "clean"):
        cells = query[kind == group].copy()
        of_all, of_group = (m.predict(cells, "rna", "adt", interval=0.8) for m in (whole, by_kind))
        assert abs(covered(of_all, cells, "adt") - 0.8) > 0.07
        assert covered(of_group, cells, "adt") == pytest.approx(0.8, abs=0.05)
    alone = by_kind.predict(query["rna"], "rna", "adt", interval=0.8)
    np.testing.assert_array_equal(
        alone.layers["upper"], by_kind.predict(query, "rna", "adt", interval=0.8).layers["upper"]
    )


def test_cells_without_a_value_in_the_column_have_the_widths_of_all_cells():
    known, _ = annotated(0, N_UNSEEN)
    by_kind = model().calibrate(known, by="kind")
    query, kind = annotated(N_UNSEEN, N_UNSEEN + 60)
    wanted = by_kind.predict(query, "rna", "adt", interval=0.9)
    rna = query["rna"].copy()
    rna.obs["kind"] = rna.obs["kind"].astype(object).where(np.arange(60) < 20)
    some = by_kind.predict(rna, "rna", "adt", interval=0.9)
    del rna.obs["kind"]
    with pytest.warns(UserWarning, match=r"W067 query, rna: no obs column 'kind'"):
        none = by_kind.predict(rna, "rna", "adt", interval=0.9)
    np.testing.assert_array_equal(some.layers["upper"][:20], wanted.layers["upper"][:20])
    np.testing.assert_array_equal(some.layers["upper"][20:], none.layers["upper"][20:])
    noisy = kind[20:] == "noisy"
    assert (wanted.layers["upper"] - none.layers["upper"])[20:][noisy].mean() > 0.05


def test_a_column_to_calibrate_by_has_to_be_there_and_complete():
    known, _ = annotated(0, 100)
    found = refusal(model().calibrate, known, by="lineage")
    assert (found.code, found.where) == ("E029", "cells, rna")
    known["rna"].obs["kind"] = known["rna"].obs["kind"].astype(object).where(np.arange(100) > 2)
    found = refusal(model().calibrate, known, by="kind")
    assert (found.code, found.where) == ("E031", "cells, rna")
    assert found.remedy == "fill it in or leave out by"


def test_coverage_in_a_report_is_that_of_the_groups_that_were_calibrated_by():
    known, _ = annotated(0, N_UNSEEN)
    by_kind = model().calibrate(known, by="kind")
    query, kind = annotated(N_UNSEEN, 2 * N_UNSEEN)
    noisy = query[kind == "noisy"].copy()
    (found,) = [d for d in evaluation_report(by_kind, noisy).directions if (d.source, d.target) == ("rna", "adt")]
    curve = dict(zip(found.coverage.x, found.coverage.y, strict=True))
    assert curve[0.8] == pytest.approx(0.8, abs=0.05)


def test_few_validation_cells_give_infinite_intervals_of_high_coverage():
    few = model().calibrate(unseen(0, 30))
    found = few.predict(unseen(100, 110), "rna", "adt", interval=0.99)
    assert np.isinf(found.layers["upper"]).all()
    assert np.isfinite(few.predict(unseen(100, 110), "rna", "adt", interval=0.9).layers["upper"]).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"interval": 1.0, "target": "adt"}, "no coverage"),
        ({"interval": 0.9, "target": "atac"}, "atac is measured as 0 or 1"),
        ({"interval": 0.9, "target": "adt", "via": "atac"}, "intervals of a chain"),
    ],
)
def test_intervals_that_cannot_be_given_are_refused(options, text):
    found = refusal(model().predict, unseen(0, 10), source="rna", **options)
    assert found.code == "E053"
    assert text in found.what


def test_a_model_without_validation_cells_says_how_to_get_intervals():
    without = Unisono(replace(model().fitted, intervals={}))
    found = refusal(without.predict, unseen(0, 10), "rna", "adt", interval=0.9)
    assert "model.calibrate" in found.remedy


def test_too_few_cells_to_calibrate_with_are_refused():
    assert refusal(model().calibrate, unseen(0, 7)).code == "E027"


def test_novelty_is_measured_on_validation_cells_where_there_are_200_and_one_new_cell_in_20_exceeds_1():
    query = unseen(0, 2 * N_UNSEEN)
    for modality in ("atac", "rna", "adt"):
        view = query_view(query, modality, model().fitted.preprocessors, model().record)
        assert (model().fitted.novelty(view) > 1).mean() == pytest.approx(0.05, abs=0.035), modality


@pytest.mark.filterwarnings("ignore:W017:unisono.messages.InputWarning")
def test_cells_unlike_those_of_training_are_novel():
    query = test_cells()
    usual = small_model().predict(query, "rna", "adt").obs["unisono_novelty"].to_numpy()
    rna = query["rna"].copy()
    rng = np.random.default_rng(0)
    rna.X = rna.X[:, rng.permutation(rna.n_vars)]
    unusual = small_model().predict(rna, "rna", "adt").obs["unisono_novelty"].to_numpy()
    assert np.median(usual) < 1
    assert np.median(unusual) > 1.15 * np.median(usual)


@pytest.mark.filterwarnings("ignore:W036")
def test_a_feature_that_the_cells_of_calibration_lack_has_infinite_ends():
    known = unseen(0, 61)
    known = rebuilt({"rna": known["rna"], "adt": known["adt"][:, [0, 2, 3, 4, 5, 6, 7, 8]].copy()})
    found = model().calibrate(known).predict(unseen(61, 72), "rna", "adt", interval=0.5)
    lacks = found.var_names == cells()["adt"].var_names[1]
    assert np.isinf(found.layers["upper"][:, lacks]).all()
    assert np.isfinite(found.layers["upper"][:, ~lacks]).all()
