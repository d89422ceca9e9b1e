"""Tests of the batch column: found in any obs table, by cell name; contradictions and gaps are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from io_fixtures import codes, findings_of, mu, only, table, two

from unisono.io.read import cells_from_mudata

BATCH = ["a", "a", "b", "b", "a", "b", "a"]


def batches(mdata, is_training: bool = True):
    cells, _ = cells_from_mudata(mdata, batch_key="batch", is_training=is_training)
    return {modality: dict(zip(view.cells, view.batch, strict=True)) for modality, view in cells.views.items()}


def test_without_a_key_all_cells_share_one_batch():
    cells, findings = cells_from_mudata(two(), batch_key=None)
    assert set(cells.views["rna"].batch) == {"all"}
    assert not codes(findings) & {"I029", "W032"}


def test_a_column_of_one_modality_serves_its_paired_cells_by_name():
    adt = table(7, 5, "p", cells=[f"c{i}" for i in (3, 0, 6, 1, 2, 5, 4)])
    rna = table(7, 11, "g")
    rna.obs["batch"] = BATCH
    found = batches(mu(rna=rna, adt=adt))
    assert found["adt"] == found["rna"] == {f"c{i}": level for i, level in enumerate(BATCH)}


def test_a_column_of_the_shared_table_serves_every_modality():
    mdata = two()
    mdata.obs["batch"] = pd.Categorical(BATCH)
    assert batches(mdata)["adt"]["c2"] == "b"
    finding = only(findings_of(mdata, batch_key="batch", source_name="x.h5mu"), "I029")
    assert str(finding) == "I029 x.h5mu: batch found in mdata.obs: 2 levels (a, b)."


def test_each_modality_may_bring_the_batch_of_its_own_cells():
    rna, adt = table(7, 11, "g"), table(5, 3, "p", cells=["c5", "c6", "d0", "d1", "d2"])
    rna.obs["batch"], adt.obs["batch"] = BATCH, ["b", "a", "z", "z", "z"]
    found = batches(mu(rna=rna, adt=adt))
    assert found["adt"] == {"c5": "b", "c6": "a", "d0": "z", "d1": "z", "d2": "z"}


def test_numbers_that_a_merge_turned_into_floats_are_the_same_levels():
    mdata = two()
    mdata["rna"].obs["batch"] = [1, 1, 1, 2, 2, 2, 2]
    mdata["adt"].obs["batch"] = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, np.nan]
    assert set(batches(mdata)["adt"].values()) == {"1", "2"}


def test_a_missing_column_is_refused_with_the_closest_name_and_its_place():
    mdata = two()
    mdata["rna"].obs["Batch"] = BATCH
    finding = only(findings_of(mdata, batch_key="batch"), "E029")
    assert finding.what == "batch_key 'batch' in none of mdata.obs, rna.obs, adt.obs (closest: 'Batch' in rna.obs)."
    assert finding.remedy == 'batch_key="Batch"'


def test_a_missing_column_without_anything_close_lists_what_there_is():
    mdata = two()
    mdata["rna"].obs["cell_type"] = "T"
    finding = only(findings_of(mdata, batch_key="zzz"), "E029")
    assert "closest" not in finding.what
    assert finding.remedy == "name one of: cell_type"


def test_tables_that_disagree_are_refused_with_the_first_cell():
    mdata = two()
    mdata["rna"].obs["batch"] = BATCH
    mdata["adt"].obs["batch"] = ["a", "a", "b", "a", "a", "a", "a"]
    finding = only(findings_of(mdata, batch_key="batch"), "E030")
    assert finding.what == "batch differs between tables for 2 cells (first: c3 is 'b' in rna.obs, 'a' in adt.obs)."


def test_the_order_of_cells_alone_is_no_disagreement():
    adt = table(7, 5, "p", cells=[f"c{i}" for i in range(7)][::-1])
    rna = table(7, 11, "g")
    rna.obs["batch"], adt.obs["batch"] = BATCH, BATCH[::-1]
    assert "E030" not in codes(findings_of(mu(rna=rna, adt=adt), batch_key="batch"))


@pytest.mark.parametrize("gap", [None, np.nan, ""])
def test_cells_without_a_batch_are_refused_with_how_many_and_where(gap):
    mdata = two()
    mdata["rna"].obs["batch"] = ["a", gap, "a", "a", gap, "a", "a"]
    finding = only(findings_of(mdata, batch_key="batch"), "E031")
    assert finding.what == "2 cells without batch (first: c1; 2 in rna, 2 in adt)."


def test_unpaired_cells_of_the_modality_without_the_column_are_refused():
    rna, adt = table(7, 11, "g"), table(5, 3, "p", cells=["c5", "c6", "d0", "d1", "d2"])
    rna.obs["batch"] = BATCH
    assert (
        "3 cells without batch (first: d0; 3 in adt)"
        in only(findings_of(mu(rna=rna, adt=adt), batch_key="batch"), "E031").what
    )


def test_a_single_level_is_no_reason_to_warn():
    mdata = two()
    mdata.obs["batch"] = "a"
    assert codes(findings_of(mdata, batch_key="batch")) == {"I029"}


@pytest.mark.parametrize("word", ["nan", "NaN", "None", " <NA> ", "N/A", ""])
def test_a_missing_batch_that_was_written_as_text_is_missing(word):
    mdata = two()
    mdata.obs["batch"] = ["a", "a", "a", word, "b", "b", "b"]
    assert "1 cells without batch (first: c3" in only(findings_of(mdata, batch_key="batch"), "E031").what
    mdata.obs["batch"] = ["a", "a", "a", "nancy", "b", "b", "b"]
    assert "E031" not in codes(findings_of(mdata, batch_key="batch"))


def test_space_around_a_level_makes_no_other_batch():
    mdata = two()
    mdata.obs["batch"] = ["a", "a ", " a", "b", "b", "b", "b"]
    assert list(cells_from_mudata(mdata, batch_key="batch")[0].batch) == list("aaabbbb")


def test_a_level_of_two_cells_is_warned_about_and_one_of_three_is_not():
    mdata = two()
    mdata.obs["batch"] = ["a", "a", "b", "b", "b", "b", "b"]
    what = only(findings_of(mdata, batch_key="batch"), "W032").what
    assert what == "1 levels of batch have fewer than 3 cells (first: a, 2)."
    mdata.obs["batch"] = ["a", "a", "a", "b", "b", "b", "b"]
    assert "W032" not in codes(findings_of(mdata, batch_key="batch"))


@pytest.mark.parametrize(("n_levels", "is_refused"), [(1000, False), (1001, True)])
def test_a_measurement_is_no_batch(n_levels, is_refused):
    n_cells = 1003
    mdata = mu(rna=table(n_cells, 3, "g"), adt=table(n_cells, 2, "p"))
    mdata["rna"].obs["depth"] = np.minimum(np.arange(n_cells), n_levels - 1)
    findings = findings_of(mdata, batch_key="depth")
    assert ("E033" in codes(findings)) == is_refused
    if is_refused:
        assert f"batch_key 'depth' has {n_levels} levels in rna.obs" in only(findings, "E033").what
