"""Tests of names as other tools write them: what is cut, what is left, and that no two genes become one."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.features.spelling import describe_cut, plain_symbols, without_affixes
from unisono.modalities import Known
from unisono.preprocessing.align import align

GENES = ["CD3D", "MS4A1", "HLA-A", "HLA-DRB1", "MT-CO1", "LYZ", "7SK", "AC001.2", "IGHG1"]


def names(*listed: str) -> np.ndarray:
    return np.array(listed, dtype=str)


def columns(query: list[str], model: list[str] = GENES, modality: str = "rna") -> list[int]:
    return align(modality, Known(names(*model)), names(*query)).columns.tolist()


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("GRCh38_CD3D", "CD3D"),
        ("GRCh38______CD3D", "CD3D"),
        ("hg19-CD3D", "CD3D"),
        ("hg38.p13_CD3D", "CD3D"),
        ("mm10___Cd3d", "Cd3d"),
        ("GRCm39_Cd3d", "Cd3d"),
        ("rn6_Actb", "Actb"),
        ("b37_CD3D", "CD3D"),
        ("CD3D_ENSG00000167286", "CD3D"),
        ("CD3D.ENSG00000167286.9", "CD3D"),
        ("MT.CO1.ENSG00000198804", "MT-CO1"),
        ("ENSG00000167286.9_CD3D", "CD3D"),
        ("ENSMUSG00000032094|Cd3d", "Cd3d"),
        ("HLA.DRB1", "HLA-DRB1"),
        ("HLA_DRB1", "HLA-DRB1"),
        ("X7SK", "7SK"),
        (" CD3D ", "CD3D"),
        ("b'CD3D'", "CD3D"),
        ('b"CD3D"', "CD3D"),
        ("XIST", "XIST"),
        ("B12-A", "B12-A"),
        ("ENSG00000167286", "ENSG00000167286"),
        ("BRN10_1", "BRN10-1"),
        ("b", "b"),
    ],
)
def test_a_symbol_without_what_tools_add_is_plain(name, plain):
    assert plain_symbols(names(name)).tolist() == [plain]


def test_plain_symbols_are_plain_already():
    once = plain_symbols(names(*GENES))
    assert plain_symbols(once.to_numpy(dtype=str)).tolist() == once.tolist()


@pytest.mark.parametrize(
    "query",
    [
        [f"GRCh38_{gene}" for gene in GENES],
        [f"hg19-{gene}" for gene in GENES],
        [f"GRCh38______{gene}" for gene in GENES],
        [f"{gene}_ENSG{i:011d}" for i, gene in enumerate(GENES)],
        [f"{gene}.ENSG{i:011d}.{i + 1}" for i, gene in enumerate(GENES)],
        [f"ENSG{i:011d}-{gene}" for i, gene in enumerate(GENES)],
        [f"{gene} " for gene in GENES],
        [f"b'{gene}'" for gene in GENES],
        [gene.replace("-", ".") for gene in GENES],
        [gene.replace("-", "_") for gene in GENES],
        [f"rna:{gene}" for gene in GENES],
        [f"sample 1|{gene}" for gene in GENES],
        [f"{gene}_RNA" for gene in GENES],
        [f"gex-{gene}-1" for gene in GENES],
    ],
    ids=lambda query: query[0],
)
def test_genes_are_found_through_what_tools_add_on_either_side(query):
    order = np.random.default_rng(1).permutation(len(GENES))
    assert columns([query[i] for i in order]) == np.argsort(order).tolist()
    assert columns([GENES[i] for i in order], query) == np.argsort(order).tolist()


@pytest.mark.parametrize(
    "query",
    [
        [f"mm10___{gene.capitalize()}" for gene in GENES if gene.isupper() and gene[0].isalpha()],
        [gene.lower() for gene in GENES if gene[0].isalpha()],
        [str(i) for i in range(len(GENES))],
        [f"ENSG{i:011d}" for i in range(len(GENES))],
    ],
    ids=lambda query: query[0],
)
def test_genes_of_another_species_numbers_and_ids_meet_none(query):
    model = [gene for gene in GENES if gene[0].isalpha()]
    assert set(columns(query, model)) == {-1}
    assert set(columns(query, [f"GRCh38_{gene}" for gene in model])) == {-1}


@pytest.mark.parametrize("mark", ["mm10___", "mm10_", "GRCm39-"])
@pytest.mark.parametrize("prefix", ["GRCh38_", ""])
def test_of_a_hybrid_of_two_species_each_model_finds_its_own_genes(mark, prefix):
    human = [gene for gene in GENES if gene[0].isalpha()]
    mouse = [gene.capitalize() for gene in human]
    both = [f"{mark}{gene}" for gene in mouse] + [f"{prefix}{gene}" for gene in human]
    assert columns(both, human) == [*range(8, 16)]
    assert columns(both, mouse) == [*range(8)]
    assert columns(human, both) == [-1] * 8 + [*range(8)]


def test_one_symbol_under_two_genomes_names_neither():
    assert columns([f"hg19_{gene}" for gene in GENES] + [f"hg38_{gene}" for gene in GENES]) == [-1] * len(GENES)


def test_equal_names_go_before_names_that_are_plain_alike():
    assert columns(["HLA.A", "GRCh38_HLA-A", "HLA-A"], ["HLA-A"]) == [2]
    assert columns(["HLA.A", "HLA_A"], ["HLA-A"]) == [-1]


def test_what_all_names_begin_and_end_with_is_cut_up_to_a_mark():
    assert without_affixes(names("s-A1.x", "s-A2.x", "s-A3.x", "s-B.x", "s-C.x")).tolist() == [
        "A1",
        "A2",
        "A3",
        "B",
        "C",
    ]
    assert without_affixes(names("gA", "gB", "gC", "gD", "gE")) is None
    assert without_affixes(names("s-A", "s-B", "s-C", "t-D", "s-E")) is None


@pytest.mark.parametrize(
    "listed",
    [
        ["a_A_1", "a_A_1", "a_B_1", "a_C_1", "a_D_1"],
        ["s-A", "s-B", "s-C", "s-D"],
        ["s-", "s-B", "s-C", "s-D", "s-E"],
        [],
    ],
)
def test_names_are_left_where_a_cut_makes_two_one_or_one_empty_or_where_there_are_few(listed):
    assert without_affixes(names(*listed)) is None


def test_a_cut_is_taken_only_where_it_finds_more():
    panel = [f"HLA-{letter}" for letter in "ABCDEFG"]
    assert columns(panel, [*panel, "A", "B"]) == [*range(7), -1, -1]


def test_proteins_are_found_through_a_prefix_of_all():
    panel = ["CD3", "CD4", "CD8a", "CD19", "CD56", "HLA-DR"]
    assert columns([f"lib7:{name}" for name in panel], panel, "adt") == [*range(6)]


def test_the_cut_is_described_if_most_names_have_it():
    pairs = {gene: f"GRCh38_{gene}" for gene in GENES}
    assert describe_cut(pairs) == "prefix 'GRCh38_' was cut from 9 names"
    assert describe_cut({gene: f"{gene}-rna" for gene in GENES}) == "suffix '-rna' was cut from 9 names"
    assert describe_cut({gene: gene.replace("-", ".") for gene in GENES}) is None
    assert describe_cut({gene: f"GRCh38_{gene}" for gene in GENES[:4]}) is None
    assert describe_cut({}) is None
