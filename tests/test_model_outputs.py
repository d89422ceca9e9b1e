"""Tests of what outputs carry: the query's obs, the training var, the model they come from, pairs, and ten lines."""

from __future__ import annotations

import io
import re
import warnings

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from io_fixtures import refusal
from model_fixtures import rebuilt, small_model, test_cells, tiny, training

import unisono as un
from unisono.display import as_html, as_text
from unisono.io.annotations import obs_of
from unisono.types import Annotation


def labelled():
    """Test cells with columns of every kind in obs."""
    mdata = test_cells()
    mdata["rna"].obs["score"] = np.arange(43) / 7
    mdata["rna"].obs["kind"] = pd.Categorical(["x", None, "z"] * 14 + ["x"])
    mdata["rna"].obs["objects"] = [{"a": 1}] * 43
    mdata.obs["site"] = "here"
    mdata.obs["rna:score"] = 1.0
    return mdata


def with_columns(mdata):
    mdata["adt"].var["clone"] = [f"c{i}" for i in range(8)]
    mdata["adt"].var["n_cells"] = np.arange(8)
    mdata["adt"].var["is_isotype"] = [i % 3 == 0 for i in range(8)]
    return mdata


def quick(mdata, **changes):
    """A fit of one epoch that nothing judges."""
    config = tiny(**{"max_epochs": 1, "validation": {"fraction": 0}} | changes)
    return un.fit(mdata, batch_key="batch", config=config, device="cpu")


@pytest.fixture(scope="module")
def annotated(tmp_path_factory):
    """A model of training data with columns of var, saved and loaded."""
    place = tmp_path_factory.mktemp("model") / "m"
    quick(with_columns(training())).save(place)
    return un.load(place, device="cpu")


def test_a_prediction_has_the_querys_obs_and_the_training_var(annotated, tmp_path):
    found = annotated.predict(labelled(), "rna", "adt")
    assert list(found.obs) == ["batch", "cell_type", "score", "kind", "site", "unisono_novelty"]
    np.testing.assert_array_equal(found.obs["score"], np.arange(43) / 7)
    assert found.obs["kind"].isna().sum() == 14
    wanted = with_columns(training())["adt"].var
    for name in ("clone", "n_cells", "is_isotype"):
        assert found.var[name].tolist() == wanted[name].tolist()
    assert found.var["n_cells"].dtype == np.int64
    found.write_h5ad(tmp_path / "x.h5ad")
    again = anndata.read_h5ad(tmp_path / "x.h5ad")
    assert again.uns["unisono"]["seed"] == 0
    assert again.uns["unisono"]["model"] == annotated.fitted.fingerprint


def test_obs_follows_the_cells_and_not_their_place(annotated):
    query = labelled()
    order = np.random.default_rng(3).permutation(43)
    found = annotated.predict(rebuilt({"rna": query["rna"][order].copy()}), "rna", "adt")
    np.testing.assert_array_equal(found.obs["score"], (np.arange(43) / 7)[order])


def test_a_matching_has_the_obs_of_either_side(annotated):
    links = annotated.match(labelled(), test_cells(), between=("rna", "adt")).to_anndata()
    assert {"score", "site", "p_unmatched", "confidence"} <= set(links.obs)
    assert "score" not in links.var
    assert links.var["cell_type"].tolist() == test_cells()["adt"].obs["cell_type"].tolist()


def test_the_fingerprint_tells_models_apart_and_survives_saving(annotated):
    other = quick(with_columns(training()), seed=1)
    assert other.fitted.fingerprint != annotated.fitted.fingerprint
    same = quick(with_columns(training()))
    assert same.fitted.fingerprint == annotated.fitted.fingerprint


def test_columns_of_a_table_come_back_with_their_kinds():
    frame = pd.DataFrame(
        {
            "a": ["x", None],
            "b": [1, 2],
            "c": [0.5, np.nan],
            "d": [True, False],
            "e": pd.Categorical(["u", "v"]),
            "f": [[1], [2]],
        }
    )
    again = Annotation.of(frame).frame(pd.Index(["r", "s"]))
    assert {name: again[name].dtype.kind for name in again} == {"a": "O", "e": "O", "b": "i", "c": "f", "d": "b"}
    assert again["a"].tolist() == ["x", ""]


def test_an_obs_of_cells_that_are_not_there_is_empty_and_of_repeated_ones_single():
    query = test_cells()
    names = query["rna"].obs_names.to_numpy(dtype=str)
    found = obs_of(query["rna"], [], np.array([names[2], "stranger"]))
    assert found["batch"].isna().tolist() == [False, True]


