"""Tests of MuData to Cells as a whole: names, empty cells, several errors at once, and an argument left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from io_fixtures import codes, counts, findings_of, mu, only, real, table, two
from mudata import MuData
from scipy import sparse

from unisono.io.read import cells_from_mudata
from unisono.messages import BadInput
from unisono.reading import read


def test_cells_hold_the_counts_names_and_batches_of_the_file():
    cells, findings = cells_from_mudata(two(), batch_key=None, is_training=True)
    view = cells.views["adt"]
    np.testing.assert_array_equal(view.counts.toarray(), counts(7, 5, seed=1))
    assert list(view.cells) == [f"c{i}" for i in range(7)]
    assert list(view.features) == [f"p{i}" for i in range(5)]
    assert findings == []


def test_an_anndata_reads_as_the_same_cells_as_a_mudata_of_it():
    cells, findings = cells_from_mudata(two()["rna"], batch_key=None)
    np.testing.assert_array_equal(cells.views["rna"].counts.toarray(), counts(7, 11))
    assert codes(findings) == {"I007"}


def test_all_errors_of_a_pass_come_together():
    values = counts(7, 11).astype(np.float32)
    values[2, 3] = np.nan
    mdata = two(values)
    mdata["adt"].X = -mdata["adt"].X
    with pytest.raises(BadInput, match=r"^E015 .*\(and 2 more; unisono check lists all\)$") as caught:
        cells_from_mudata(mdata, batch_key="batch", is_training=True)
    assert codes(caught.value.findings) == {"E014", "E015", "E029"}


def test_the_argument_is_not_changed():
    mdata = two(sparse.csr_matrix(np.diag([1.0, 0, 2, 3, 4, 5, 6]) @ counts(7, 11)))
    mdata["rna"].obs["batch"] = pd.Categorical(["a", "b", "a", "b", "a", "b", "a"])
    mdata["rna"].X.data[3] = 0
    before, shared = {name: mdata[name].copy() for name in mdata.mod}, mdata.obs.copy()
    cells_from_mudata(mdata, batch_key="batch", is_training=True)
    for name in ("rna", "adt"):
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(mdata[name].X, part), getattr(before[name].X, part))
        assert mdata[name].X.dtype == before[name].X.dtype
        pd.testing.assert_frame_equal(mdata[name].obs, before[name].obs)
    pd.testing.assert_frame_equal(mdata.obs, shared)


def test_cells_without_counts_leave_their_modality_and_no_other():
    values = counts(7, 11)
    values[[1, 4]] = 0
    mdata = two(values)
    mdata["rna"].obs["batch"] = list("abcabca")
    cells, findings = cells_from_mudata(mdata, batch_key="batch", is_training=True)
    assert list(cells.views["rna"].cells) == ["c0", "c2", "c3", "c5", "c6"]
    assert list(cells.views["rna"].batch) == list("acaca")
    np.testing.assert_array_equal(cells.views["rna"].counts.toarray(), values[[0, 2, 3, 5, 6]])
    assert cells.views["adt"].n_cells == 7
    assert only(findings, "W020").what == "2 of 7 cells have no counts in rna (first: c1, c4); left out of it."
    assert "W026" not in codes(findings)


def test_a_matrix_of_zeros_is_refused():
    assert only(findings_of(two(np.zeros((7, 11)))), "E009").what == "none of 7 cells has counts."


def test_features_without_counts_are_kept_and_told():
    values = counts(7, 11)
    values[:, [2, 8, 9, 10]] = 0
    values[:, 4] = 3
    cells, findings = cells_from_mudata(two(values), batch_key=None, is_training=True)
    assert only(findings, "W021").what.startswith("5 of 11 features have one value in every cell (first: g2, g4, g8)")
    assert len(cells.views["rna"].features) == 11
    assert "W021" not in codes(cells_from_mudata(two(values), batch_key=None)[1])


def test_repeated_feature_names_are_refused_with_the_name():
    rna = table(7, 11, "g")
    rna.var_names = ["MATR3", "g1", "MATR3", *[f"g{i}" for i in range(3, 11)]]
    finding = only(findings_of(mu(rna=rna, adt=table(7, 5, "p"))), "E022")
    assert finding.what == "var_names: 11 features, 10 unique names (first repeated: 'MATR3' x2)."
    assert "var_names_make_unique()" in finding.remedy


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_repeated_cell_names_are_refused_with_the_name():
    rna = table(7, 11, "g", cells=["x"] * 6 + ["y"])
    finding = only(findings_of(mu(rna=rna, adt=table(7, 5, "p")), batch_key=None), "E023")
    assert finding.what == "obs_names: 7 cells, 2 unique names (first repeated: 'x' x6): pairing is impossible."


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_repeated_cell_names_are_refused_with_a_batch_key_too():
    rna = table(7, 11, "g", cells=["x"] * 6 + ["y"])
    rna.obs["batch"] = "a"
    assert "E023" in codes(findings_of(mu(rna=rna), batch_key="batch", is_training=False))


def test_a_feature_name_in_two_modalities_is_kept_apart():
    rna, adt = table(7, 11, "g"), table(7, 5, "g", seed=1)
    cells, findings = cells_from_mudata(mu(rna=rna, adt=adt), batch_key=None, is_training=True)
    finding = only(findings, "I024")
    assert str(finding) == "I024 data, rna and adt: 5 feature names in both (first: g0); kept apart by modality."
    np.testing.assert_array_equal(cells.views["adt"].counts.toarray(), counts(7, 5, seed=1))


def test_every_refusal_names_file_and_modality():
    values = counts(7, 11).astype(np.float32)
    values[0, 0] = np.nan
    assert only(findings_of(two(values), source_name="pbmc.h5mu"), "E015").where == "pbmc.h5mu, rna"


def test_real_data_become_cells():
    mdata = read(real("pbmc10k_cite.h5mu"))
    cells, findings = cells_from_mudata(mdata, batch_key="batch", is_training=True)
    assert {m: view.counts.shape for m, view in cells.views.items()} == {"rna": (6855, 4000), "adt": (6855, 14)}
    assert cells.views["rna"].counts.sum() == int(mdata["rna"].X.sum(dtype=np.float64))
    assert "I029" in codes(findings)


@pytest.mark.filterwarnings("ignore:Cannot join columns with the same name:UserWarning")
def test_a_file_whose_modalities_name_their_index_and_whose_obs_does_not_is_read(tmp_path: Path) -> None:
    obs = pd.DataFrame({"batch": ["x", "y", "x"]}, index=pd.Index(["a", "b", "c"], name="cell"))
    counts = np.arange(6, dtype=np.float32).reshape(3, 2)
    parts = {name: AnnData(counts, obs=obs.copy(), var=pd.DataFrame(index=["f", "g"])) for name in ("rna", "adt")}
    mdata = MuData(parts)
    mdata.obs.index.name = None
    path = tmp_path / "named.h5mu"
    mdata.write_h5mu(path)
    assert list(read(path).mod["adt"].obs_names) == ["a", "b", "c"]
