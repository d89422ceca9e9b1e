"""Tests of the report of `unisono check`: rows in numbers, errors listed and not raised, coverage of a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from io_fixtures import codes, counts, mu, only, two
from model_fixtures import rebuilt, small_model, test_cells

from unisono.io.checks.report import CheckReport
from unisono.io.checks.report import check as look
from unisono.io.read import ReadOptions
from unisono.messages import Finding


def check(data, batch_key: str | None = None, preprocessors=None) -> CheckReport:
    """As for training, or, with preprocessors, as for a query."""
    options = ReadOptions(batch_key, is_training=preprocessors is None)
    return look(data, options, preprocessors=preprocessors)


def test_a_row_is_what_the_counts_say():
    mdata = two()
    mdata.obs["batch"] = list("aabbaba")
    row = check(mdata, batch_key="batch").modalities[0]
    values = counts(7, 11)
    assert (row.modality, row.cells, row.features, row.batches) == ("rna", 7, 11, 2)
    assert row.median_depth == pytest.approx(np.median(values.sum(axis=1)))
    assert row.density == pytest.approx((values > 0).mean())


def test_errors_are_listed_and_the_other_modality_still_has_its_row():
    mdata = two()
    mdata["adt"].X = -mdata["adt"].X
    report = check(mdata)
    assert codes(report.findings) == {"E014"}
    assert [row.modality for row in report.modalities] == ["rna"]
    assert not report.is_usable
    assert check(two()).is_usable


def test_data_without_a_model_are_looked_at_as_for_training():
    mdata = mu(rna=test_cells()["rna"])
    assert "E008" in codes(check(mdata).findings)
    assert check(mdata, preprocessors=small_model().fitted.preprocessors).is_usable


def test_an_anndata_of_one_modality_is_read_by_its_names_and_is_too_little_to_train_on():
    report = check(two()["rna"])
    assert codes(report.findings) == {"I007", "E008"}
    assert "read as rna, since its names look like genes (first: 'g0')" in only(report.findings, "I007").what


def test_what_a_fit_finds_in_readable_cells_is_listed_too():
    found = look(
        two(), ReadOptions(is_training=True), further=lambda cells: [Finding("W044", "x", f"{len(cells.names)}.")]
    )
    assert only(found.findings, "W044").what == "7."
    negative = two()
    negative["adt"].X = -negative["adt"].X
    found = look(negative, ReadOptions(is_training=True), further=lambda cells: [Finding("W044", "x", "never asked.")])
    assert "W044" not in codes(found.findings)


def test_the_report_is_json_and_a_table():
    query = test_cells()
    parts = {name: part[:, 1:].copy() if name == "rna" else part.copy() for name, part in query.mod.items()}
    report = check(rebuilt(parts), preprocessors={"rna": small_model().fitted.preprocessors["rna"]})
    document = json.loads(json.dumps(report.to_json()))
    assert document["usable"] is True
    (covered,) = document["coverage"]
    assert (covered["wanted"], covered["found"], covered["by_name"], covered["mapped"]) == (60, 59, 59, {})
    assert 0.9 < covered["signal"] < 1.0
    assert {each["code"]: each["severity"] for each in document["findings"]}["W036"] == "warning"
    assert [len(row) for row in report.rows] == [9, 9, 9, 9]
    assert report.rows[2][:3] == ("rna", "43", "59")
    assert report.rows[2][-3:-1] == ("59 of 60", "0")
    assert report.rows[1][-3:] == ("", "", "")
    assert [len(row) for row in check(test_cells()).rows] == [6, 6, 6, 6]


def test_none_of_the_models_modalities_is_refused():
    finding = only(check(two(), preprocessors={"atac": small_model().fitted.preprocessors["atac"]}).findings, "E043")
    assert finding.what == "this model knows atac; the data have rna, adt."
