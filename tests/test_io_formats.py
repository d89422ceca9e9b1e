"""Tests of every layout that counts come in: made files in the exact layout, and real ones where they are there."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from io_fixtures import DATA, as_bytes, codes, counts, only, refusal, snapshot, table, two, write_tenx_hdf5
from scipy import sparse
from scipy.io import mmwrite

from unisono.datasets import simulate
from unisono.io.open import as_mudata, open_data
from unisono.io.places import CountsAt
from unisono.io.read import ReadOptions, inspect
from unisono.messages import BadInput, InputWarning
from unisono.reading import read

GENES, PROTEINS = 11, 5
BARCODES = [f"ACGTACGTACGT{letters}-1" for letters in ("AAAA", "CCCC", "GGGG", "TTTT", "ACAC", "GTGT", "CACA")]
RNA, ADT = counts(7, GENES), counts(7, PROTEINS, seed=1)
TYPES = ["Gene Expression"] * GENES + ["Antibody Capture"] * PROTEINS
NAMES = [f"GENE{i}" for i in range(GENES)] + [f"CD{i + 3}_TotalSeqB" for i in range(PROTEINS)]
IDS = [f"ENSG{i:011d}" for i in range(GENES)] + [f"CD{i + 3}" for i in range(PROTEINS)]


def hdf5_of_version_3(path: Path, matrix: np.ndarray, names: list[str], types: list[str], ids: list[str]) -> Path:
    return write_tenx_hdf5(path, sparse.csr_matrix(matrix), BARCODES, names, types, ids)


def test_a_file_of_cell_ranger_3_to_9_is_its_modalities_with_ids(tmp_path):
    path = hdf5_of_version_3(tmp_path / "x.h5", np.hstack([RNA, ADT]), NAMES, TYPES, IDS)
    mdata, findings = open_data(path)
    assert list(mdata.mod) == ["rna", "adt"]
    np.testing.assert_array_equal(mdata["rna"].X.toarray(), RNA)
    np.testing.assert_array_equal(mdata["adt"].X.toarray(), ADT)
    assert mdata["rna"].obs_names.tolist() == BARCODES
    assert mdata["rna"].var["gene_ids"].tolist() == IDS[:GENES]
    assert only(findings, "I007").what == "taken apart by feature type: 11 genes as rna, 5 proteins as adt."


def test_features_that_are_no_modality_are_left_out_and_told(tmp_path):
    types = ["Multiplexing Capture" if i in (1, 4) else "Custom" if i == 7 else kind for i, kind in enumerate(TYPES)]
    mdata, findings = open_data(hdf5_of_version_3(tmp_path / "x.h5", np.hstack([RNA, ADT]), NAMES, types, IDS))
    assert mdata["rna"].var_names.tolist() == [name for i, name in enumerate(NAMES[:GENES]) if i not in (1, 4, 7)]
    assert findings[0].what == "3 features of another type left out (Custom, Multiplexing Capture)."


def test_peaks_of_a_multiome_file_are_chromatin(tmp_path):
    peaks = [f"chr1:{100 * i}-{100 * i + 50}" for i in range(PROTEINS)]
    types = [*TYPES[:GENES], *["Peaks"] * PROTEINS]
    path = hdf5_of_version_3(
        tmp_path / "x.h5", np.hstack([RNA, ADT]), NAMES[:GENES] + peaks, types, IDS[:GENES] + peaks
    )
    mdata = read(path)
    assert mdata["atac"].var_names.tolist() == peaks
    np.testing.assert_array_equal(mdata["atac"].X.toarray(), ADT)


def test_symbols_of_two_genes_are_made_unique_and_told(tmp_path):
    names = ["MATR3", *NAMES[1:6], "MATR3", *NAMES[7:]]
    mdata, findings = open_data(hdf5_of_version_3(tmp_path / "x.h5", np.hstack([RNA, ADT]), names, TYPES, IDS))
    assert mdata["rna"].var_names[[0, 6]].tolist() == ["MATR3", "MATR3-1"]
    assert "first: MATR3" in only(findings, "I022").what


def test_genomes_of_cell_ranger_2_stand_side_by_side_over_all_cells(tmp_path):
    cells = {"GRCh38": BARCODES[:5], "mm10": BARCODES[3:]}
    with h5py.File(tmp_path / "v2.h5", "w") as file:
        for genome, barcodes in cells.items():
            part, group = sparse.csr_matrix(RNA[[BARCODES.index(b) for b in barcodes]]), file.create_group(genome)
            group["barcodes"], group["genes"] = as_bytes(barcodes), as_bytes(f"{genome}_{i}" for i in range(GENES))
            group["gene_names"] = as_bytes(f"{genome[:2]}GENE{i}" for i in range(GENES))
            group["data"], group["indices"], group["indptr"] = part.data, part.indices, part.indptr
            group["shape"] = np.array(part.shape[::-1])
    found = read(tmp_path / "v2.h5")["rna"]
    assert found.shape == (7, 2 * GENES)
    assert found.var["genome"].tolist() == ["GRCh38"] * GENES + ["mm10"] * GENES
    whole = found[BARCODES].X.toarray()
    np.testing.assert_array_equal(whole[:5, :GENES], RNA[:5])
    np.testing.assert_array_equal(whole[3:, GENES:], RNA[3:])
    assert whole[5:, :GENES].sum() == whole[:3, GENES:].sum() == 0


def test_parts_of_a_file_that_do_not_belong_together_are_refused(tmp_path):
    path = hdf5_of_version_3(tmp_path / "x.h5", np.hstack([RNA, ADT]), NAMES, TYPES, IDS)
    with h5py.File(path, "r+") as file:
        del file["matrix/barcodes"]
        file["matrix/barcodes"] = as_bytes(BARCODES[:6])
    finding = refusal(read, path)
    assert finding.code == "E003"
    assert "16 features and 6 barcodes, but a matrix 16 x 7" in finding.what


def folder(
    place: Path, *, zipped: bool = True, features: str = "features.tsv", prefix: str = "", columns: int = 3
) -> Path:
    """What Cell Ranger writes as a folder."""
    place.mkdir(exist_ok=True)
    rows = ["\t".join(row[:columns]) for row in zip(IDS, NAMES, TYPES, strict=True)]
    mmwrite(place / "m.mtx", sparse.coo_matrix(np.hstack([RNA, ADT]).T), field="integer")
    parts = {"matrix.mtx": (place / "m.mtx").read_text(), features: "\n".join(rows) + "\n"}
    parts["barcodes.tsv"] = "\n".join(BARCODES) + "\n"
    (place / "m.mtx").unlink()
    for name, content in parts.items():
        path = place / f"{prefix}{name}{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(content.encode()) if zipped else content.encode())
    return place


@pytest.mark.parametrize("options", [{}, {"zipped": False}, {"prefix": "GSM3489182_donor1_"}])
def test_a_matrix_folder_is_what_the_file_is(tmp_path, options):
    mdata = read(folder(tmp_path / "x", **options))
    np.testing.assert_array_equal(mdata["rna"].X.toarray(), RNA)
    np.testing.assert_array_equal(mdata["adt"].X.toarray(), ADT)
    assert mdata["rna"].var["gene_ids"].tolist() == IDS[:GENES]


def test_the_matrix_file_stands_for_its_folder(tmp_path):
    place = folder(tmp_path / "x")
    np.testing.assert_array_equal(read(place / "matrix.mtx.gz")["rna"].X.toarray(), RNA)


def test_a_folder_of_cell_ranger_2_has_genes_and_no_types(tmp_path):
    found = read(folder(tmp_path / "x", zipped=False, features="genes.tsv", columns=2))
    assert list(found.mod) == ["rna"]
    assert found["rna"].shape == (7, GENES + PROTEINS)


def test_what_macos_leaves_in_a_folder_is_ignored(tmp_path):
    place = folder(tmp_path / "x")
    for name in ("._matrix.mtx.gz", "._features.tsv.gz", ".DS_Store"):
        (place / name).write_bytes(b"\x00\x05\x16\x07Mac OS X")
    np.testing.assert_array_equal(read(place)["rna"].X.toarray(), RNA)


def test_a_header_line_is_refused_and_named(tmp_path):
    place = folder(tmp_path / "x", zipped=False)
    (place / "barcodes.tsv").write_text("0\n" + (place / "barcodes.tsv").read_text())
    before = snapshot(place)
    finding = refusal(read, place)
    assert finding.code == "E003"
    assert "matrix.mtx is 16 x 7" in finding.what
    assert "barcodes.tsv has 8 barcodes (the first, '0', looks like a header)" in finding.what
    assert snapshot(place) == before


def test_the_matrices_of_two_samples_in_one_folder_are_refused_by_name(tmp_path):
    folder(tmp_path / "x", prefix="s1_")
    finding = refusal(read, folder(tmp_path / "x", prefix="s2_"))
    assert (finding.code, "2 matrices (s1_, s2_" in finding.what) == ("E002", True)


def test_a_folder_without_its_barcodes_is_refused(tmp_path):
    place = folder(tmp_path / "x")
    (place / "barcodes.tsv.gz").unlink()
    assert "no barcodes.tsv" in refusal(read, place).what


def test_a_truncated_archive_in_a_folder_is_damage(tmp_path):
    place = folder(tmp_path / "x")
    (place / "matrix.mtx.gz").write_bytes((place / "matrix.mtx.gz").read_bytes()[:-20])
    assert refusal(read, place).code == "E003"


def test_a_folder_that_holds_the_folder_of_counts_is_refused_with_its_path(tmp_path):
    (tmp_path / "outs").mkdir()
    folder(tmp_path / "outs" / "filtered_feature_bc_matrix")
    finding = refusal(read, tmp_path / "outs")
    assert finding.remedy == f"give {tmp_path / 'outs' / 'filtered_feature_bc_matrix'}"


def tags(place: Path) -> Path:
    """What CITE-seq-Count writes."""
    (place / "umi_count").mkdir(parents=True)
    names = [f"CD{i + 3}-CTCATTGTAACTCCT" for i in range(PROTEINS - 1)] + ["unmapped"]
    mmwrite(place / "m.mtx", sparse.coo_matrix(ADT.T), field="integer")
    for name, content in {
        "matrix.mtx": (place / "m.mtx").read_text(),
        "features.tsv": "\n".join(names) + "\n",
        "barcodes.tsv": "\n".join(b.removesuffix("-1") for b in BARCODES) + "\n",
    }.items():
        (place / "umi_count" / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    return place


@pytest.mark.parametrize("inside", ["", "umi_count"])
def test_a_folder_of_cite_seq_count_is_protein_without_sequences(tmp_path, inside):
    found = read(tags(tmp_path / "tags") / inside)
    assert list(found.mod) == ["adt"]
    assert found["adt"].var_names.tolist() == ["CD3", "CD4", "CD5", "CD6", "unmapped"]
    np.testing.assert_array_equal(found["adt"].X.toarray(), ADT)


def test_cells_of_cite_seq_count_meet_those_of_cell_ranger_and_unmapped_reads_are_left_out(tmp_path):
    hdf5_of_version_3(tmp_path / "x.h5", RNA, NAMES[:GENES], TYPES[:GENES], IDS[:GENES])
    mdata, _ = open_data({"rna": tmp_path / "x.h5", "adt": tags(tmp_path / "tags")})
    found = inspect(mdata, ReadOptions(is_training=True), "x")
    cells = found.cells
    assert [len(rows) for rows in cells.paired("rna", "adt")] == [7, 7]
    assert "rna 'ACGTACGTACGTAAAA-1' read as 'ACGTACGTACGTAAAA'" in only(list(found.findings), "W027").what
    assert "1 (unmapped)" in only(list(found.findings), "W045").what
    assert cells.views["adt"].features.tolist() == ["CD3", "CD4", "CD5", "CD6"]


def test_counts_of_kallisto_lie_the_other_way_round(tmp_path):
    mmwrite(tmp_path / "cells_x_genes.mtx", sparse.coo_matrix(RNA), field="integer")
    (tmp_path / "cells_x_genes.genes.txt").write_text("\n".join(IDS[:GENES]) + "\n")
    (tmp_path / "cells_x_genes.barcodes.txt").write_text("\n".join(BARCODES) + "\n")
    found = read(tmp_path)["rna"]
    np.testing.assert_array_equal(found.X.toarray(), RNA)
    assert found.var_names.tolist() == IDS[:GENES]


def test_peaks_of_a_bed_file_are_named_as_intervals(tmp_path):
    place = folder(tmp_path / "x", zipped=False)
    rows = [f"chr2\t{1000 * i}\t{1000 * i + 500}" for i in range(GENES + PROTEINS)]
    (place / "features.tsv").unlink()
    (place / "peaks.bed").write_text("\n".join(rows) + "\n")
    found = read(place)
    assert list(found.mod) == ["atac"]
    assert found["atac"].var_names[1] == "chr2:1000-1500"


@pytest.mark.parametrize("suffix", ["csv", "tsv.gz", "txt"])
@pytest.mark.parametrize("is_turned", [True, False])
def test_a_table_of_geo_is_read_whichever_side_the_barcodes_are_on(tmp_path, suffix, is_turned):
    frame = pd.DataFrame(RNA, index=BARCODES, columns=NAMES[:GENES])
    path = tmp_path / f"GSE100866_RNA.{suffix}"
    (frame.T if is_turned else frame).to_csv(path, sep="," if suffix == "csv" else "\t")
    found = read(path)["rna"]
    np.testing.assert_array_equal(found.X.toarray(), RNA)
    assert found.obs_names.tolist() == BARCODES
    assert found.var_names.tolist() == NAMES[:GENES]


def test_a_table_of_which_no_side_is_barcodes_is_refused_with_the_way_out(tmp_path):
    pd.DataFrame(RNA, index=[f"c{i}" for i in range(7)]).to_csv(tmp_path / "x.csv")
    finding = refusal(read, tmp_path / "x.csv")
    assert finding.code == "E002"
    assert "7 x 11 of which neither side looks like barcodes" in finding.what
    assert 'pandas.read_csv("x.csv", index_col=0).T' in finding.remedy


def test_a_table_of_text_is_no_table_of_counts(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\nhello,world\n")
    assert "no table of counts" in refusal(read, tmp_path / "x.csv").what


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b"X\n....Seurat....SeuratObject", "a Seurat object of R", "LayerData(obj, assay = a, layer ="),
        (b"X\n....SingleCellExperiment..Seurat", "a SingleCellExperiment of R", "altExp(sce)"),
        (b"A\n....dgCMatrix", "an object of R", 'as(x, "CsparseMatrix")'),
    ],
)
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_objects_of_r_are_refused_with_the_lines_that_export_them(tmp_path, content, what, remedy, pack):
    (tmp_path / "x.rds").write_bytes(pack(content))
    finding = refusal(read, tmp_path / "x.rds")
    assert (finding.code, finding.what) == ("E006", f"holds {what}.")
    assert remedy in finding.remedy
    assert 'readRDS("x.rds")' in finding.remedy
    assert "write10xCounts" in finding.remedy
    assert "\n" not in str(finding)


@pytest.mark.parametrize(
    ("groups", "what"),
    [
        (("matrix", "row_attrs", "col_attrs", "layers"), "is a loom file."),
        (("assays", "cell.names", "meta.data"), "is an h5Seurat file."),
        (("barcode_info", "count", "umi"), "is a molecule_info.h5 of Cell Ranger, molecules and no cells."),
    ],
)
def test_other_packages_hdf5_is_refused_by_name(tmp_path, groups, what):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in groups:
            file.create_group(name)
    finding = refusal(read, tmp_path / "x.h5")
    assert (finding.code, finding.what) == ("E006", what)
    assert finding.remedy


@pytest.mark.parametrize("name", ["atac_fragments.tsv.gz", "GSE100866_RAW.tar", "x.zip", "x.h5ad.gz"])
def test_what_holds_no_counts_yet_is_refused_with_the_next_step(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(b"chr1\t1\t2\tACGT-1\t1"))
    assert refusal(read, tmp_path / name).code == "E006"


def mixed() -> AnnData:
    """One object of both feature types, as scanpy reads a 10x file."""
    var = pd.DataFrame({"feature_types": TYPES}, index=NAMES)
    return AnnData(
        sparse.csr_matrix(np.hstack([RNA, ADT]).astype(np.float32)),
        pd.DataFrame({"donor": list("aabbaba")}, index=BARCODES),
        var,
    )


def test_one_object_of_several_feature_types_is_taken_apart_with_its_obs(tmp_path):
    mixed().write_h5ad(tmp_path / "x.h5ad")
    mdata = read(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(mdata["adt"].X.toarray(), ADT)
    assert mdata["adt"].obs["donor"].tolist() == mdata["rna"].obs["donor"].tolist() == list("aabbaba")


def test_a_named_modality_picks_its_part_and_one_that_is_not_there_is_refused(tmp_path):
    mixed().write_h5ad(tmp_path / "x.h5ad")
    assert list(read(rna=tmp_path / "x.h5ad").mod) == ["rna"]
    assert refusal(read, atac=tmp_path / "x.h5ad").code == "E007"


@pytest.mark.parametrize("form", ["frame", "array", "sparse"])
def test_proteins_in_obsm_are_read_with_their_names(tmp_path, form):
    adata = table(7, GENES, "GENE", cells=BARCODES)
    names = NAMES[GENES:]
    if form == "frame":
        adata.obsm["protein_expression"] = pd.DataFrame(ADT, index=BARCODES, columns=names)
    else:
        adata.obsm["protein_expression"] = sparse.csr_matrix(ADT) if form == "sparse" else ADT
        adata.uns["protein_names"] = np.array(names)
    adata.obsm["X_protein_pca"] = np.zeros((7, 2))
    adata.write_h5ad(tmp_path / "x.h5ad")
    mdata, findings = open_data(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(mdata["adt"].X.toarray(), ADT)
    assert mdata["adt"].var_names.tolist() == names
    assert [f.what for f in findings][1] == "5 proteins in obsm['protein_expression'] read as adt."


def test_whole_numbers_are_taken_before_normalised_proteins_in_obsm(tmp_path):
    adata = table(7, GENES, "GENE", cells=BARCODES)
    adata.obsm["protein_normalized"] = pd.DataFrame(np.log1p(ADT), index=BARCODES, columns=NAMES[GENES:])
    adata.obsm["protein_counts"] = pd.DataFrame(ADT, index=BARCODES, columns=NAMES[GENES:])
    mdata, findings = open_data_of(adata, tmp_path)
    np.testing.assert_array_equal(mdata["adt"].X.toarray(), ADT)
    assert "not obsm['protein_normalized']" in findings[1].what


def test_proteins_in_obsm_without_names_are_left_out_and_told(tmp_path):
    adata = table(7, GENES, "GENE", cells=BARCODES)
    adata.obsm["protein_expression"] = ADT
    mdata, findings = open_data_of(adata, tmp_path)
    assert list(mdata.mod) == ["rna"]
    assert "obsm['protein_expression'] is left out: it has no names" in findings[1].what


def open_data_of(adata: AnnData, tmp_path: Path) -> Any:
    adata.write_h5ad(tmp_path / "x.h5ad")
    return open_data(tmp_path / "x.h5ad")


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["CD3D", "MS4A1", "LYZ", "NKG7"], "rna"),
        (["CD3", "CD19_TotalSeqB", "HLA-DR", "IgG1 isotype ctrl"], "adt"),
        (["chr1:1-20", "chr2-5-9", "GRCh38_chrX:7-9"], "atac"),
    ],
)
def test_a_table_that_nobody_named_is_told_by_its_names(tmp_path, names, kind):
    adata = AnnData(sparse.csr_matrix(counts(7, len(names))), var=pd.DataFrame(index=names))
    mdata, findings = open_data_of(adata, tmp_path)
    assert list(mdata.mod) == [kind]
    assert f"read as {kind}, since its names look like" in only(findings, "I007").what
    assert list(read(rna=tmp_path / "x.h5ad").mod) == ["rna"]


def test_files_by_name_keep_cells_in_their_own_order_and_extra_tables(tmp_path):
    for name, part in two().mod.items():
        part.obsm["X_pca"] = np.ones((7, 2))
        part.write_h5ad(tmp_path / f"{name}.h5ad")
    mdata = read(gex=tmp_path / "rna.h5ad", protein=tmp_path / "adt.h5ad")
    assert list(mdata.mod) == ["gex", "protein"]
    assert "X_pca" in mdata["gex"].obsm
    with pytest.raises(BadInput, match=r"E007 .*modality 'rnaa' is unknown. Did you mean rna\?"):
        read(rnaa=tmp_path / "rna.h5ad")


@pytest.mark.parametrize("arguments", [{}, {"path": "x.h5", "rna": "y.h5ad"}])
def test_one_path_or_named_files_are_asked_for(arguments):
    with pytest.raises(TypeError, match="give one path"):
        read(**arguments)


@pytest.mark.parametrize("codec", [np.int16, np.uint32, np.float32])
def test_backed_dtypes_of_version_3_read_the_same(tmp_path, codec):
    path = hdf5_of_version_3(tmp_path / "x.h5", np.hstack([RNA, ADT]), NAMES, TYPES, IDS)
    with h5py.File(path, "r+") as file:
        data = file["matrix/data"][:]
        del file["matrix/data"]
        file["matrix/data"] = data.astype(codec)
    np.testing.assert_array_equal(read(path)["rna"].X.toarray(), RNA)


FORMATS = DATA / "formats"
REAL = {
    "10x_h5/atac_tiny.h5": {"atac": (10, 10)},
    "10x_mtx_gex_antibody_1024_mac_files": {"rna": (1024, 100), "adt": (1024, 17)},
    "10x_mtx_gex_antibody_200": {"rna": (200, 1000), "adt": (200, 17)},
    "h5ad/protein_in_obsm_counts.h5ad": {"rna": (200, 16727), "adt": (200, 14)},
    "h5ad/protein_in_obsm_normalised_counts_in_layer.h5ad": {"rna": (250, 462), "adt": (250, 197)},
    "h5ad_pair/rna_barcodes_with_suffix.h5ad": {"rna": (100, 10000)},
}


def there(name: str) -> Path:
    if not (FORMATS / name).exists():
        pytest.skip(f"{name} is not in {FORMATS}; set UNISONO_DATA to the folder of data")
    return FORMATS / name


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_is_read(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        found = read(there(name))
    assert {key: part.shape for key, part in found.mod.items()} == REAL[name]


def test_real_cells_whose_names_end_in_their_modality_are_paired():
    files = {kind: there(f"h5ad_pair/{kind}_barcodes_with_suffix.h5ad") for kind in ("rna", "atac")}
    found = inspect(open_data(files)[0], ReadOptions(is_training=True), "pair")
    assert [len(rows) for rows in found.cells.paired("rna", "atac")] == [100, 100]
    assert "W027" in codes(found.findings)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("10x_mtx_broken_header_and_barcodes", "E003 .*do not belong together.*118 features .*looks like a header"),
        ("seurat_rds/seurat5_rna_adt.rds", "E006 .*a Seurat object of R.*write10xCounts"),
    ],
)
def test_a_real_file_that_is_not_read_is_refused_with_the_way_out(name, words):
    with pytest.raises(BadInput, match=words):
        read(there(name))


def test_an_old_or_new_anndata_attribute_makes_no_difference(tmp_path):
    table(7, GENES, "GENE").write_h5ad(tmp_path / "x.h5ad")
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        del file.attrs["encoding-type"], file.attrs["encoding-version"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", anndata.OldFormatWarning)
        np.testing.assert_array_equal(read(tmp_path / "x.h5ad")["rna"].X.toarray(), RNA)


def test_raw_counts_stay_with_the_part_they_are_of(tmp_path):
    whole = mixed()
    whole.raw = whole.copy()
    whole.X = whole.X.multiply(0.3).tocsr()
    whole = whole[:, [*range(4), *range(GENES, GENES + PROTEINS)]].copy()
    whole.write_h5ad(tmp_path / "x.h5ad")
    cells = inspect(
        open_data(tmp_path / "x.h5ad")[0], ReadOptions(counts=CountsAt(".raw"), is_training=True), "x"
    ).cells
    np.testing.assert_array_equal(cells.views["rna"].counts.toarray(), RNA)
    np.testing.assert_array_equal(cells.views["adt"].counts.toarray(), ADT)
    assert cells.views["adt"].features.tolist() == NAMES[GENES:]


def test_of_several_modalities_only_the_one_asked_about_is_read_and_cells_keep_their_columns(tmp_path):
    parts = dict(simulate(n_cells=23, n_genes=31, n_peaks=17, n_proteins=5, seed=1).mod)
    parts["adt"] = parts["adt"][4:].copy()
    mdata = as_mudata(parts)
    mdata.obs["site"], mdata.obs["rna:batch"] = [f"s{i % 3}" for i in range(23)], "b1"
    mdata.write_h5mu(tmp_path / "three.h5mu")
    whole, one = (open_data(tmp_path / "three.h5mu", only=kind)[0] for kind in (None, "adt"))
    assert len(whole.mod) == 3
    assert list(one.mod) == ["adt"]
    assert (one["adt"].X != whole["adt"].X).nnz == 0
    assert list(one.obs_names) == list(whole["adt"].obs_names)
    assert list(one.obs.columns) == ["site"]
    assert list(one.obs["site"]) == list(whole.obs.loc[one.obs_names, "site"])


def test_all_is_read_where_no_modality_is_known_to_be_the_one_asked_about(tmp_path):
    parts = dict(simulate(n_cells=23, n_genes=31, n_peaks=17, n_proteins=5, seed=1).mod)
    as_mudata({"rna": parts["rna"], "strange": parts["adt"]}).write_h5mu(tmp_path / "named.h5mu")
    assert list(open_data(tmp_path / "named.h5mu", only="adt")[0].mod) == ["rna", "strange"]
