"""Tests of links to genes: by position on the same strand and chromosome, by name in any case, never invented."""

from __future__ import annotations

import pandas as pd
import pytest

from published_fixtures import GENES, both
from unisono_bench.published.links import GENES_OF, gene_links, peak_links, protein_links

TABLE = pd.DataFrame(
    {
        "chrom": ["chr1", "chr1", "chr2"],
        "tss": [10_000, 60_000, 10_000],
        "strand": ["+", "-", "+"],
        "gene": ["FORWARD", "REVERSE", "ELSEWHERE"],
        "start": [10_000, 50_000, 10_000],
        "end": [20_000, 60_000, 20_000],
    }
)
GENES_HERE = ["FORWARD", "REVERSE", "ELSEWHERE"]


@pytest.mark.parametrize(
    ("peak", "gene"),
    [
        ("chr1:15000-15100", "FORWARD"),
        ("chr1:8100-8200", "FORWARD"),
        ("chr1:7900-8001", "FORWARD"),
        ("chr1-15000-15100", "FORWARD"),
        ("chr1:61900-62100", "REVERSE"),
        ("chr2:15000-15100", "ELSEWHERE"),
    ],
)
def test_a_peak_in_the_body_or_the_promoter_belongs_to_the_gene(peak, gene):
    assert peak_links([peak], GENES_HERE, TABLE) == [(peak, gene)]


@pytest.mark.parametrize(
    "peak",
    ["chr1:7900-8000", "chr1:20000-20100", "chr1:21000-21900", "chr1:48100-48200", "chr1:62000-62100", "chr3:1-99999"],
)
def test_a_peak_next_to_it_does_not(peak):
    assert peak_links([peak], GENES_HERE, TABLE) == []


def test_a_peak_may_belong_to_two_genes_and_a_name_that_is_no_place_to_none():
    table = TABLE.assign(start=[10_000, 15_000, 10_000])
    assert peak_links(["chr1:16000-16100"], GENES_HERE, table) == [
        ("chr1:16000-16100", "FORWARD"),
        ("chr1:16000-16100", "REVERSE"),
    ]
    assert peak_links(["peak_17"], GENES_HERE, table) == []


def test_a_gene_that_was_not_measured_has_no_peak():
    assert peak_links(["chr1:15000-15100"], ["REVERSE"], TABLE) == []


def test_without_start_and_end_a_gene_is_its_start_site_and_promoter():
    table = TABLE.drop(columns=["start", "end"])
    assert peak_links(["chr1:9000-9100"], GENES_HERE, table) == [("chr1:9000-9100", "FORWARD")]
    assert peak_links(["chr1:15000-15100"], GENES_HERE, table) == []
    assert peak_links(["chr1:61000-61100"], GENES_HERE, table) == [("chr1:61000-61100", "REVERSE")]


@pytest.mark.parametrize(
    ("protein", "genes", "wanted"),
    [
        ("CD4", ["CD4", "CD44"], ["CD4"]),
        ("CD4-1", ["CD4"], ["CD4"]),
        ("CD8a", ["CD8A", "CD8B"], ["CD8A"]),
        ("CD8", ["CD8A", "CD8B"], ["CD8A", "CD8B"]),
        ("cd3", ["CD3D", "CD3G"], ["CD3D", "CD3G"]),
        ("ADT_CD115(CSF-1R)_A0105", ["Csf1r"], ["Csf1r"]),
        ("ADT_CD19_A0093", ["Cd19", "Cd1d1"], ["Cd19"]),
        ("ADT_unheardof(CD20)_A0001", ["MS4A1"], ["MS4A1"]),
        ("CD56", ["NCAM1", "CD56L"], ["NCAM1"]),
        ("CD45RA", ["PTPRC"], ["PTPRC"]),
        ("HLA-A-B-C", ["HLA-A"], ["HLA-A"]),
        ("IgG1-control", ["IGHG1"], []),
        ("CD20", ["CD4"], []),
    ],
)
def test_a_protein_belongs_to_the_genes_that_code_for_it(protein, genes, wanted):
    assert protein_links([protein], genes) == [(protein, gene) for gene in wanted]


def test_antibodies_are_named_in_lower_case():
    assert [name for name in GENES_OF if name != name.lower()] == []


def test_the_links_of_all_modalities_name_the_modality():
    found = gene_links(both(3, 0, "c"), None)
    assert {link.modality for link in found} == {"adt"}
    assert [(link.feature, link.gene) for link in found] == [
        ("CD4-1", "CD4"),
        ("CD20", "MS4A1"),
        ("CD3", "CD3E"),
        ("CD8", "CD8A"),
        ("CD8", "CD8B"),
    ]
    assert {link.gene for link in found} <= set(GENES)
