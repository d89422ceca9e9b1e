"""Tests of zarr folders: what is missing is found by listing files, and what may be absent is let through."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import mu, refusal, snapshot, table, two
from scipy import sparse

from unisono.messages import InputWarning
from unisono.reading import read


@functools.cache
def template(zarr_format: int) -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return written(Path(folder.name), two(), zarr_format)


def written(folder: Path, mdata=None, zarr_format: int = 2) -> Path:
    store = folder / "small.zarr"
    if mdata is None:
        return Path(shutil.copytree(template(zarr_format), store))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata.write_zarr(store, zarr_format=zarr_format)
    return store


def chunk(store: Path, array: str, zarr_format: int, number: int = 0) -> Path:
    return store / "mod" / array / (f"c/{number}" if zarr_format == 3 else str(number))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_written_folder_reads_back_equal_and_is_not_changed(tmp_path, zarr_format):
    store = written(tmp_path, zarr_format=zarr_format)
    before = snapshot(store)
    found = read(store)
    np.testing.assert_array_equal(found["adt"].X.toarray(), two()["adt"].X.toarray())
    assert snapshot(store) == before


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("array", "reads"),
    [("rna/X/data", "zeros"), ("rna/X/indices", "zeros"), ("adt/X/indptr", "zeros"), ("rna/obs/_index", "empty names")],
)
def test_a_missing_chunk_is_refused_by_name(tmp_path, array, reads, zarr_format):
    store = written(tmp_path, zarr_format=zarr_format)
    chunk(store, array, zarr_format).unlink()
    finding = refusal(read, store)
    assert finding.code == "E004"
    first = "c/0" if zarr_format == 3 else "0"
    assert finding.what == f"mod/{array}: 1 of 1 chunk files missing (first: {first}); zarr would read {reads}."


def test_the_missing_one_of_many_chunks_is_named(tmp_path):
    store = written(tmp_path)
    array = store / "mod" / "rna" / "X" / "data"
    n_stored = two()["rna"].X.nnz
    shutil.rmtree(array)
    import zarr

    values = zarr.create_array(str(array), shape=(n_stored,), chunks=(13,), dtype="f4", zarr_format=2)
    values[:] = two()["rna"].X.data
    (array / "2").unlink()
    finding = refusal(read, store)
    assert f"1 of {-(-n_stored // 13)} chunk files missing (first: 2)" in finding.what


def test_an_absent_chunk_of_positions_that_are_all_zero_is_let_through(tmp_path):
    one_feature = AnnData(sparse.csr_matrix(np.array([[3.0], [1.0], [2.0]], dtype=np.float32)))
    store = written(tmp_path, mu(rna=one_feature, adt=table(7, 5, "p")))
    positions = chunk(store, "rna/X/indices", 2)
    if positions.exists():  # newer zarr writes chunks of fill values, older does not
        positions.unlink()
    np.testing.assert_array_equal(read(store)["rna"].X.toarray().ravel(), [3, 1, 2])


@pytest.mark.parametrize(("zarr_format", "chunk_file"), [(2, "0.0"), (3, "c/0/0")])
def test_an_absent_chunk_of_a_dense_matrix_is_warned_about(tmp_path, zarr_format, chunk_file):
    dense = mu(rna=table(7, 11, "g", matrix=np.ones((7, 11), np.float32)), adt=table(7, 5, "p"))
    store = written(tmp_path, dense, zarr_format)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        read(store)
    (store / "mod" / "rna" / "X" / chunk_file).unlink()
    with pytest.warns(InputWarning, match=r"W004 .*mod/rna/X: 1 of 1 chunk files missing"):
        read(store)


def test_a_modality_without_matrix_is_refused_as_half_written(tmp_path):
    store = written(tmp_path)
    shutil.rmtree(store / "mod" / "rna" / "X")
    finding = refusal(read, store)
    assert (finding.code, finding.where) == ("E005", f"{store}, rna")
    assert finding.what == "has no X: an earlier write was interrupted."


def test_a_modality_without_matrix_but_with_a_layer_is_let_through(tmp_path):
    mdata = two()
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    store = written(tmp_path, mdata)
    shutil.rmtree(store / "mod" / "rna" / "X")
    assert read(store)["rna"].X is None


def test_a_folder_without_modalities_is_refused_as_half_written(tmp_path):
    store = written(tmp_path)
    shutil.rmtree(store / "mod")
    finding = refusal(read, store)
    assert finding.code == "E005"
    assert "holds no modality yet" in finding.what


def test_one_anndata_as_zarr_is_read_and_its_missing_chunks_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        two()["rna"].write_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read(tmp_path / "a.zarr")["rna"].X.toarray(), two()["rna"].X.toarray())
    next((tmp_path / "a.zarr" / "X" / "data").glob("[0-9c]*")).unlink()
    assert refusal(read, tmp_path / "a.zarr").code == "E004"


def test_unreadable_metadata_is_refused_as_damaged(tmp_path):
    store = written(tmp_path)
    (store / "mod" / "rna" / "X" / "data" / ".zarray").write_text("{")
    assert refusal(read, store).code == "E003"


@pytest.mark.parametrize("spelling", ["pickle", "\\u0070ickle"])
def test_pickled_values_are_refused_unread(tmp_path, spelling):
    store = written(tmp_path)
    names = store / "mod" / "rna" / "obs" / "_index"
    document = json.loads((names / ".zarray").read_text()) | {"compressor": None, "filters": [{"id": "KIND"}]}
    (names / ".zarray").write_text(json.dumps(document).replace("KIND", spelling))
    (names / "0").write_bytes(f"cos\nmkdir\n(S'{tmp_path}/done'\ntR.".encode())
    finding = refusal(read, store)
    assert finding.code == "E047"
    assert "mod/rna/obs/_index: values are stored as pickles" in finding.what
    assert not (tmp_path / "done").exists()
