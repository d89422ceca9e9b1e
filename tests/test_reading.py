"""Reading: cells as a fit sees them, findings as warnings, and a check that lists errors and loads no torch."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from model_fixtures import small_model, test_cells

import unisono as un
from unisono.inference.record import RecordedFinding
from unisono.io.read import cells_from_mudata


@pytest.fixture(scope="module")
def mdata():
    return un.datasets.simulate(n_cells=23, n_genes=17, n_peaks=31, n_proteins=5, seed=0)


def test_cells_are_those_that_a_fit_reads(mdata):
    found, wanted = un.read_cells(mdata, batch_key="batch"), cells_from_mudata(mdata, batch_key="batch")[0]
    assert un.fingerprint(found) == un.fingerprint(wanted)
    assert un.fingerprint(un.read_cells(mdata)) != un.fingerprint(wanted)


def test_paired_rows_are_those_of_the_cells_of_both_in_one_order(mdata):
    cells = un.read_cells(mdata)
    rows = np.array([7, 2, 19, 11])
    lacking = un.Cells({"rna": cells.views["rna"], "adt": cells.views["adt"].take(rows)})
    at = dict(zip(("rna", "adt"), lacking.paired("rna", "adt"), strict=True))
    left, right = (lacking.views[m].take(at[m]) for m in ("rna", "adt"))
    assert left.cells.tolist() == right.cells.tolist() == cells.views["rna"].cells[np.sort(rows)].tolist()


def test_a_finding_is_a_warning_and_an_error_is_raised(mdata):
    empty = mdata.copy()
    counts = mdata["rna"].X.tolil()
    counts[3] = 0
    empty["rna"].X = counts.tocsr()
    with pytest.warns(un.InputWarning, match="W020"):
        assert un.read_cells(empty).views["rna"].n_cells == 22
    with pytest.raises(un.BadInput, match="E008"):
        un.read_cells(mdata, is_training=True, modalities={"rna": "rna"})


def test_controls_that_are_left_out_of_the_cells_are_told(mdata):
    named = mdata["adt"].copy()
    named.var_names = ["CD3", "CD4", "IgG1_isotype_control", "CD8", "CD19"]
    with pytest.warns(un.InputWarning, match="W045 .*IgG1_isotype_control"):
        assert un.read_cells(named).views["adt"].features.tolist() == ["CD3", "CD4", "CD8", "CD19"]


def test_a_check_lists_errors_and_raises_none(mdata):
    assert un.check(mdata, batch_key="batch").is_usable
    found = un.check(mdata, batch_key="no such column")
    assert not found.is_usable
    assert "E029" in {finding.code for finding in found.findings}


def test_reading_splitting_and_scoring_load_no_torch():
    code = (
        "import sys, unisono as un; un.read_cells, un.check, un.splits.random_split, un.metrics.matching_metrics, "
        "un.matching.match_cells, un.preprocessing.on_scale, un.fingerprint; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_check_with_a_model_says_what_predict_would_of_new_batches_and_of_the_model():
    model, query = small_model(), test_cells()
    for part in query.mod.values():
        part.obs["batch"] = "b9"
    assert "W034" in {finding.code for finding in un.check(query, model).findings}
    assert "W034" not in {finding.code for finding in un.check(test_cells(), model).findings}
    for part in query.mod.values():
        del part.obs["batch"]
    assert {"W029", "W034"} <= {finding.code for finding in un.check(query, model).findings}
    doubt = RecordedFinding(code="W059", what="at chance.", remedy="look")
    doubted = replace(model.fitted, record=model.record.model_copy(update={"findings": (doubt,)}))
    assert "W059" in {finding.code for finding in un.check(test_cells(), un.Unisono(doubted)).findings}
