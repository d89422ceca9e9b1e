"""Tests of the pictures of the API: what is drawn is what the data say, where asked, and nothing is shown."""

from __future__ import annotations

import inspect
import subprocess
import sys
from functools import cache

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.colors import to_rgba
from model_fixtures import correlations, late_model, on_scale, rebuilt, small_model, take, test_cells, tiny, training
from scipy.stats import spearmanr

import unisono as un
from unisono.metrics import reliability, top_match
from unisono.modalities import spec_of
from unisono.palette import CLASSES, class_colours

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def nothing_is_shown(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    yield shown
    plt.close("all")


@cache
def predicted():
    return late_model().predict(test_cells(), "rna", "adt")


def embedded():
    return late_model().embed(test_cells())


def points(ax):
    return np.asarray(ax.collections[0].get_offsets())


def colours(ax):
    return ax.collections[0].get_facecolors()


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_every_cell_of_every_modality_is_drawn_in_the_colour_of_its_modality():
    query = embedded()
    ax = un.pl.embedding(query)
    assert points(ax).shape == (3 * 43, 2)
    for name in ("atac", "rna", "adt"):
        assert (np.abs(colours(ax) - to_rgba(spec_of(name).colour)).max(axis=1) < 1e-6).sum() == 43
    assert labels(ax) == ["atac", "rna", "adt"]
    assert ax.get_title() == "modality"


def test_two_dimensions_are_drawn_as_they_are_and_more_as_principal_components():
    flat = AnnData(np.zeros((7, 2)), obs=pd.DataFrame({"n": np.arange(7.0)}, index=[f"c{i}" for i in range(7)]))
    flat.obsm["X_umap"] = np.random.default_rng(0).normal(size=(7, 2))
    ax = un.pl.embedding(flat, basis="X_umap", color="n")
    order = np.asarray(ax.collections[0].get_array()).astype(int)
    np.testing.assert_allclose(points(ax), flat.obsm["X_umap"][order])
    assert sorted(order) == list(range(7))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("umap 1", "umap 2")
    query = embedded()
    found = points(un.pl.embedding(query["rna"], color="batch"))
    x = query["rna"].obsm["X_unisono"].astype(np.float64)
    variance = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    np.testing.assert_allclose(np.sort(found.var(axis=0, ddof=1))[::-1], variance[:2], rtol=1e-5)


def test_an_obs_column_of_one_modality_colours_its_cells_and_the_others_are_not_known():
    query = embedded()
    query["rna"].obs["half"] = np.where(np.arange(43) < 20, "a", "b")
    ax = un.pl.embedding(query, color="half", palette={"a": "red", "b": "blue"})
    found = {colour: (np.abs(colours(ax) - to_rgba(colour)).max(axis=1) < 1e-6).sum() for colour in ("red", "blue")}
    assert found == {"red": 20, "blue": 23}
    assert labels(ax) == ["a", "b", "not known"]


def test_colours_stored_by_scanpy_are_used():
    query = embedded()
    query["rna"].obs["kind"] = pd.Categorical(np.where(np.arange(43) < 11, "y", "x"), categories=["y", "x"])
    query["rna"].uns["kind_colors"] = ["#00ff00", "#000000"]
    ax = un.pl.embedding(query["rna"], color="kind")
    assert (np.abs(colours(ax) - to_rgba("#00ff00")).max(axis=1) < 1e-6).sum() == 11


def test_a_feature_colours_cells_by_its_values():
    query = embedded()
    gene = query["rna"].var_names[4]
    drawn = np.asarray(un.pl.embedding(query["rna"], color=gene).collections[0].get_array())
    np.testing.assert_array_equal(np.sort(drawn), np.sort(query["rna"][:, gene].X.toarray().ravel()))


def test_cells_without_an_embedding_are_left_out():
    query = embedded()
    query["rna"].obsm["X_unisono"][[3, 8]] = np.nan
    assert len(points(un.pl.embedding(query["rna"], color="batch"))) == 41


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match=r"obsm has no 'X_unisono'; call model\.embed"):
        un.pl.embedding(test_cells())
    with pytest.raises(ValueError, match="'nobody' is neither an obs column nor a feature"):
        un.pl.embedding(embedded(), color="nobody")