def test_models_and_matchings_print_in_ten_lines_and_as_escaped_html():
    model = small_model()
    links = model.match(test_cells(), test_cells(), between=("rna", "adt"))
    for shown, words in ((model, ("rna (60 genes)", "151 rna", "FOSCTTM")), (links, ("43 rna cells", "rule", "→"))):
        text, page = repr(shown), shown._repr_html_()
        assert str(shown) == text
        assert len(text.splitlines()) <= 10
        assert max(map(len, text.splitlines())) <= 160
        for word in words:
            assert word in text
        assert page.count("<tr>") == len(text.splitlines()) - 1
        assert len(page) < 3000
    assert "<script>" not in as_html("<script>", [("<script>", "<script>")])
    assert as_text("T", [("a", "1"), ("bcd", "2")]).splitlines() == ["T", "  a    1", "  bcd  2"]


def test_pairs_of_two_sides_become_one_mudata_of_their_own_cells():
    left, right = test_cells()["rna"], test_cells()["adt"]
    right = right[np.random.default_rng(0).permutation(43)].copy()
    right.obs_names = [f"r{i}" for i in range(43)]
    found = small_model().pair(left, right, min_probability=0.05)
    links = small_model().match(left, right, rule="one-to-one", min_probability=0.05)
    likely = links.match_posterior.confidence >= 0.05
    wanted = links.pairs[links.pairs["left"].isin(links.left[links.match_posterior.p_unmatched < 1])]
    assert found.obs["unisono_left"].tolist() == wanted["left"].tolist() == found.obs_names.tolist()
    assert found.obs["unisono_right"].tolist() == wanted["right"].tolist()
    assert found.obs["unisono_right"].is_unique
    assert (found.obs["unisono_probability"] >= 0.05).all()
    np.testing.assert_array_equal(found["rna"].X.toarray(), left[wanted["left"]].X.toarray())
    np.testing.assert_array_equal(found["adt"].X.toarray(), right[wanted["right"]].X.toarray())
    assert found.n_obs == likely.sum()


def test_a_paired_mudata_can_be_written_and_fitted_again(tmp_path):
    found = small_model().pair(test_cells(), test_cells(), between=("rna", "adt"), within="batch")
    found.write_h5mu(tmp_path / "pairs.h5mu")
    again = mudata.read_h5mu(tmp_path / "pairs.h5mu")
    assert again.obs["unisono_probability"].between(0, 1).all()
    cells = un.read_cells(again, is_training=True)
    assert len(cells.paired("rna", "adt")[0]) == found.n_obs


def test_no_pair_that_is_likely_enough_is_refused():
    found = refusal(small_model().pair, test_cells(), test_cells(), between=("rna", "adt"), min_probability=0.999999)
    assert (found.code, "0.999999" in found.what) == ("E057", True)


@pytest.mark.parametrize(("progress", "n_lines"), [(True, 1), (False, 0), (None, 0)])
def test_a_fit_says_what_was_decided_only_when_it_is_watched_or_asked(monkeypatch, progress, n_lines):
    said = io.StringIO()
    monkeypatch.setattr("sys.stderr", said)
    config = tiny(max_epochs=1, validation={"fraction": 0})
    un.fit(training(), batch_key="batch", config=config, device="cpu", progress=progress)
    lines = said.getvalue().splitlines()
    assert len(lines) == n_lines
    if lines:
        assert re.fullmatch(
            r"fit on cpu: 151 cells, atac 90 peaks, rna 60 genes, adt 8 proteins, 2 batches, 2 networks, seed 0",
            lines[0],
        )


def test_the_line_of_a_fit_names_the_layer_of_its_counts(capsys):
    mdata = training()
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X.multiply(0.3).tocsr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        un.fit(
            mdata,
            config=tiny(max_epochs=0, validation={"fraction": 0}),
            device="cpu",
            layer={"rna": "counts"},
            progress=True,
        )
    assert "rna 60 genes (counts), adt 8 proteins, 1 batch, " in capsys.readouterr().err


def test_scores_and_checks_print_what_is_asked_first():
    scores = un.evaluate(small_model(), test_cells())
    lines = repr(scores).splitlines()
    assert len(lines) == 1 + 2 + 6 + 3
    assert f"{scores.value('rna', 'adt', 'pearson'):.3f}" in next(
        line for line in lines if line.startswith("rna -> adt")
    )
    text = repr(un.check(training(), batch_key="batch"))
    assert text.splitlines()[0] == "usable: 1 note"
    assert "I029 data: batch found in" in text
