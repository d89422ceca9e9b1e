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


def test_embed_writes_obs_and_obsm_and_refuses_a_file_with_counts(unisono, folder):
    with pytest.raises(BadInput, match=r"E053.*-o .*all\.zarr"):
        unisono("embed model query.zarr -o all.h5mu")
    unisono("embed model query.zarr -o all.zarr")
    found, wanted = mudata.read_zarr(folder / "all.zarr"), small_model().embed(test_cells())
    for name, part in wanted.mod.items():
        assert found[name].shape == (43, 0)
        assert list(found[name].obs_names) == list(part.obs_names)
        assert set(found[name].obs) == set(part.obs)
        np.testing.assert_allclose(found[name].obsm["X_unisono"], part.obsm["X_unisono"], atol=1e-4)


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