def test_features_are_bars_of_their_correlation_best_first():
    ax = un.pl.features(late_model(), test_cells(), "rna", "adt")
    truth = on_scale(test_cells()["adt"], "adt")
    wanted = correlations(predicted().X, truth)
    order = np.argsort(-wanted)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], wanted[order], rtol=1e-4)
    assert [text.get_text() for text in ax.get_yticklabels()] == predicted().var_names[order].tolist()
    assert ax.get_title() == f"adt from rna: 8 features, mean {wanted.mean():.3f}"


def test_features_are_paired_by_cell_name_and_by_feature_name():
    query = test_cells()
    shuffled = query["adt"][np.random.default_rng(0).permutation(43)].copy()[:, np.arange(8)[::-1]].copy()
    both = query, rebuilt({"rna": query["rna"], "adt": shuffled})
    drawn = [un.pl.features(late_model(), cells, "rna", "adt") for cells in both]
    widths = [[bar.get_width() for bar in ax.patches] for ax in drawn]
    np.testing.assert_allclose(widths[0], widths[1], rtol=1e-6)


def test_many_features_are_a_falling_curve_with_names_at_its_ends():
    found = late_model().predict(test_cells(), "adt", "rna")
    ax = un.pl.features(late_model(), test_cells(), "adt", "rna", figure="spearman", n_named=3)
    y = ax.lines[0].get_ydata()
    truth = on_scale(test_cells()["rna"], "rna")
    wanted = np.array([spearmanr(a, b)[0] for a, b in zip(found.X.T, truth.T, strict=True)])
    wanted = np.where((found.X.std(axis=0) > 0) & (truth.std(axis=0) > 0), wanted, np.nan)
    order = np.argsort(-wanted)[: np.isfinite(wanted).sum()]
    np.testing.assert_allclose(y, wanted[order], atol=1e-6)
    names = found.var_names[order]
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["\n".join(["best", *names[:3]]), "\n".join(["worst", *names[-3:]])]


def test_features_without_measured_values_of_the_same_cells_are_refused():
    query = test_cells()
    with pytest.raises(ValueError, match="test has rna, expected adt"):
        un.pl.features(late_model(), rebuilt({"rna": query["rna"]}), "rna", "adt")
    elsewhere = query["adt"].copy()
    elsewhere.obs_names = [f"other{i}" for i in range(43)]
    with pytest.raises(ValueError, match="share no cell"):
        un.pl.features(late_model(), rebuilt({"rna": query["rna"], "adt": elsewhere}), "rna", "adt")


def test_calibration_is_the_reliability_of_the_likeliest_matches():
    query = test_cells()
    order = np.random.default_rng(1).permutation(43)
    apart = rebuilt({"rna": query["rna"], "adt": query["adt"][order].copy()})
    links = small_model().match(query["rna"], query["adt"][order].copy())
    ax = un.pl.calibration(small_model(), apart, "rna", "adt", bins=6)
    partner = np.argsort(order)
    correct, stated = top_match(links.match_posterior.probabilities, partner)
    curve = reliability(stated, correct, 6)
    found = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(found.get_xdata(), curve.x, rtol=1e-6)
    np.testing.assert_allclose(found.get_ydata(), curve.y)
    half = rebuilt({"rna": query["rna"][:30].copy(), "adt": query["adt"]})
    assert un.pl.calibration(small_model(), half, "rna", "adt", bins=6).get_title() == "rna to adt, 30 cells"
    inside = un.pl.calibration(small_model(), query, "rna", "adt", within="batch", bins=6)
    other = next(line for line in inside.lines if line.get_marker() == "o").get_xdata()
    assert np.abs(other - curve.x).max() > 1e-3
    strangers = query["adt"].copy()
    strangers.obs_names = [f"other{i}" for i in range(43)]
    with pytest.raises(ValueError, match="no cell has both rna and adt"):
        un.pl.calibration(small_model(), rebuilt({"rna": query["rna"], "adt": strangers}), "rna", "adt")


