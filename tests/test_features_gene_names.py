"""Tests of the names that one human gene had in its time: what they join, and what they must leave apart."""

from __future__ import annotations

import gzip
from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray

from unisono.features import gene_names
from unisono.features.gene_names import count_renamed, human_genes
from unisono.features.genes import match_genes

RENAMED = {
    "SEPT6": "SEPTIN6",
    "MARCH1": "MARCHF1",
    "FAM129A": "NIBAN1",
    "H2AFY": "MACROH2A1",
    "KIAA0100": "BLTP2",
    "C1orf112": "FIRRM",
    "RP11-34P13.7": "ENSG00000238009",
    "RP11-206L10.9": "LINC01409",
    "AC109826.1": "LINC02611",
    "6-Sep": "SEPTIN6",
    "Mar-03": "MARCHF3",
    "ENSG00000125354.12": "SEPTIN6",
    "ENSG00000010610": "CD4",
}
STEADY = ["CD3E", "CD4", "MS4A1", "IL7R", "GAPDH"]


def names(*values: str) -> NDArray[np.str_]:
    return np.array(values, dtype=str)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_gene_is_found_under_the_name_it_had_or_got(old, new):
    steady = [name for name in STEADY if name != new]
    n = len(steady)
    np.testing.assert_array_equal(match_genes(names(*steady, old), names(new, *steady)), [*range(1, n + 1), 0])
    np.testing.assert_array_equal(match_genes(names(*steady, new), names(old, *steady)), [*range(1, n + 1), 0])


@pytest.mark.parametrize("spelling", ["GRCh38_SEPT6", " SEPT6", "b'SEPT6'", "SEPT6_ENSG00000125354"])
def test_an_earlier_name_is_read_in_any_spelling(spelling):
    np.testing.assert_array_equal(match_genes(names("CD4", "SEPTIN6"), names("CD4", spelling)), [0, 1])


def test_dots_for_dashes_do_not_hide_the_name_of_a_clone():
    np.testing.assert_array_equal(match_genes(names("CD4", "LINC01409"), names("RP11.206L10.9", "CD4")), [1, 0])


def test_the_name_that_is_there_goes_before_the_one_it_had():
    found = names("SEPT6", "CD4", "SEPTIN6")
    np.testing.assert_array_equal(match_genes(names("CD4", "SEPTIN6"), found), [1, 2])
    np.testing.assert_array_equal(match_genes(found, names("CD4", "SEPTIN6")), [-1, 0, 1])


def test_two_earlier_names_of_a_gene_on_one_side_name_none():
    found = names("FAM129A", "CD4", "C1orf24")
    np.testing.assert_array_equal(match_genes(names("CD4", "NIBAN1"), found), [1, -1])


@pytest.mark.parametrize("name", ["AC116050.1", "1-Mar", "NME2", "MATR3"])
def test_a_name_that_stood_for_two_genes_stands_for_none(name):
    assert human_genes(names("CD4", name)).tolist()[1] == ""
    np.testing.assert_array_equal(match_genes(names("CD4", name), names(name, "CD4")), [1, 0])


def test_a_symbol_of_today_is_not_taken_for_the_alias_of_another_gene():
    """HES1 is an alias of GATD3, whose earlier symbol is C21orf33; SEPT2 is one of SEPTIN6."""
    wanted, found = names("CD4", "GATD3", "SEPTIN6"), names("CD4", "HES1", "SEPT2")
    np.testing.assert_array_equal(match_genes(wanted, found), [0, -1, -1])
    np.testing.assert_array_equal(match_genes(names("CD4", "GATD3"), names("C21orf33", "CD4", "HES1")), [1, 0])


def test_ids_of_both_sides_decide_before_names():
    """Clones are named anew: AC116050.1 of one release is another gene in the next, and two may swap."""
    swapped = match_genes(
        names("CD4", "AC1.1", "AC1.2"),
        names("AC1.2", "AC1.1", "CD4"),
        names("ENSG00000010610", "ENSG00000000101", "ENSG00000000102"),
        names("ENSG00000000101.3", "ENSG00000000102.1", "ENSG00000010610.7"),
    )
    np.testing.assert_array_equal(swapped, [2, 0, 1])


