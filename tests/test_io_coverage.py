"""Tests of coverage: what is there, what is missing, what was taken for what, and which queries are refused."""

from __future__ import annotations

import numpy as np
import pytest
from io_fixtures import codes, only

from unisono.io.checks.coverage import coverage_of_names, tolerated
from unisono.modalities import Known

GENES = [f"g{i}" for i in range(11)]


def covered(modality, model, query, source_name):
    """Coverage where every feature of the model carries as much as any other."""
    signal = np.full(len(model), 1 / len(model))
    return coverage_of_names(modality, Known(np.array(model)), signal, np.array(query), None, source_name)


def test_equal_features_have_nothing_to_tell():
    assert covered("rna", GENES, GENES, "x")[1] == []


def test_another_order_is_told_and_matched():
    coverage, findings = covered("rna", GENES, GENES[::-1], "x")
    assert coverage.signal == 1.0
    assert codes(findings) == {"I035"}


def test_missing_and_unknown_features_are_counted_apart():
    coverage, findings = covered("rna", GENES, [*GENES[3:], "new", "newer"], "x.h5mu, rna")
    assert (coverage.wanted, coverage.found) == (11, 8)
    assert only(findings, "W036").what == (
        "3 of 11 features of the model are missing (first: g0, g1, g2), and with them 27% of its signal; "
        "treated as not measured."
    )
    assert only(findings, "I036").what == "2 of 10 features are unknown to the model (first: new); ignored."


@pytest.mark.parametrize(("n_found", "code"), [(9, "E036"), (11, "W036")])
def test_below_a_tenth_of_the_signal_a_query_is_refused(n_found, code):
    model = [f"g{i}" for i in range(100)]
    assert codes(covered("rna", model, model[:n_found], "x")[1]) == {code}


def test_it_is_the_signal_that_counts_and_not_how_many_features_carry_it():
    signal = np.array([0.5, 0.3, 0.1, 0.05, 0.05])
    model = np.array(["a", "b", "c", "d", "e"])
    few, many = (
        coverage_of_names("rna", Known(model), signal, model[part], None, "x")[0] for part in ([0, 1], [2, 3, 4])
    )
    assert (few.found, round(few.signal, 6)) == (2, 0.8)
    assert (many.found, round(many.signal, 6)) == (3, 0.2)


def test_too_little_coverage_can_be_tolerated_and_nothing_else():
    model = [f"g{i}" for i in range(100)]
    little, none = covered("rna", model, model[:3], "x")[1], covered("rna", model, ["h"], "x")[1]
    assert codes(tolerated(little)) == {"W036"}
    assert codes(tolerated(none)) == {"E037"}


def test_other_spellings_are_mapped_and_told():
    coverage, findings = covered("adt", ["CD3", "CD279", "CD19"], ["pd-1", "cd19", "ADT_CD3_A0034"], "x")
    assert coverage.mapped == {"CD3": "ADT_CD3_A0034", "CD279": "pd-1", "CD19": "cd19"}
    assert (coverage.by_name, coverage.otherwise, coverage.signal) == (0, 3, 1.0)
    assert "3 of 3 features found under another name (first: CD3 ← ADT_CD3_A0034" in only(findings, "I038").what


def test_peaks_of_another_set_are_mapped_by_overlap_and_told():
    model, query = ["chr1:100-200", "chr1:300-400", "chr2:100-200"], ["chr1:150-350", "chr2:100-200", "chr3:5-9"]
    coverage, findings = covered("atac", model, query, "x")
    assert (coverage.by_name, coverage.otherwise) == (1, 2)
    assert coverage.mapped == {"chr1:100-200": "chr1:150-350", "chr1:300-400": "chr1:150-350"}
    assert "1 of 3 peaks found by name, 2 by overlap" in only(findings, "I039").what
    assert only(findings, "I036").what == "1 of 3 features are unknown to the model (first: chr3:5-9); ignored."


def test_peaks_that_cannot_be_compared_are_refused_with_the_reason():
    coverage, findings = covered("atac", ["chr1:100-200"], ["1:100-200"], "x")
    assert (coverage.found, codes(findings)) == (0, {"E039"})


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
        (["AC1.1", "AC2.2"], ["AC1.3"], "1 of 2 would match if what follows the last"),
        (
            ["chr1:100-200", "chr2:5-9"],
            ["1-100-200"],
            "look like genomic intervals ('1-100-200'), the model uses genomic",
        ),
        (["chr1:100-200", "chr2:5-9"], ["1-100-200"], "1 of 2 would match if separators and 'chr' are ignored"),
    ],
)
def test_no_match_at_all_is_refused_with_the_kinds_of_names(model, query, words):
    coverage, findings = covered("rna", model, query, "x")
    assert coverage.signal == 0.0
    assert words in only(findings, "E037").what


def test_as_many_features_of_other_names_are_never_matched_by_place():
    assert codes(covered("rna", GENES, [f"h{i}" for i in range(11)], "x")[1]) == {"E037"}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ([f"GRCh38_{gene}" for gene in GENES], "prefix 'GRCh38_' was cut from 11 names"),
        ([f"sample7|{gene}" for gene in GENES], "prefix 'sample7|' was cut from 11 names"),
        ([f"{gene}-rna" for gene in GENES], "suffix '-rna' was cut from 11 names"),
        ([f"{gene}_ENSG{i:011d}" for i, gene in enumerate(GENES)], "suffix '_ENSG…' was cut from 11 names"),
    ],
)
def test_what_was_cut_from_most_names_is_warned_about_with_the_first(query, words):
    coverage, findings = covered("rna", GENES, query, "x")
    assert (coverage.by_name, coverage.otherwise) == (0, 11)
    what = only(findings, "W037").what
    assert what.startswith(f"{words}, to find features of the model (first: {GENES[0]} ← {query[0]}")


def test_genes_found_by_an_earlier_or_later_name_are_counted_among_those_of_another_name():
    model, query = ["CD4", "SEPTIN6", "HLA-A", "FIRRM"], ["C1orf112", "SEPT6", "HLA.A", "CD4"]
    coverage, findings = covered("rna", model, query, "x")
    assert (coverage.by_name, coverage.otherwise) == (1, 3)
    what = "3 of 4 features found under another name, 2 of them by an earlier or later name of the gene "
    assert only(findings, "I038").what == what + "(first: SEPTIN6 ← SEPT6; HLA-A ← HLA.A; FIRRM ← C1orf112)."


def test_spellings_alone_are_no_earlier_names_and_proteins_have_none():
    assert "earlier" not in only(covered("rna", ["CD4", "HLA-A"], ["CD4", "HLA.A"], "x")[1], "I038").what
    assert "earlier" not in only(covered("adt", ["CD20", "CD4"], ["MS4A1", "CD4"], "x")[1], "I038").what


def test_a_cut_of_a_few_names_is_mapped_without_a_warning():
    query = [*GENES[:8], *(f"GRCh38_{gene}" for gene in GENES[8:])]
    coverage, findings = covered("rna", GENES, query, "x")
    assert (coverage.by_name, coverage.otherwise) == (8, 3)
    assert codes(findings) == {"I038"}