def test_coverage_is_the_share_of_values_inside_their_intervals():
    ax = un.pl.coverage(small_model(), test_cells(), "rna", "adt", levels=(0.5, 0.8))
    predicted_ = small_model().predict(test_cells(), "rna", "adt", interval=0.8)
    truth = on_scale(test_cells()["adt"], "adt")
    inside = (truth >= predicted_.layers["lower"]) & (truth <= predicted_.layers["upper"])
    found = next(line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(found.get_xdata(), [0.5, 0.8])
    assert found.get_ydata()[1] == pytest.approx(inside.mean(), abs=1e-6)
    assert found.get_ydata()[0] < found.get_ydata()[1]


def test_a_swap_draws_a_violin_a_style_about_its_mean():
    feature = late_model().fitted.preprocessors["adt"].projection.features[2]
    ax = un.pl.style_swap(late_model(), test_cells(), "rna", "adt", feature)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["average", "b1", "b2"]
    wanted = [
        late_model().predict(test_cells(), "rna", "adt", style=name)[:, feature].X.mean()
        for name in ("average", "b1", "b2")
    ]
    means = next(part for part in ax.collections if len(part.get_paths()) == 3)
    drawn = [path.vertices[0, 1] for path in means.get_paths()]
    np.testing.assert_allclose(drawn, wanted, rtol=1e-5)
    assert abs(wanted[1] - wanted[2]) > 0.01
    some = un.pl.style_swap(late_model(), test_cells(), "rna", "adt", feature, styles=["b2"])
    assert [text.get_text() for text in some.get_xticklabels()] == ["b2"]
    with pytest.raises(ValueError, match="adt: no feature 'CD0'"):
        un.pl.style_swap(late_model(), test_cells(), "rna", "adt", "CD0")


def test_a_model_of_one_batch_has_no_style_to_swap_and_says_so():
    cells = take(training(), slice(0, 60))
    model = un.fit(cells, config=tiny(max_epochs=1, n_members=1, validation={"fraction": 0}), device="cpu")
    feature = model.fitted.preprocessors["adt"].projection.features[2]
    with pytest.raises(ValueError, match=r"adt: the model knows one batch \('all'\), so there is no style to swap"):
        un.pl.style_swap(model, test_cells(), "rna", "adt", feature)
    assert un.pl.style_swap(model, test_cells(), "rna", "adt", feature, styles=["average"]) is not None


def test_every_picture_of_a_model_takes_it_first_then_the_cells_then_the_modalities():
    taken = {name: list(inspect.signature(getattr(un.pl, name)).parameters) for name in un.pl.__all__}
    asking = {name: names for name, names in taken.items() if "model" in names}
    assert set(taken) - set(asking) == {"embedding"}
    assert {names[0] for names in asking.values()} == {"model"}
    assert {names[1] for names in asking.values()} <= {"test", "query"}
    assert {tuple(names[2:4]) for names in asking.values()} == {("source", "target"), ("left", "right")}
    for name in taken:
        parameters = inspect.signature(getattr(un.pl, name)).parameters
        assert [each for each in parameters if each in ("ax", "show", "save")] == ["ax", "show", "save"]


@pytest.mark.parametrize("name", ["embedding", "calibration", "coverage"])
def test_a_legend_stands_outside_the_axes(name):
    if name == "embedding":
        ax = un.pl.embedding(embedded(), color="modality")
    else:
        ax = getattr(un.pl, name)(small_model(), test_cells(), "rna", "adt")
    ax.figure.canvas.draw()
    inside, legend = ax.get_window_extent(), ax.get_legend().get_window_extent()
    assert not inside.overlaps(legend)
    title = ax.xaxis.label.get_window_extent()
    assert not title.overlaps(legend)
    whole = ax.figure.bbox.padded(1)
    assert all(whole.contains(*corner) for corner in legend.corners())


def test_classes_have_colours_of_their_own_those_of_the_report_first():
    assert class_colours(7) == list(CLASSES)
    assert len(set(class_colours(21))) == 21
    query = embedded()
    ax = un.pl.embedding(query["rna"], color="batch")
    assert (np.abs(colours(ax) - to_rgba(CLASSES[0])).max(axis=1) < 1e-6).sum() == (
        query["rna"].obs["batch"] == "b1"
    ).sum()


def test_a_picture_is_drawn_where_asked_saved_where_asked_and_shown_only_when_asked(tmp_path, nothing_is_shown):
    ours = plt.subplots()[1]
    query = late_model().embed(take(test_cells(), slice(0, 9)))
    assert un.pl.embedding(query, ax=ours, save=tmp_path / "cells.png") is ours
    assert (tmp_path / "cells.png").read_bytes().startswith(b"\x89PNG")
    assert nothing_is_shown == []
    assert un.pl.embedding(query, show=True) is not ours
    assert nothing_is_shown == [True]


def test_pictures_are_not_imported_before_one_is_drawn():
    code = "import unisono as un, sys; un.pl.features; print(sorted({'matplotlib', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