def test_an_id_that_contradicts_the_earlier_name_keeps_two_genes_apart():
    """The id of SEPTIN6 ends in 125354, that of SEPTIN7 in 122545."""
    wanted, found = names("CD4", "SEPTIN6"), names("CD4", "SEPT6")
    ids = names("ENSG00000010610", "ENSG00000122545")
    np.testing.assert_array_equal(match_genes(wanted, found, None, ids), [0, -1])
    np.testing.assert_array_equal(match_genes(wanted, found, None, names("", "ENSG99999999999")), [0, -1])
    np.testing.assert_array_equal(match_genes(wanted, found, None, names("", "")), [0, 1])


def test_ids_find_symbols_though_neither_side_has_both():
    found = names("ENSG00000010610.10", "ENSG00000156738", "ENSG00000125354.3")
    np.testing.assert_array_equal(match_genes(names("SEPT6", "CD4", "MS4A1"), found), [2, 0, 1])


def test_mouse_genes_meet_no_human_ones_by_another_name():
    """Of the symbols of mouse some are human: F3, H19, T, which is TBXT now."""
    mouse = names("Cd4", "Cd3e", "Ms4a1", "Sept6", "T", "F3", "Gapdh", "Il7r", "Actb")
    assert human_genes(mouse) is None
    human = names("CD4", "CD3E", "MS4A1", "SEPTIN6", "TBXT", "F3", "GAPDH", "ENSG00000168685")
    np.testing.assert_array_equal(match_genes(human, mouse), [-1, -1, -1, -1, -1, 5, -1, -1])
    np.testing.assert_array_equal(match_genes(mouse, human) >= 0, mouse == "F3")


def test_genes_of_the_other_genome_of_a_mixture_are_left_alone():
    mixture = names("GRCh38_CD4", "GRCh38_IL7R", "mm10_Cd4", "mm10_T", "mm10_Il7r", "ENSMUSG00000062327")
    np.testing.assert_array_equal(match_genes(names("CD4", "IL7R", "TBXT"), mixture), [0, 1, -1])


def test_the_order_of_names_changes_no_pair():
    rng = np.random.default_rng(5)
    old, new = names(*RENAMED, *STEADY), names(*sorted({*RENAMED.values(), *STEADY}))
    order = rng.permutation(len(new))
    straight, shuffled = match_genes(old, new), match_genes(old, new[order])
    np.testing.assert_array_equal(straight, np.append(order, -1)[shuffled])


def test_the_table_is_not_read_where_all_genes_meet_or_no_column_is_left(monkeypatch):
    def refuse() -> None:
        raise AssertionError("the table was read")

    monkeypatch.setattr(gene_names, "_table", refuse)
    np.testing.assert_array_equal(match_genes(names("SEPT6", "HLA-A"), names("HLA.A", "X", "SEPT6")), [2, 0])
    np.testing.assert_array_equal(match_genes(names("SEPT6", "CD4"), names("CD4")), [-1, 0])
    assert count_renamed({"CD4": "GRCh38_CD4"}) == 0
    with pytest.raises(AssertionError, match="the table was read"):
        match_genes(names("SEPT6"), names("CD4"))


def test_pairs_of_two_names_of_a_gene_are_counted_and_other_spellings_are_not():
    pairs = {"SEPTIN6": "SEPT6", "CD4": "ENSG00000010610.2", "HLA-A": "HLA.A", "IL7R": "CD3E", "x": "y"}
    assert count_renamed(pairs) == 2
    assert count_renamed({}) == 0


def test_no_name_of_the_table_stands_in_two_lines_and_its_sources_are_named():
    packed = (files("unisono.features") / "data" / "human_genes.csv.gz").read_bytes()
    assert len(packed) < 700_000
    lines = gzip.decompress(packed).decode().splitlines()
    head = [line for line in lines if line.startswith("#")]
    listed = [name for line in lines[len(head) + 1 :] for name in line.split(",")[1].split(" ")]
    assert len(set(listed)) == len(listed) > 100_000
    assert all(any(word in line for line in head) for word in ("HGNC", "GENCODE 48", "CC0", "free for any use"))
