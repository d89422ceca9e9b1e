"""Queries of more cells than are held: answered a block at a time, as the same cells at once."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from model_fixtures import changed, noticed, rebuilt, small_model, test_cells, tiny, training

import unisono as un
from unisono.io.store import InMemory
from unisono.io.survey import held_rows
from unisono.model.blocks import stored_query

AT_MOST = 30
"""Cells that are held of the 43 of the query; a batch of fewer than 100 is held whole."""


@pytest.fixture(autouse=True)
def _few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr("unisono.model.blocks.blocks", lambda n: (np.arange(i, min(i + 9, n)) for i in range(0, n, 9)))


def holding(model, at_most: int = AT_MOST):
    return changed(model, config=model.config.model_copy(update={"max_held_cells": at_most}))


def query(batch: str | None = None):
    """The 43 cells, whose proteins lie in another order; of one batch, if it is named."""
    mdata = test_cells()
    parts = {m: mdata[m].copy() for m in ("rna", "adt")}
    parts["adt"] = parts["adt"][np.random.default_rng(0).permutation(43)].copy()
    for part in parts.values():
        part.obs["batch"] = part.obs["batch"].astype(str) if batch is None else batch
    return rebuilt(parts)


def stored(mdata, folder, name: str = "query.h5mu"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata.write_h5mu(folder / name)
    return un.open(folder / name)


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@pytest.mark.parametrize("batch", [None, "another donor"])
def test_a_prediction_in_blocks_is_that_of_all_cells_at_once(batch, tmp_path):
    mdata = query(batch)
    whole = quiet(small_model().predict, mdata, "rna", "adt", interval=0.8)
    for asked in (mdata, stored(mdata, tmp_path)):
        found = quiet(holding(small_model()).predict, asked, "rna", "adt", interval=0.8)
        assert list(found.obs_names) == list(whole.obs_names)
        np.testing.assert_allclose(found.X, whole.X, rtol=1e-4, atol=1e-5)
        for name in ("spread", "lower", "upper"):
            np.testing.assert_allclose(found.layers[name], whole.layers[name], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found.obs["unisono_novelty"], whole.obs["unisono_novelty"], rtol=1e-3)
        assert list(found.obs["batch"].astype(str)) == list(whole.obs["batch"].astype(str))
        assert list(found.var.columns) == list(whole.var.columns)


def test_a_store_that_is_held_whole_is_answered_as_its_cells_in_memory_to_the_bit(tmp_path):
    mdata = query("another donor")
    one = quiet(small_model().predict, mdata, "adt", "rna")
    other = quiet(small_model().predict, stored(mdata, tmp_path), "adt", "rna")
    np.testing.assert_array_equal(one.X, other.X)


def test_a_block_alone_would_place_a_new_batch_elsewhere():
    """What the held cells are for."""
    mdata = query("another donor")
    whole = quiet(small_model().predict, mdata, "rna", "adt").X
    alone = quiet(small_model().predict, rebuilt({m: mdata[m][:9].copy() for m in mdata.mod}), "rna", "adt").X
    assert np.abs(alone - whole[:9]).max() > 1e-3


def test_of_a_large_batch_the_cells_that_are_drawn_say_how_it_was_measured(tmp_path):
    mdata = un.datasets.simulate(n_cells=260, n_genes=60, n_peaks=90, n_proteins=8, batch_effect=0.8, seed=3)
    mdata = rebuilt({"rna": mdata["rna"].copy()})
    mdata["rna"].obs["batch"] = "another donor"
    model = holding(small_model(), 120)
    rows = held_rows(InMemory(mdata), "batch", 120, model.config.seed)
    assert len(rows) == 120
    some = quiet(small_model().predict, rebuilt({"rna": mdata["rna"][rows].copy()}), "rna", "adt")
    for asked in (mdata, stored(mdata, tmp_path)):
        found = quiet(model.predict, asked, "rna", "adt")
        assert found.shape == (260, 8)
        np.testing.assert_allclose(found.X[rows], some.X, rtol=1e-4, atol=1e-5)


def test_an_embedding_in_blocks_is_that_of_all_cells_at_once_and_of_a_store_holds_no_counts(tmp_path):
    mdata = query("another donor")
    store = stored(mdata, tmp_path)
    whole = quiet(small_model().embed, query("another donor"))
    here = quiet(holding(small_model()).embed, mdata)
    assert here is mdata
    for found in (here, quiet(holding(small_model()).embed, store), quiet(small_model().embed, store)):
        for name in ("rna", "adt"):
            assert list(found[name].obs_names) == list(whole[name].obs_names)
            np.testing.assert_allclose(found[name].obsm["X_unisono"], whole[name].obsm["X_unisono"], atol=1e-4)
            np.testing.assert_allclose(
                found[name].obs["unisono_novelty"], whole[name].obs["unisono_novelty"], rtol=1e-3
            )
            assert list(found[name].obs["batch"]) == list(whole[name].obs["batch"])
            assert found[name].n_vars == (mdata[name].n_vars if found is here else 0)


def test_a_matching_in_blocks_is_that_of_all_cells_at_once(tmp_path):
    mdata = query("another donor")
    store = stored(mdata, tmp_path)
    options = {"between": ("rna", "adt"), "within": "batch", "depth": True}
    whole = quiet(small_model().match, mdata, mdata, **options).to_anndata()
    for asked in (mdata, store):
        found = quiet(holding(small_model()).match, asked, asked, **options).to_anndata()
        assert list(found.obs_names) == list(whole.obs_names)
        wanted = whole[:, list(found.var_names)]  # on disk the cells of all modalities have one order
        np.testing.assert_allclose(found.X.toarray(), wanted.X.toarray(), atol=1e-4)
        np.testing.assert_allclose(found.obs["p_unmatched"], whole.obs["p_unmatched"], atol=1e-4)


def test_cells_without_counts_are_left_out_wherever_they_lie(tmp_path):
    mdata = query()
    counts = mdata["rna"].X.tolil()
    counts[[3, *range(9, 18)]] = 0
    mdata["rna"].X = counts.tocsr()
    whole = quiet(small_model().predict, mdata, "rna", "adt")
    found = quiet(holding(small_model()).predict, stored(mdata, tmp_path), "rna", "adt")
    assert found.n_obs == 33
    assert list(found.obs_names) == list(whole.obs_names)
    np.testing.assert_allclose(found.X, whole.X, rtol=1e-4, atol=1e-5)
    vectors = quiet(holding(small_model()).embed, stored(mdata, tmp_path, "again.h5mu"))["rna"].obsm["X_unisono"]
    assert np.isnan(vectors).all(axis=1).sum() == 10


def lacking(n_counted: int):
    """Proteins of 151 cells of a new batch that lacks two of them, but for the counts of the first in a few cells."""
    adt = training()["adt"].copy()
    adt.obs["batch"] = "another donor"
    counts = adt.X.tolil()
    counts[:, [0, 5]] = 0
    not_held = np.setdiff1d(np.arange(151), held_rows(InMemory(adt), "batch", 120, small_model().config.seed))
    counts[not_held[:n_counted], 0] = 2
    adt.X = counts.tocsr()
    return rebuilt({"adt": adt})


@pytest.mark.slow
def test_features_that_a_batch_did_not_measure_are_so_in_every_block(tmp_path):
    mdata = lacking(0)
    with noticed() as texts:
        holding(small_model(), 120).predict(mdata, "adt", "rna")
    assert sum("W068" in text for text in texts) == 1
    columns = rebuilt({"adt": mdata["adt"][:, [1, 2, 3, 4, 6, 7]].copy()})
    wanted = quiet(holding(small_model(), 120).predict, columns, "adt", "rna").X
    for asked in (mdata, stored(mdata, tmp_path)):
        found = quiet(holding(small_model(), 120).predict, asked, "adt", "rna").X
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_feature_that_no_held_cell_counts_is_measured_if_another_cell_does():
    found = []
    for n_counted in (0, 5):
        asked = quiet(stored_query, lacking(n_counted), "adt", holding(small_model(), 120).fitted)
        found.append(asked.fitted.preprocessors["adt"].projection.unmeasured["another donor"])
    assert list(np.flatnonzero(found[0])) == [0, 5]
    assert list(np.flatnonzero(found[1])) == [5]
    assert quiet(holding(small_model(), 120).predict, lacking(5), "adt", "rna").shape == (151, 60)


def test_what_is_noticed_of_a_query_is_said_once():
    with noticed() as texts:
        holding(small_model()).predict(query("another donor"), "rna", "adt")
    assert sum("W034" in text for text in texts) == 1


def test_a_query_without_the_column_of_the_batch_is_one_new_batch(tmp_path):
    mdata = query()
    for part in mdata.mod.values():
        del part.obs["batch"]
    whole = quiet(small_model().predict, mdata, "rna", "adt")
    found = quiet(holding(small_model()).predict, stored(mdata, tmp_path), "rna", "adt")
    np.testing.assert_allclose(found.X, whole.X, rtol=1e-4, atol=1e-5)


def test_one_table_is_read_by_rows_as_well(tmp_path):
    rna = query("another donor")["rna"].copy()
    rna.write_h5ad(tmp_path / "rna.h5ad")
    whole = quiet(small_model().predict, rna, "rna", "adt")
    for asked in (rna, un.open(tmp_path / "rna.h5ad")):
        found = quiet(holding(small_model()).predict, asked, "rna", "adt")
        np.testing.assert_allclose(found.X, whole.X, rtol=1e-4, atol=1e-5)


@cache
def guided_model():
    """A model that starts from another one."""
    return quiet(un.fit, training(), batch_key="batch", config=tiny(), device="cpu", init=small_model(), progress=False)


@pytest.mark.slow
def test_a_model_that_starts_from_another_answers_blocks_as_all_cells():
    mdata = query("another donor")
    whole = quiet(guided_model().predict, mdata, "rna", "adt")
    found = quiet(holding(guided_model()).predict, mdata, "rna", "adt")
    np.testing.assert_allclose(found.X, whole.X, rtol=1e-4, atol=1e-5)
