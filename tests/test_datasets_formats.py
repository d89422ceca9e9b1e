"""Each layout of a public source is read as it is: made files of exactly that layout, and what they are refused for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from io_fixtures import DATA, real, write_tenx_hdf5
from scipy import io, sparse

import unisono as un
from unisono.datasets import neurips, panel, snareseq, tenx
from unisono.io.open import as_mudata
from unisono.messages import BadInput

CELLS = [f"{letters}-1" for letters in ("AAAC", "AAAG", "AACA", "AATC", "ACCA", "ACGT", "AGTC")]
GENES = ["CD3E", "MS4A1", "NKG7", "LYZ", "CD8A"]
PROTEINS = ["CD3_TotalSeqB", "CD19_TotalSeqB", "IgG1_control_TotalSeqB"]


def values(n_rows: int, n_columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).poisson(2.0, (n_rows, n_columns)).astype(np.int32)


def test_a_10x_file_becomes_rna_and_proteins_without_the_suffix_of_the_kit(tmp_path):
    rna, adt = values(7, 5, 0), values(7, 3, 1)
    types = ["Gene Expression"] * 5 + ["Antibody Capture"] * 3
    file = write_tenx_hdf5(tmp_path / "a.h5", sparse.csr_matrix(np.hstack([rna, adt])), CELLS, GENES + PROTEINS, types)
    mdata = tenx.read([file], "pbmc5k_cite")
    assert list(mdata.mod) == ["rna", "adt"]
    assert list(mdata["adt"].var_names) == ["CD3", "CD19", "IgG1_control"]
    assert list(mdata["rna"].var_names) == GENES
    assert np.array_equal(mdata["rna"].X.toarray(), rna)
    assert np.array_equal(mdata["adt"].X.toarray(), adt)
    assert set(mdata.obs["batch"]) == set(mdata["adt"].obs["batch"]) == {"pbmc5k_cite"}


def test_a_10x_multiome_file_becomes_rna_and_chromatin(tmp_path):
    peaks = ["chr1:100-200", "chr2:300-450"]
    types = ["Gene Expression"] * 5 + ["Peaks"] * 2
    counts = values(7, 7, 2)
    file = write_tenx_hdf5(tmp_path / "a.h5", sparse.csr_matrix(counts), CELLS, GENES + peaks, types)
    mdata = tenx.read([file], "pbmc3k_multiome")
    assert list(mdata["atac"].var_names) == peaks
    assert np.array_equal(mdata["atac"].X.toarray(), counts[:, 5:])


def neurips_file(folder: Path, second: str, names: list[str], *, layer: str = "counts") -> Path:
    """A gzipped .h5ad as GSE194122 has them: normalised values in X, counts in a layer, embeddings by assay."""
    counts = values(7, 5 + len(names), 3).astype(np.float32)
    obs = pd.DataFrame(
        {
            "GEX_n_genes_by_counts": np.arange(7),
            "cell_type": pd.Categorical(["NK", "HSC", "NK", "B1 B", "HSC", "NK", "pDC"]),
            "batch": pd.Categorical(["s1d1"] * 4 + ["s4d9"] * 3),
            "Site": pd.Categorical(["site1"] * 4 + ["site4"] * 3),
        },
        index=[f"{cell}-s1d1" for cell in CELLS],
    )
    var = pd.DataFrame(
        {
            "feature_types": pd.Categorical(["GEX"] * 5 + [second] * len(names)),
            "gene_id": pd.Categorical([f"ENSG{i}" for i in range(5)] + names),
        },
        index=GENES + names,
    )
    adata = AnnData(sparse.csr_matrix(np.log1p(counts)), obs=obs, var=var)
    adata.layers[layer] = sparse.csr_matrix(counts)
    adata.obsm["GEX_X_pca"] = values(7, 2, 4).astype(np.float32)
    adata.uns["organism"] = "human"
    plain = folder / "a.h5ad"
    adata.write_h5ad(plain)
    packed = folder / "a.h5ad.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return packed


def test_a_file_of_the_challenge_gives_the_counts_of_its_layer_with_batch_and_type(tmp_path):
    mdata = neurips.read([neurips_file(tmp_path, "ADT", ["CD86", "CD274"])], "bmmc_cite")
    counts = values(7, 7, 3)
    assert list(mdata.mod) == ["rna", "adt"]
    assert np.array_equal(mdata["rna"].X.toarray(), counts[:, :5])
    assert np.array_equal(mdata["adt"].X.toarray(), counts[:, 5:])
    assert list(mdata["adt"].var_names) == ["CD86", "CD274"]
    assert list(mdata.obs["batch"]) == ["s1d1"] * 4 + ["s4d9"] * 3
    assert list(mdata["adt"].obs["cell_type"])[:2] == ["NK", "HSC"]


def test_peaks_of_the_challenge_are_named_as_intervals(tmp_path):
    mdata = neurips.read([neurips_file(tmp_path, "ATAC", ["chr1-9776-10668", "chr22-30-400"])], "bmmc_multiome")
    assert list(mdata["atac"].var_names) == ["chr1:9776-10668", "chr22:30-400"]


def test_a_file_of_the_challenge_without_its_layer_of_counts_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"E002 a\.h5ad\.gz: has no layer 'counts'") as caught:
        neurips.read([neurips_file(tmp_path, "ADT", ["CD86"], layer="raw")], "bmmc_cite")
    assert "\n" not in str(caught.value)


def test_a_gzip_file_cut_short_is_refused(tmp_path):
    packed = neurips_file(tmp_path, "ADT", ["CD86"])
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(BadInput, match=r"E003 a\.h5ad\.gz: is no whole gzip file"):
        neurips.read([packed], "bmmc_cite")


def snareseq_files(folder: Path) -> list[Path]:
    """Six files as GSE126074 has them: features x cells, and more barcodes of chromatin, in another order."""
    rna_cells = ["09A_CAGC", "09A_CGCC", "09B_GATG", "09C_TTTT"]
    atac_cells = ["09B_GATG", "09A_CAGC", "09D_AAAA", "09A_CGCC", "09C_TTTT"]
    peaks = ["chr1:4914570-4914685", "chr1:4917513-4917696", "chrX:10-90"]
    parts = (("cDNA", rna_cells, "genes", ["Sox2", "Gad1"]), ("chromatin", atac_cells, "peaks", peaks))
    written = []
    for seed, (assay, cells, kind, features) in enumerate(parts):
        counts = folder / f"{assay}.counts.mtx"
        io.mmwrite(counts, sparse.coo_matrix(values(len(features), len(cells), seed)), field="integer")
        for ending, text in (
            ("counts.mtx", counts.read_text()),
            (f"{kind}.tsv", "\n".join(features) + "\n"),
            ("barcodes.tsv", "\n".join(cells) + "\n"),
        ):
            path = folder / f"{assay}.{ending}.gz"
            path.write_bytes(gzip.compress(text.encode()))
            written.append(path)
    return written


def test_the_files_of_snareseq_are_transposed_and_joined_by_barcode(tmp_path):
    mdata = snareseq.read(snareseq_files(tmp_path), "snareseq_cortex")
    assert list(mdata.obs_names) == ["09A_CAGC", "09A_CGCC", "09B_GATG", "09C_TTTT"]
    assert np.array_equal(mdata["rna"].X.toarray(), values(2, 4, 0).T)
    assert np.array_equal(mdata["atac"].X.toarray(), values(3, 5, 1).T[[1, 3, 0, 4]])
    assert list(mdata.obs["batch"]) == list(mdata["atac"].obs["batch"]) == ["09A", "09A", "09B", "09C"]
    assert list(mdata["atac"].var_names) == ["chr1:4914570-4914685", "chr1:4917513-4917696", "chrX:10-90"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda files: files[0].write_bytes(b"no gzip"), r"E003 cDNA\.counts\.mtx\.gz: is no whole Matrix Market file"),
        (lambda files: files[0].write_bytes(files[0].read_bytes()[:30]), r"E003 cDNA\.counts\.mtx\.gz"),
        (
            lambda files: files[1].write_bytes(gzip.compress(b"Sox2\n")),
            "2 features of 4 cells; there are names of 1",
        ),
        (lambda files: files[5].write_bytes(files[5].read_bytes()[:9]), r"E003 chromatin\.barcodes\.tsv\.gz"),
        (
            lambda files: files[2].write_bytes(gzip.compress(b"a\nb\nc\nd\n")),
            "no barcode of RNA is one of chromatin",
        ),
    ],
)
def test_damaged_files_of_snareseq_are_refused_by_name(tmp_path, change, what):
    files = snareseq_files(tmp_path)
    change(files)
    with pytest.raises(BadInput, match=what) as caught:
        snareseq.read(files, "snareseq_cortex")
    assert "\n" not in str(caught.value)


def test_a_panel_tells_a_changed_count_and_a_missing_cell(tmp_path, monkeypatch):
    mdata = un.datasets.simulate(n_cells=13, n_genes=11, n_peaks=17, n_proteins=5, seed=3)
    cells, features = list(mdata.obs_names[[8, 2, 5]]), {"rna": list(mdata["rna"].var_names[[7, 1]]), "adt": ["P4"]}
    features["adt"] = list(mdata["adt"].var_names[[4]])
    known = {"fingerprint": panel.digest_of(mdata, cells, features), "cells": cells, "features": features}
    (tmp_path / "x.json").write_text(json.dumps(known))
    monkeypatch.setattr(panel, "FOLDER", tmp_path)
    assert panel.require_panel(mdata, "x", "x.h5").startswith("counts of 3 cells (2 of rna and 1 of adt features)")
    with pytest.raises(BadInput, match=r"E092 x\.h5: lacks 1 of the cells and features"):
        panel.require_panel(mdata[mdata.obs_names != cells[1]].copy(), "x", "x.h5")
    changed = mdata["adt"].X.copy()
    changed[5, 4] += 1
    mdata["adt"].X = changed
    with pytest.raises(BadInput, match=r"E092 x\.h5: the counts of 3 cells .* are not those of x"):
        panel.require_panel(mdata, "x", "x.h5")


def test_the_panel_of_pbmc10k_is_met_by_the_mirror_and_by_other_cells_order():
    mdata = un.read(real("pbmc10k_cite.h5mu"))
    assert panel.require_panel(mdata, "pbmc10k_cite", "mirror").startswith("counts of 200 cells (200 of rna and 14")
    turned = as_mudata({kind: mdata[kind][::-1].copy() for kind in mdata.mod})
    assert panel.require_panel(turned, "pbmc10k_cite", "mirror")
    part = as_mudata({kind: mdata[kind][:3000].copy() for kind in mdata.mod})
    with pytest.raises(BadInput, match="E092 part: lacks"):
        panel.require_panel(part, "pbmc10k_cite", "part")


def test_the_mirror_from_which_the_panel_was_made_has_the_counts_of_the_file_of_10x():
    folder = DATA / "formats" / "10x_mtx_gex_antibody_1024_mac_files"
    mirror = un.read(real("pbmc10k_cite.h5mu"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    published = un.read(folder)
    shared = mirror.obs_names.intersection(published.obs_names)
    assert len(shared) > 800
    for kind, suffix in (("rna", ""), ("adt", "_TotalSeqB")):
        there = published[kind][shared].to_df().rename(columns=lambda name, end=suffix: name.removesuffix(end))
        names = there.columns.intersection(mirror[kind].var_names)
        assert len(names) >= 10
        assert np.array_equal(there[names].to_numpy(), mirror[kind][shared, names].X.toarray())
