"""Tests of reading a path: what is refused, with which words, and that nothing on disk changes."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import mudata
import numpy as np
import pytest
from io_fixtures import real, refusal, snapshot, two

from unisono.reading import read


@pytest.fixture
def h5mu(tmp_path: Path) -> Path:
    two().write_h5mu(tmp_path / "small.h5mu")
    return tmp_path / "small.h5mu"


def test_a_written_h5mu_reads_back_equal(h5mu):
    found = read(h5mu)
    np.testing.assert_array_equal(found["rna"].X.toarray(), two()["rna"].X.toarray())
    assert list(found.mod) == ["rna", "adt"]


def test_reading_warns_of_nothing_and_leaves_mudata_options_alone(h5mu):
    before = dict(mudata._core.config.OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(str(h5mu))
    assert dict(mudata._core.config.OPTIONS) == before


def test_reading_does_not_pull_columns_of_modalities_into_the_shared_table(tmp_path):
    mdata = two()
    mdata["rna"].obs["donor"] = "d1"
    mdata.write_h5mu(tmp_path / "donor.h5mu")
    assert "donor" not in read(tmp_path / "donor.h5mu").obs


def test_a_missing_path_is_refused_with_the_closest_name(h5mu):
    finding = refusal(read, h5mu.with_name("smal.h5mu"))
    assert finding.code == "E001"
    assert finding.where == str(h5mu.with_name("smal.h5mu"))
    assert f"Did you mean {h5mu}?" in finding.what


def test_a_missing_folder_is_named(tmp_path):
    finding = refusal(read, tmp_path / "nowhere" / "a.h5mu")
    assert "nowhere does not exist either" in finding.what


@pytest.mark.parametrize(("content", "words"), [(b"hello world", "starts with b'hello wo'"), (b"", "is empty")])
def test_a_file_of_another_format_is_refused_with_its_first_bytes(tmp_path, content, words):
    (tmp_path / "a.h5mu").write_bytes(content)
    finding = refusal(read, tmp_path / "a.h5mu")
    assert finding.code == "E002"
    assert f"neither HDF5 nor zarr ({words})" in finding.what


def test_a_pickle_is_refused_unread(tmp_path):
    # protocol 0: calls os.mkdir when unpickled
    evil = tmp_path / "evil.h5mu"
    evil.write_bytes(f"cos\nmkdir\n(S'{tmp_path}/done'\ntR.".encode())
    assert refusal(read, evil).code == "E002"
    assert not (tmp_path / "done").exists()


def test_a_folder_that_is_no_zarr_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    finding = refusal(read, tmp_path)
    assert finding.code == "E002"
    assert "a folder that holds no counts (holds notes.txt)" in finding.what


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_both_sizes(h5mu, share):
    whole = h5mu.read_bytes()
    kept = int(len(whole) * share)
    h5mu.write_bytes(whole[:kept])
    before = snapshot(h5mu.parent)
    finding = refusal(read, h5mu)
    assert finding.code == "E003"
    assert f"file ends at {kept} of {len(whole)} bytes" in finding.what
    assert snapshot(h5mu.parent) == before


def test_a_file_cut_within_its_first_block_is_damaged_and_not_of_another_format(h5mu):
    h5mu.write_bytes(h5mu.read_bytes()[:300])
    finding = refusal(read, h5mu)
    assert finding.code == "E003"
    assert "file ends at 300 bytes" in finding.what


def test_a_modality_without_its_cell_names_is_refused_as_damaged(h5mu):
    with h5py.File(h5mu, "r+") as file:
        del file["mod/rna/obs/_index"]
    finding = refusal(read, h5mu)
    assert finding.code == "E003"
    assert "may be damaged" in finding.what


def test_one_anndata_is_read_whatever_the_name_of_the_file(tmp_path):
    two()["rna"].write_h5ad(tmp_path / "a.h5mu")
    found = read(tmp_path / "a.h5mu")
    assert list(found.mod) == ["rna"]
    np.testing.assert_array_equal(found["rna"].X.toarray(), two()["rna"].X.toarray())


def test_another_hdf5_format_is_refused_with_what_it_holds(tmp_path):
    with h5py.File(tmp_path / "tenx.h5", "w") as file:
        file.create_group("matrix")
    finding = refusal(read, tmp_path / "tenx.h5")
    assert finding.code == "E006"
    assert "holds no counts that are known here (root has: matrix)" in finding.what


def test_real_data_read(tmp_path):
    found = read(real("bmmc_cite.h5mu"))
    assert {name: table.shape for name, table in found.mod.items()} == {"rna": (600, 1000), "adt": (600, 134)}
