"""The commands on a zarr folder of more cells than the model holds, against the same cells in memory."""

from __future__ import annotations

import shlex
import warnings

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from model_fixtures import changed, small_model, test_cells

from unisono import cli
from unisono.messages import BadInput
from unisono.model.embedding import embedded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that holds 30 cells, and 43 cells of a query."""
    folder = tmp_path_factory.mktemp("blocks")
    changed(small_model(), config=small_model().config.model_copy(update={"max_held_cells": 30})).save(folder / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test_cells().write_zarr(folder / "query.zarr")
    return folder


@pytest.fixture
def unisono(folder, monkeypatch):
    monkeypatch.setattr(
        "unisono.model.blocks.blocks", lambda n: (np.arange(i, min(i + 16, n)) for i in range(0, n, 16))
    )
    monkeypatch.setattr("unisono.model.embedding.ROWS_OF_A_REGION", 16)
    monkeypatch.chdir(folder)

    def run(line: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cli.app(shlex.split(line), standalone_mode=False)

    return run


def test_predict_writes_what_the_model_predicts(unisono, folder):
    unisono("predict model query.zarr --from rna --to adt -o adt.zarr")
    found = anndata.read_zarr(folder / "adt.zarr")
    np.testing.assert_allclose(found.X, small_model().predict(test_cells(), "rna", "adt").X, rtol=1e-4, atol=1e-5)


def test_embed_writes_obs_and_obsm_of_a_block_at_a_time(unisono, folder, monkeypatch):
    rows_of = []

    def noted(query, rows):
        rows_of.append(rows)
        return embedded(query, rows)

    monkeypatch.setattr("unisono.model.embedding.embedded", noted)
    unisono("embed model query.zarr -o all.zarr")
    assert [len(rows) for rows in rows_of] == [16, 16, 11] * 3
    found, wanted = mudata.read_zarr(folder / "all.zarr"), small_model().embed(test_cells())
    for name, part in wanted.mod.items():
        assert found[name].shape == (43, 0)
        assert_embedded(found[name], part)


def test_embed_adds_vectors_to_a_copy_of_an_h5mu_and_refuses_to_copy_anything_else(unisono, folder):
    with pytest.raises(BadInput, match=r"E053.*-o .*all\.zarr"):
        unisono("embed model query.zarr -o all.h5mu")
    query = test_cells()
    counts = query["rna"].X.tolil()
    counts[[3, *range(16, 32)]] = 0
    query["rna"].X = counts.tocsr()
    query["rna"].obsm["X_unisono"] = np.ones((43, 2))
    query.write_h5mu(folder / "some.h5mu")
    unisono("embed model some.h5mu -o all.h5mu")
    found = mudata.read_h5mu(folder / "all.h5mu")
    with pytest.warns(UserWarning, match="W020"):
        wanted = small_model().embed(query)
    assert np.isnan(found["rna"].obsm["X_unisono"]).all(axis=1).sum() == 17
    for name, part in wanted.mod.items():
        np.testing.assert_array_equal(found[name].X.toarray(), part.X.toarray())
        assert_embedded(found[name], part)


def assert_embedded(found, wanted):
    """Two tables have the same cells, obs and vectors."""
    assert list(found.obs_names) == list(wanted.obs_names)
    np.testing.assert_allclose(found.obsm["X_unisono"], wanted.obsm["X_unisono"], atol=1e-4)
    numbers = wanted.obs.select_dtypes("number").columns
    np.testing.assert_allclose(found.obs[numbers], wanted.obs[numbers], rtol=1e-3)
    texts = [table.obs.drop(columns=numbers).astype(str) for table in (found, wanted)]
    pd.testing.assert_frame_equal(*texts, check_like=True)


def test_index_and_search_find_what_they_find_in_memory(unisono, folder):
    unisono("index model query.zarr --modality rna -o index")
    unisono("search model index query.zarr --modality adt -k 3 -o found.tsv")
    wanted = small_model().index(test_cells(), "rna").search(test_cells(), 3, modality="adt")
    found = pd.read_csv(folder / "found.tsv", sep="\t")
    assert list(found["query"]) == list(wanted["query"])
    np.testing.assert_allclose(found["similarity"], wanted["similarity"], atol=1e-4)
    assert (found["cell"] == wanted["cell"]).mean() > 0.95


@pytest.mark.slow
def test_commands_with_workers_write_what_they_write_alone(unisono, folder):
    unisono("predict model query.zarr --from rna --to adt -o alone.zarr")
    unisono("predict model query.zarr --from rna --to adt --workers 1 -o together.zarr")
    alone, together = (anndata.read_zarr(folder / f"{name}.zarr") for name in ("alone", "together"))
    np.testing.assert_allclose(together.X, alone.X, rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(together.obs, alone.obs)
    with pytest.raises(BadInput, match="E053"):
        unisono("embed model rna=a.h5ad adt=b.h5ad --workers 1 -o rest.zarr")
