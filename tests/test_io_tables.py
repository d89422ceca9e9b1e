"""Tests of predictions as tables: the file equals the AnnData in memory whatever the chunk, and is never half there."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from io_fixtures import refusal, snapshot

from unisono.io.tables import CHUNK, prediction_to_anndata, read_factored, write_factored, write_prediction
from unisono.types import Prediction


def prediction(n_cells: int = 23, n_features: int = 7, link: str = "nonnegative", target: str = "adt") -> Prediction:
    rng = np.random.default_rng(0)
    return Prediction(
        source="rna",
        target=target,
        cells=np.array([f"c{i}" for i in range(n_cells)]),
        features=np.array([f"p{i}" for i in range(n_features)]),
        codes=rng.normal(size=(n_cells, 3)).astype(np.float32),
        loadings=rng.normal(size=(n_features, 3)).astype(np.float32),
        intercept=rng.normal(size=n_features).astype(np.float32),
        link=link,
    )


def test_the_table_is_the_link_of_codes_by_loadings():
    given = prediction()
    found = prediction_to_anndata(given)
    wanted = np.maximum(given.codes.astype(float) @ given.loadings.T.astype(float) + given.intercept, 0)
    np.testing.assert_allclose(found.X, wanted, atol=1e-5)
    assert found.X.dtype == np.float32
    assert (list(found.obs_names), list(found.var_names)) == (list(given.cells), list(given.features))


@pytest.mark.parametrize(
    ("target", "scale"),
    [("adt", "per-cell CLR"), ("rna", "log1p counts per 10,000"), ("atac", "probability of being accessible")],
)
def test_the_scale_is_told(target, scale):
    found = prediction_to_anndata(replace(prediction(target=target), source="rna"))
    assert found.uns["unisono"] == {"source": "rna", "target": target, "scale": scale}


@pytest.mark.parametrize("chunk", [1, 5, 23, 4096])
@pytest.mark.parametrize("link", ["nonnegative", "logistic"])
def test_the_file_equals_the_table_whatever_the_chunk(tmp_path, chunk, link):
    given = prediction(link=link, target="atac")
    write_prediction(given, tmp_path / "p.h5ad", force=False, chunk=chunk)
    found, wanted = ad.read_h5ad(tmp_path / "p.h5ad"), prediction_to_anndata(given)
    np.testing.assert_allclose(found.X, wanted.X, rtol=1e-5, atol=1e-6)
    assert (type(found.X), found.X.dtype) == (np.ndarray, np.float32)
    pd.testing.assert_frame_equal(found.obs, wanted.obs)
    pd.testing.assert_frame_equal(found.var, wanted.var)
    assert found.uns["unisono"] == wanted.uns["unisono"]


def test_file_and_table_are_equal_to_the_last_bit_when_both_go_by_the_same_chunk(tmp_path):
    given = prediction(n_cells=CHUNK + 5)
    write_prediction(given, tmp_path / "p.h5ad", force=False)
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "p.h5ad").X, prediction_to_anndata(given).X)


def test_no_more_rows_than_a_chunk_are_made_dense(tmp_path, monkeypatch):
    sizes = []
    dense = Prediction.dense
    monkeypatch.setattr(
        Prediction, "dense", lambda self, rows: (sizes.append(rows.stop - rows.start), dense(self, rows))[1]
    )
    write_prediction(prediction(), tmp_path / "p.h5ad", force=False, chunk=9)
    assert sizes == [9, 9, 5]


def test_the_values_are_compressed(tmp_path):
    write_prediction(prediction(), tmp_path / "p.h5ad", force=False)
    with h5py.File(tmp_path / "p.h5ad") as file:
        assert file["X"].compression == "gzip"


@pytest.mark.parametrize(("n_cells", "n_features"), [(0, 7), (1, 1), (600, 520)])
def test_edges_of_size_read_back(tmp_path, n_cells, n_features):
    write_prediction(prediction(n_cells, n_features), tmp_path / "p.h5ad", force=False)
    found = ad.read_h5ad(tmp_path / "p.h5ad")
    np.testing.assert_allclose(found.X, prediction(n_cells, n_features).dense(), rtol=1e-5, atol=1e-6)


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path):
    (tmp_path / "p.h5ad").write_text("old")
    before = snapshot(tmp_path)
    assert refusal(write_prediction, prediction(), tmp_path / "p.h5ad", force=False).code == "E055"
    assert snapshot(tmp_path) == before
    write_prediction(prediction(), tmp_path / "p.h5ad", force=True)
    assert ad.read_h5ad(tmp_path / "p.h5ad").shape == (23, 7)


def test_a_chunk_of_no_cells_is_refused(tmp_path):
    with pytest.raises(ValueError, match="chunk is 0, expected 1 or more cells"):
        write_prediction(prediction(), tmp_path / "p.h5ad", force=False, chunk=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunk", [5, 4096])
@pytest.mark.parametrize("parts", [{}, {"n_draws": 6}])
def test_a_zarr_folder_holds_what_the_table_holds(tmp_path, chunk, parts):
    given = replace(prediction(), draws=draws_of(prediction())) if parts else prediction()
    write_prediction(given, tmp_path / "p.zarr", force=False, chunk=chunk)
    found, wanted = ad.read_zarr(tmp_path / "p.zarr"), prediction_to_anndata(given)
    np.testing.assert_allclose(found.X, wanted.X, rtol=1e-5, atol=1e-6)
    assert set(found.layers) == set(wanted.layers) == ({"spread"} if parts else set())
    for name in wanted.layers:
        np.testing.assert_allclose(found.layers[name], wanted.layers[name], rtol=1e-4, atol=1e-6)
    pd.testing.assert_frame_equal(found.obs, wanted.obs)
    assert found.uns["unisono"] == wanted.uns["unisono"]


def draws_of(given):
    rng = np.random.default_rng(3)
    return (given.codes + 0.1 * rng.normal(size=(6, *given.codes.shape))).astype(np.float32)


def test_a_zarr_folder_is_replaced_by_force_alone_and_another_folder_never(tmp_path):
    write_prediction(prediction(), tmp_path / "p.zarr", force=False)
    assert refusal(write_prediction, prediction(), tmp_path / "p.zarr", force=False).code == "E055"
    write_prediction(prediction(n_cells=9), tmp_path / "p.zarr", force=True)
    assert ad.read_zarr(tmp_path / "p.zarr").n_obs == 9
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "notes.txt").write_text("mine")
    before = snapshot(tmp_path)
    assert "not a zarr folder" in refusal(write_prediction, prediction(), tmp_path / "mine.zarr", force=True).what
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["p.h5ad", "p.zarr"])
@pytest.mark.parametrize("link", ["identity", "nonnegative", "logistic"])
def test_a_factored_prediction_comes_back_with_its_values(tmp_path, name, link):
    given = replace(prediction(link=link), novelty=np.arange(23, dtype=np.float32), origin={"model": "m"})
    write_factored(given, tmp_path / name, force=False)
    found = read_factored(tmp_path / name)
    np.testing.assert_array_equal(found.dense(), given.dense())
    np.testing.assert_array_equal(found.novelty, given.novelty)
    assert (found.source, found.target, found.link, found.origin) == (given.source, given.target, link, given.origin)
    assert list(found.cells) == list(given.cells)
    assert list(found.features) == list(given.features)


def test_a_factored_folder_without_a_chunk_is_refused_rather_than_read_as_zeros(tmp_path):
    write_factored(prediction(), tmp_path / "p.zarr", force=False)
    (tmp_path / "p.zarr" / "varm" / "unisono_loadings" / "0.0").unlink()
    assert refusal(read_factored, tmp_path / "p.zarr").code == "E004"


def test_what_is_no_factored_prediction_is_refused(tmp_path):
    assert refusal(read_factored, tmp_path / "none.h5ad").code == "E001"
    write_prediction(prediction(), tmp_path / "p.h5ad", force=False)
    assert refusal(read_factored, tmp_path / "p.h5ad").code == "E002"
    with_draws = replace(prediction(), draws=draws_of(prediction()))
    assert refusal(write_factored, with_draws, tmp_path / "q.h5ad", force=False).code == "E053"
    table = ad.AnnData(np.zeros((3, 2), dtype=np.float32))
    table.obsm["unisono_codes"], table.varm["unisono_loadings"] = np.ones((3, 4)), np.full((2, 4), np.nan)
    table.var["unisono_intercept"] = 0.0
    table.uns["unisono"] = {"source": "rna", "target": "adt", "link": "identity"}
    table.write_h5ad(tmp_path / "nan.h5ad")
    assert refusal(read_factored, tmp_path / "nan.h5ad").code == "E003"
    table.varm["unisono_loadings"] = np.ones((2, 3))
    table.write_h5ad(tmp_path / "apart.h5ad")
    assert "not of one prediction" in refusal(read_factored, tmp_path / "apart.h5ad").what


def test_the_top_features_are_those_furthest_above_the_mean_of_all_cells(monkeypatch):
    monkeypatch.setattr("unisono.types._ENTRIES_AT_A_TIME", 50)
    given, some = prediction(), np.array([2, 7, 11])
    values = given.dense().astype(np.float64)
    above = values[some].mean(axis=0) - values.mean(axis=0)
    found = given.top(3, some)
    assert list(found.index) == list(given.features[np.argsort(-above)[:3]])
    np.testing.assert_allclose(found["above"], np.sort(above)[::-1][:3], atol=1e-5)
    assert len(given.top(99)) == 7
    with pytest.raises(ValueError, match="top 0 features"):
        given.top(0)
