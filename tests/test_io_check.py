"""Tests of the report of `unisono check`: rows in numbers, errors listed and not raised, coverage of a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from io_fixtures import codes, counts, mu, only, table, two

from unisono.io.check import check, coverage_of

GENES = [f"g{i}" for i in range(11)]


def test_a_row_is_what_the_counts_say():
    mdata = two()
    mdata.obs["batch"] = list("aabbaba")
    row = check(mdata, batch_key="batch").modalities[0]
    values = counts(7, 11)
    assert (row.modality, row.cells, row.features, row.batches) == ("rna", 7, 11, 2)
    assert row.median_depth == np.median(values.sum(axis=1))
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
    mdata = mu(rna=table(7, 11, "g"))
    assert codes(check(mdata).findings) == {"E008"}
    assert check(mdata, features={"rna": GENES}).is_usable


def test_an_anndata_is_reported():
    assert codes(check(two()["rna"]).findings) == {"E006"}


def test_the_report_is_json_and_a_table():
    report = check(two(), features={"rna": [*GENES, "g11"]})
    document = json.loads(json.dumps(report.to_json()))
    assert document["usable"] is True
    assert document["coverage"] == [{"modality": "rna", "wanted": 12, "found": 11, "share": 11 / 12}]
    assert document["findings"][0]["severity"] == "warning"
    assert [len(row) for row in report.rows] == [7, 7, 7]
    assert report.rows[1][:3] == ("rna", "7", "11")
    assert report.rows[1][-1] == "11 of 12 (92%)"
    assert report.rows[2][-1] == ""


def test_equal_features_have_nothing_to_tell():
    assert coverage_of("rna", GENES, GENES, "x")[1] == []


def test_another_order_is_told_and_matched():
    coverage, findings = coverage_of("rna", GENES, GENES[::-1], "x")
    assert coverage.share == 1.0
    assert codes(findings) == {"I035"}


def test_missing_and_unknown_features_are_counted_apart():
    coverage, findings = coverage_of("rna", GENES, [*GENES[3:], "new", "newer"], "x.h5mu, rna")
    assert (coverage.wanted, coverage.found) == (11, 8)
    assert only(findings, "W036").what == "3 of 11 features of the model are missing (first: g0, g1, g2); read as 0."
    assert only(findings, "I036").what == "2 of 10 features are unknown to the model (first: new); ignored."


@pytest.mark.parametrize(("n_found", "code"), [(19, "E036"), (20, "W036")])
def test_below_a_fifth_of_the_features_a_query_is_refused(n_found, code):
    model = [f"g{i}" for i in range(100)]
    assert codes(coverage_of("rna", model, model[:n_found], "x")[1]) == {code}


HUMAN, MOUSE = ["ACTB", "CD4", "GAPDH"], ["Actb", "Cd4"]
ENSEMBL = [f"ENSMUSG0000000{i:04d}" for i in range(5)]


@pytest.mark.parametrize(
    ("model", "query", "words"),
    [
        (HUMAN, ENSEMBL, "yours look like Ensembl mouse identifiers ('ENSMUSG00000000000'), the model uses upper-case"),
        (
            HUMAN,
            MOUSE,
            "capitalised symbols, as in mouse ('Actb'), the model uses upper-case symbols, as in human ('ACTB')",
        ),
        (HUMAN, MOUSE, "; 2 of 3 would match if upper and lower case are ignored."),
        (["ENSG00000000003", "ENSG00000000005"], ["ENSG00000000003.15"], "1 of 2 would match if what follows the last"),
        (
            ["chr1:100-200", "chr2:5-9"],
            ["1-100-200"],
            "look like genomic intervals ('1-100-200'), the model uses genomic",
        ),
        (["chr1:100-200", "chr2:5-9"], ["1-100-200"], "1 of 2 would match if separators and 'chr' are ignored"),
    ],
)
def test_no_match_at_all_is_refused_with_the_kinds_of_names(model, query, words):
    coverage, findings = coverage_of("rna", model, query, "x")
    assert coverage.share == 0.0
    assert words in only(findings, "E037").what


def test_as_many_features_of_other_names_are_never_matched_by_place():
    assert codes(coverage_of("rna", GENES, [f"h{i}" for i in range(11)], "x")[1]) == {"E037"}


def test_none_of_the_models_modalities_is_refused():
    finding = only(check(two(), features={"atac": ["chr1:1-2"]}).findings, "E043")
    assert finding.what == "this model knows atac; the data have rna, adt."
