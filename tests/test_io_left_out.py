"""Tests of features that are not of their modality: of another type, controls, and the counts of another one's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from io_fixtures import codes, counts, findings_of, mu, only, table
from scipy import sparse

from unisono.io.places import CountsAt
from unisono.io.read import Inspection, ReadOptions, inspect

N_CELLS = 29
GENES, PROTEINS = counts(N_CELLS, 11), counts(N_CELLS, 5, seed=1) + 1


def read(*, is_training: bool = True, keeps_controls: bool = False, **tables: AnnData) -> Inspection:
    return inspect(
        mu(**tables), ReadOptions(counts=CountsAt(), keeps_controls=keeps_controls, is_training=is_training), "x.h5mu"
    )


def genes(extra: np.ndarray | None = None, types: list[str | None] | None = None) -> AnnData:
    """11 genes and, behind them, the columns of `extra`."""
    values = GENES if extra is None else np.hstack([GENES, extra])
    adata = table(N_CELLS, values.shape[1], "g", matrix=sparse.csr_matrix(values.astype(np.float32)))
    if types is not None:
        adata.var["feature_types"] = types
    return adata


def proteins(names: list[str] | None = None, values: np.ndarray = PROTEINS) -> AnnData:
    adata = table(N_CELLS, values.shape[1], "p", matrix=sparse.csr_matrix(values.astype(np.float32)))
    if names is not None:
        adata.var_names = names
    return adata


@pytest.mark.parametrize("name", ["Antibody Capture", "antibody_capture", "AntibodyCapture", "Protein", "ADT", "prot "])
def test_antibodies_in_rna_are_left_out_by_their_type_however_it_is_spelled(name):
    found = read(rna=genes(PROTEINS, ["Gene Expression"] * 11 + [name] * 5), adt=proteins())
    assert found.views["rna"].features.tolist() == [f"g{i}" for i in range(11)]
    np.testing.assert_array_equal(found.views["rna"].counts.toarray(), GENES)
    what = only(list(found.findings), "W024").what
    assert what == "5 (g11, g12, g13, g14, ...) are features of adt by their type: left out."


@pytest.mark.parametrize("name", ["Multiplexing Capture", "CRISPR Guide Capture", "Negative Control Probe"])
def test_features_of_no_modality_are_left_out(name):
    found = read(rna=genes(PROTEINS[:, :2], ["Gene Expression"] * 11 + [name] * 2), adt=proteins(values=PROTEINS + 2))
    assert "2 (g11, g12) are features of no modality by their type" in only(list(found.findings), "W024").what


@pytest.mark.parametrize("missing", [None, np.nan])
def test_a_feature_without_a_type_is_kept(missing):
    found = read(rna=genes(types=["Gene Expression"] * 7 + [missing] * 4), adt=proteins())
    assert len(found.views["rna"].features) == 11
    assert "W024" not in codes(found.findings)


@pytest.mark.parametrize("column", ["feature_types", "feature_type", "biotype"])
@pytest.mark.parametrize("types", [["protein_coding"] * 6 + ["lncRNA"] * 5, ["Gene Expression"] * 11, ["gene"] * 11])
def test_types_that_tell_no_modalities_apart_leave_all_features(column, types):
    adata = genes()
    adata.var[column] = pd.Categorical(types)
    found = read(rna=adata, adt=proteins())
    assert len(found.views["rna"].features) == 11
    assert "W024" not in codes(found.findings)


def test_a_modality_all_of_whose_types_are_anothers_is_read_and_told():
    found = read(rna=genes(types=["Peaks"] * 11), adt=proteins())
    assert only(list(found.findings), "W024").what == (
        "by their type all 11 features are those of atac, and are read as rna."
    )
    assert len(found.views["rna"].features) == 11


def test_a_query_leaves_out_other_types_too():
    found = read(is_training=False, rna=genes(PROTEINS, ["Gene Expression"] * 11 + ["Antibody Capture"] * 5))
    assert len(found.views["rna"].features) == 11


@pytest.mark.parametrize("column", [0, 2, 4])
@pytest.mark.parametrize("order", [np.arange(N_CELLS), np.random.default_rng(3).permutation(N_CELLS)])
def test_a_column_that_is_one_of_another_modality_is_left_out_whatever_its_name_and_the_order_of_cells(column, order):
    found = read(rna=genes(PROTEINS[:, [column]]), adt=proteins()[order].copy())
    assert found.views["rna"].features.tolist() == [f"g{i}" for i in range(11)]
    assert (
        only(list(found.findings), "W024").what == "1 (g11) hold the very counts of features of adt: left out of rna."
    )


def test_a_column_that_differs_in_one_cell_is_kept():
    extra = PROTEINS[:, [2]].copy()
    extra[17] += 1
    assert "W024" not in codes(read(rna=genes(extra), adt=proteins()).findings)


def test_columns_that_cells_of_one_modality_alone_tell_apart_are_still_the_same():
    adt = proteins()[:23].copy()
    found = read(rna=genes(PROTEINS[:, [1]]), adt=adt)
    assert "1 (g11)" in only(list(found.findings), "W024").what


@pytest.mark.parametrize("value", [0, 1, 3])
def test_columns_of_one_value_are_the_same_by_chance(value):
    constant = np.full((N_CELLS, 1), value)
    nearly = constant.copy()
    nearly[[4, 9]] += 2
    values = np.hstack([PROTEINS, constant, nearly])
    assert "W024" not in codes(read(rna=genes(np.hstack([constant, nearly])), adt=proteins(values=values)).findings)


def test_sparse_peaks_that_equal_sparse_genes_by_chance_are_kept():
    rng = np.random.default_rng(4)
    sparse_genes, peaks = (rng.random((N_CELLS, n)) < 0.1 for n in (301, 907))
    assert len(set(map(bytes, sparse_genes.T)) & set(map(bytes, peaks.T))) > 3
    atac = table(N_CELLS, 907, "chr1:", matrix=sparse.csr_matrix(peaks.astype(np.float32)))
    atac.var_names = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(907)]
    assert "W024" not in codes(read(rna=genes(sparse_genes), atac=atac).findings)


def test_one_table_given_twice_is_told():
    found = read(rna=proteins(), adt=proteins())
    assert only(list(found.findings), "W024").what.startswith("all 5 (p0, p1, p2, p3, ...) hold the very counts")
    assert len(found.views["rna"].features) == len(found.views["adt"].features) == 5


NAMES = ["CD3", "CD19_TotalSeqB", "HLA-DR"]


@pytest.mark.parametrize(
    "name",
    ["IgG1_control_TotalSeqB", "HTO_1", "CMO301", "SampleTag01_hs|AHS0001|stAbO", "unmapped", "Mouse IgG2a isotype"],
)
def test_controls_and_sample_tags_are_left_out_unless_kept(name):
    adt = proteins([*NAMES, name, "CD56"])
    found = read(rna=genes(), adt=adt)
    assert found.views["adt"].features.tolist() == [*NAMES, "CD56"]
    assert only(list(found.findings), "W045").what == f"1 ({name}) look like controls or sample tags: left out."
    kept = read(rna=genes(), adt=adt, keeps_controls=True)
    assert kept.views["adt"].features.tolist() == [*NAMES, name, "CD56"]
    assert only(list(kept.findings), "W045").what.endswith("look like controls or sample tags: kept.")


@pytest.mark.parametrize("name", ["CD158b", "IgM", "IgG Fc", "HLA-DR_DP", "TCRab", "CD16"])
def test_antigens_are_no_controls(name):
    assert "W045" not in codes(read(rna=genes(), adt=proteins([*NAMES, name, "CD56"])).findings)


def test_a_panel_of_nothing_but_controls_is_read_as_it_is():
    found = read(rna=genes(), adt=proteins(["IgG1", "IgG2a", "HTO_1", "HTO_2", "HTO_3"]))
    assert len(found.views["adt"].features) == 5


def test_genes_are_never_controls():
    adata = genes()
    adata.var_names = ["IGHG1", "HTO_1", "control", *adata.var_names[3:]]
    assert len(read(rna=adata, adt=proteins()).views["rna"].features) == 11


def test_a_query_leaves_controls_out_without_a_word():
    found = read(is_training=False, adt=proteins([*NAMES, "IgG1", "CD56"]))
    assert found.views["adt"].features.tolist() == [*NAMES, "CD56"]
    assert not found.findings


def test_cells_that_only_controls_were_counted_in_have_no_counts():
    values = PROTEINS.copy()
    values[6, [0, 1, 2, 4]] = 0
    found = read(rna=genes(), adt=proteins([*NAMES, "IgG1", "CD56"], values))
    assert "1 of 29 cells have no counts in adt" in only(list(found.findings), "W020").what
    assert "c6" not in found.views["adt"].cells


def test_proteins_hardly_counted_are_told_in_training():
    values = PROTEINS.copy()
    values[3:, 2] = 0  # 3 of 29 cells: 10.3 %
    values[2:, 4] = 0  # 2 of 29 cells: 6.9 %
    what = only(findings_of(mu(rna=genes(), adt=proteins(values=values))), "W045").what
    assert what == "1 (p4) are 0 in more than 90 % of cells: little can be learnt of them."


@pytest.mark.parametrize(("n_proteins", "is_told"), [(2, True), (3, True), (4, True), (5, False), (11, False)])
def test_a_panel_of_fewer_than_five_proteins_is_told_to_be_read_as_ratios(n_proteins, is_told):
    mdata = mu(rna=table(23, 11, "g"), adt=table(23, n_proteins, "p", seed=1))
    found = [finding for finding in findings_of(mdata) if finding.code == "W046"]
    assert [finding.where for finding in found] == ["data, adt"] * is_told
    assert all(f"{n_proteins} proteins: per-cell CLR of so few" in finding.what for finding in found)
    assert "W046" not in codes(findings_of(mdata, is_training=False))
