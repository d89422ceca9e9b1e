"""Intervals across laboratories are as wide as errors of models that have not seen the laboratory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_fixtures import tiny
from mudata import MuData
from scipy import sparse

import unisono as un
from unisono.training.across import completed, with_measured_features
from unisono.uncertainty.conformal import N_LEVELS, Conformal

NAMES = ("a", "b", "c")


def laboratories(n_cells=70):
    """Three data sets of one simulation; each with antibodies of its own strength, the third with fewer proteins."""
    whole = un.datasets.simulate(n_cells=3 * n_cells, n_genes=40, n_peaks=20, n_proteins=8, seed=3)
    found = []
    for i in range(3):
        rows = slice(i * n_cells, (i + 1) * n_cells)
        rna, adt = whole["rna"][rows].copy(), whole["adt"][rows].copy()
        strength = np.exp(np.random.default_rng(i).normal(0, 1.5, 8))
        adt.X = sparse.csr_matrix(np.rint(adt.X.toarray() * strength).astype(np.int32))
        found.append(MuData({"rna": rna, "adt": adt if i < 2 else adt[:, :6].copy()}))
    return found


@pytest.fixture(scope="module")
def models():
    config = tiny(max_epochs=2)
    across = config.model_copy(update={"uncertainty": config.uncertainty.model_copy(update={"across_data_sets": True})})
    return [un.fit(laboratories(), names=NAMES, config=each) for each in (config, across)]


def test_only_the_intervals_differ(models):
    within, across = models
    np.testing.assert_array_equal(
        within.predict(laboratories()[0], "rna", "adt").X, across.predict(laboratories()[0], "rna", "adt").X
    )
    assert within.fitted.intervals.keys() == across.fitted.intervals.keys()
    assert across.fitted.intervals["rna", "adt"].groups == ()


def test_they_are_wider_where_laboratories_differ(models):
    widths = []
    for model in models:
        found = model.predict(laboratories()[0], "rna", "adt", interval=0.8)
        widths.append((found.layers["upper"] - found.layers["lower"]).mean())
    assert widths[1] > 1.1 * widths[0]


def test_the_errors_are_those_of_a_model_of_the_others(models):
    """The widths are the order statistics of the errors that fits by hand make on each data set."""
    data, config = laboratories(), models[1].config
    columns = models[1].fitted.preprocessors["adt"].projection.features
    errors = []
    for i, held in enumerate(data):
        others = [j for j in range(3) if j != i]
        model = un.fit([data[j] for j in others], names=[NAMES[j] for j in others], config=config)
        predicted = model.predict(held["rna"], "rna", "adt").to_df()
        measured = un.preprocessing.on_scale(un.read_cells(held).views["adt"]).toarray()
        error = np.full((held["adt"].n_obs, len(columns)), np.nan)
        for place, name in enumerate(held["adt"].var_names):
            if name in predicted:
                error[:, list(columns).index(name)] = measured[:, place] - predicted[name].to_numpy()
        errors.append(error)
    wanted = np.sqrt(np.nanmean(np.concatenate(errors) ** 2, axis=0))
    np.testing.assert_allclose(models[1].fitted.intervals["rna", "adt"].scale, wanted, rtol=0.02)


def test_a_feature_that_one_laboratory_measured_grows_by_the_median_of_the_others():
    rng = np.random.default_rng(0)
    inner = Conformal.fit(rng.standard_normal((400, 5)).astype(np.float32), np.zeros((400, 5), dtype=np.float32))
    wide = 3 * rng.standard_normal((400, 5)).astype(np.float32)
    wide[:, 4] = np.nan
    outer = Conformal.fit(wide, np.zeros((400, 5), dtype=np.float32))
    found = completed(outer, inner)
    width = (found.scores[0] * found.scale)[N_LEVELS // 2]
    assert width[4] == pytest.approx(3 * (inner.scores[0] * inner.scale)[N_LEVELS // 2, 4], rel=0.15)
    np.testing.assert_array_equal(width[:4], (outer.scores[0] * outer.scale)[N_LEVELS // 2, :4])


def test_features_that_no_cell_was_measured_for_are_forgotten():
    cells = un.read_cells(laboratories(), names=NAMES)
    third = cells.take(np.flatnonzero(np.char.startswith(cells.names, "c/")))
    found = with_measured_features(third)
    assert list(found.views["adt"].features) == list(laboratories()[2]["adt"].var_names)
    assert not found.views["adt"].unmeasured
    assert found.views["adt"].counts.sum() == third.views["adt"].counts.sum()


def test_fewer_levels_are_never_narrower():
    rng = np.random.default_rng(1)
    whole = Conformal.fit(rng.standard_normal((1000, 3)).astype(np.float32), np.zeros((1000, 3), dtype=np.float32))
    thin, groups = whole.thinned(50), np.array(["any"])
    for coverage in (0.5, 0.8, 0.9, 0.95):
        full, coarse = (each.bounds(coverage, groups).factors for each in (whole, thin))
        assert (coarse - full).min() >= 0.0
        slack = whole.bounds(min(coverage + 0.03, 0.999), groups).factors
        assert (coarse - slack).max() <= 0.0
    assert replace(thin, scores=whole.scores).scores.shape[1] == 4 * thin.scores.shape[1]
