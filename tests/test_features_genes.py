"""Tests of genes found by name or id: what is trusted first, what is ambiguous, what stays apart."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from unisono.features.genes import match_genes

SYMBOLS = ["CD3E", "MS4A1", "AL645608.8", "TBCE", "IL7R", "MT-CO1", "HLA-DRA"]
IDS = [
    "ENSG00000198851",
    "ENSG00000156738",
    "ENSG00000284770",
    "ENSG00000116957",
    "ENSG00000168685",
    "ENSG00000198804",
    "",
]


def names(*values: str) -> NDArray[np.str_]:
    return np.array(values, dtype=str)


def test_genes_matched_with_themselves_stay_in_place():
    np.testing.assert_array_equal(match_genes(names(*SYMBOLS), names(*SYMBOLS), names(*IDS), names(*IDS)), range(7))


def test_a_gene_is_found_wherever_its_column_stands_and_missing_genes_get_minus_one():
    match = match_genes(names("IL7R", "GATA3", "CD3E"), names("TBCE", "CD3E", "MS4A1", "IL7R"))
    np.testing.assert_array_equal(match, [3, -1, 1])


def test_the_order_of_found_does_not_change_which_names_pair():
    rng = np.random.default_rng(3)
    wanted, found = names("CD3E", "ENSG00000156738.2", "X", "TBCE"), names(*SYMBOLS)
    order = rng.permutation(7)
    straight = match_genes(wanted, found, None, names(*IDS))
    shuffled = match_genes(wanted, found[order], None, names(*IDS)[order])
    assert [found[i] for i in straight if i >= 0] == ["CD3E", "MS4A1", "TBCE"]
    np.testing.assert_array_equal(straight, np.append(order, -1)[shuffled])


def test_a_version_is_ignored_on_either_side_and_on_both():
    wanted = names("ENSG00000198851.14", "ENSG00000156738", "ENSMUSG00000032093.8", "ENST00000361763.9")
    found = names("ENST00000361763.1", "ENSMUSG00000032093.7", "ENSG00000156738.18", "ENSG00000198851")
    np.testing.assert_array_equal(match_genes(wanted, found), [3, 2, 1, 0])


def test_the_dot_of_a_clone_name_is_no_version():
    np.testing.assert_array_equal(match_genes(names("AL645608.8"), names("AL645608.2", "AL645608")), [-1])


def test_a_protein_id_is_no_gene_and_keeps_its_version():
    np.testing.assert_array_equal(match_genes(names("ENSP00000354566.2"), names("ENSP00000354566.1")), [-1])


def test_the_version_of_a_pseudoautosomal_copy_is_kept():
    found = names("ENSG00000182378.15_PAR_Y", "ENSG00000182378.15")
    np.testing.assert_array_equal(match_genes(names("ENSG00000182378.14"), found), [1])


def test_ids_find_a_gene_that_was_renamed():
    match = match_genes(
        names("C1orf112", "CD3E"), names("FIRRM", "CD3E"), names("ENSG00000000460.1", ""), names("ENSG00000000460", "")
    )
    np.testing.assert_array_equal(match, [0, 1])


def test_ids_of_one_side_meet_names_of_the_other():
    ids, symbols = names("ENSG00000198851.3", "ENSG00000156738.3"), names("MS4A1", "CD3E")
    symbol_ids = names("ENSG00000156738", "ENSG00000198851")
    np.testing.assert_array_equal(match_genes(ids, symbols, None, symbol_ids), [1, 0])
    np.testing.assert_array_equal(match_genes(symbols, ids, symbol_ids, None), [1, 0])


def test_ids_that_hold_symbols_meet_symbols():
    match = match_genes(names("ENSG00000198851"), names("CD3E"), names("CD3E"), names("feature-1"))
    np.testing.assert_array_equal(match, [0])


def test_the_exact_name_is_trusted_more_than_the_id():
    match = match_genes(names("A", "B"), names("B", "A"), names("id-1", "id-2"), names("id-1", "id-2"))
    np.testing.assert_array_equal(match, [1, 0])


def test_the_exact_version_is_trusted_more_than_another():
    match = match_genes(names("ENSG00000198851.3"), names("ENSG00000198851.4", "ENSG00000198851.3"))
    np.testing.assert_array_equal(match, [1])


def test_ids_are_trusted_more_than_an_id_that_equals_a_name():
    wanted, wanted_ids = names("A"), names("id-1")
    found, found_ids = names("id-1", "B"), names("id-9", "id-1")
    np.testing.assert_array_equal(match_genes(wanted, found, wanted_ids, found_ids), [1])


def test_a_column_goes_to_one_gene_only():
    match = match_genes(names("A", "B"), names("B", "C"), names("id-1", ""), names("id-1", "id-2"))
    np.testing.assert_array_equal(match, [-1, 0])


def test_a_key_that_two_columns_share_names_neither():
    found = names("ENSG00000198851.4", "ENSG00000198851.5")
    np.testing.assert_array_equal(match_genes(names("ENSG00000198851"), found), [-1])
    np.testing.assert_array_equal(match_genes(found, names("ENSG00000198851")), [-1, -1])
    np.testing.assert_array_equal(match_genes(names("A"), names("B", "C"), names("id"), names("id", "id")), [-1])


def test_unknown_ids_are_no_key():
    np.testing.assert_array_equal(match_genes(names("A"), names("B"), names(""), names("")), [-1])


def test_case_tells_human_from_mouse():
    np.testing.assert_array_equal(match_genes(names("CD4", "Cd8a"), names("Cd4", "Cd8a")), [-1, 1])


def test_no_columns_and_no_genes_are_no_error():
    np.testing.assert_array_equal(match_genes(names("A", "B"), names()), [-1, -1])
    assert match_genes(names(), names("A")).shape == (0,)


def test_arguments_are_not_changed():
    wanted, found = names("A", "ENSG00000198851.4"), names("ENSG00000198851", "A")
    match_genes(wanted, found)
    assert wanted.tolist() == ["A", "ENSG00000198851.4"]
    assert found.tolist() == ["ENSG00000198851", "A"]


def test_names_that_occur_twice_are_refused():
    with pytest.raises(ValueError, match=r"found genes: 1 names occur more than once \(first: 'B'\)"):
        match_genes(names("A"), names("A", "B", "B"))


def test_ids_of_another_number_than_the_names_are_refused():
    with pytest.raises(ValueError, match="wanted genes: 1 ids for 2 names"):
        match_genes(names("A", "B"), names("A"), names("id"))


def test_thirty_thousand_genes_take_less_than_two_seconds():
    ids = np.char.add("ENSG", np.char.zfill(np.arange(30_011).astype(str), 11))
    symbols = np.char.add("gene-", np.arange(30_011).astype(str))
    start = time.process_time()
    match = match_genes(np.char.add(ids, ".7"), symbols[::-1], None, ids[::-1])
    assert time.process_time() - start < 2
    np.testing.assert_array_equal(match, np.arange(30_011)[::-1])


PLAIN = ["CD3D", "HLA-A", "MT-CO1", "7SK"]


@pytest.mark.parametrize(
    "found",
    [
        ["GRCh38_CD3D", "GRCh38_HLA-A", "GRCh38_MT-CO1", "GRCh38_7SK"],
        ["CD3D", "HLA.A", "MT.CO1", "X7SK"],
        ["CD3D_ENSG00000167286", "HLA-A_ENSG00000206503", "MT-CO1_ENSG00000198804", "7SK"],
        [" CD3D", "b'HLA-A'", "hg19-MT-CO1", "7SK "],
    ],
)
def test_names_as_other_tools_write_them_are_the_last_to_be_trusted(found):
    np.testing.assert_array_equal(match_genes(names(*PLAIN), names(*found)), range(4))
    np.testing.assert_array_equal(match_genes(names(*found), names(*PLAIN)), range(4))
    wanted_ids, found_ids = names("", "id-2", "", ""), names("", "", "id-2", "")
    np.testing.assert_array_equal(match_genes(names(*PLAIN), names(*found), wanted_ids, found_ids), [0, 2, -1, 3])


def test_a_column_that_is_taken_by_its_name_is_not_taken_by_its_spelling_again():
    np.testing.assert_array_equal(match_genes(names("HLA-A", "HLA.A"), names("HLA.A", "HLA_A")), [-1, 0])


def test_a_prefix_does_not_make_another_species_of_a_gene():
    np.testing.assert_array_equal(match_genes(names(*PLAIN[:3]), names("mm10_Cd3d", "mm10_Hla-a", "mm10_mt-Co1")), -1)
