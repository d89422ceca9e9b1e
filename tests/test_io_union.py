"""Several data sets are one: features meet by name, what one lacks is unmeasured, and no count is lost or invented."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import unisono as un
from unisono.features.peaks import merged_peaks, parse_peaks
from unisono.io.read import ReadOptions
from unisono.io.union import data_set_names, inspect_all
from unisono.messages import BadInput


def part(names, n_cells=30, seed=0, **var):
    counts = np.random.default_rng(seed).poisson(3.0, size=(n_cells, len(names))).astype(np.int32)
    adata = AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(var, index=pd.Index(names)))
    adata.obs_names = [f"cell{i}" for i in range(n_cells)]
    return adata


def data_set(genes, proteins, seed=0, batches=None, **var):
    parts = {"rna": part(genes, seed=seed, **var), "adt": part(proteins, seed=seed + 1)}
    for each in parts.values():
        if batches:
            each.obs["batch"] = np.resize(batches, each.n_obs)
    return MuData(parts)


GENES = [f"GENE{i}" for i in range(12)]
PANEL = ["CD3", "CD4", "CD8a", "CD19", "CD14", "CD56"]


def views_of(*data, names=("a", "b"), batch_key=None):
    return inspect_all(list(data), ReadOptions(batch_key, is_training=True), names[: len(data)], "data")[0].cells.views


def dense(view, cell, feature):
    row, column = np.flatnonzero(view.cells == cell)[0], np.flatnonzero(view.features == feature)[0]
    return view.counts[row, column]


def test_the_union_has_every_feature_once_and_what_a_data_set_lacks_is_unmeasured_there():
    a, b = data_set(GENES[:8], PANEL), data_set(GENES[5:], PANEL[:5], seed=7)
    rna = views_of(a, b)["rna"]
    assert list(rna.features) == GENES
    np.testing.assert_array_equal(rna.unmeasured["a"], [name in GENES[8:] for name in GENES])
    np.testing.assert_array_equal(rna.unmeasured["b"], [name in GENES[:5] for name in GENES])


def test_each_count_stays_with_its_cell_and_feature():
    a, b = data_set(GENES[:8], PANEL), data_set(GENES[5:][::-1], PANEL, seed=7)
    rna = views_of(a, b)["rna"]
    for name, data in (("a", a), ("b", b)):
        counts = data["rna"].to_df()
        for cell in counts.index[:5]:
            for gene in counts.columns:
                assert dense(rna, f"{name}/{cell}", gene) == counts.loc[cell, gene]
    assert rna.counts.sum() == a["rna"].X.sum() + b["rna"].X.sum()


def test_proteins_meet_by_their_canonical_names():
    adt = views_of(data_set(GENES, PANEL), data_set(GENES, ["cd3", "CD4-TotalSeqB", "CD8A", "cd19", "CD14", "NCAM1"]))[
        "adt"
    ]
    assert list(adt.features) == PANEL
    assert not adt.unmeasured


def test_the_antibodies_of_one_panel_to_one_protein_are_added_up_and_it_is_said():
    a, b = data_set(GENES, PANEL), data_set(GENES, ["CD3", "CD4-1", "CD4-2", "CD19", "CD14", "CD56"], seed=5)
    inspection, _ = inspect_all([a, b], ReadOptions(is_training=True), ["a", "b"], "data")
    adt = inspection.cells.views["adt"]
    counts = b["adt"].to_df()
    assert dense(adt, "b/cell3", "CD4") == counts.loc["cell3", "CD4-1"] + counts.loc["cell3", "CD4-2"]
    assert adt.unmeasured["b"].sum() == 1
    assert adt.features[adt.unmeasured["b"]][0] == "CD8a"
    assert [f.code for f in inspection.findings] == ["I069"]


def test_a_protein_that_is_measured_once_keeps_the_name_that_its_file_gives_it():
    own = ["my CD3", *PANEL[1:]]
    assert "my CD3" in views_of(data_set(GENES, own), data_set(GENES, own, seed=2))["adt"].features


def test_genes_meet_by_their_ids_where_both_have_them():
    ids = [f"ENSG{i:011d}" for i in range(12)]
    a = data_set(GENES, PANEL, gene_ids=ids)
    b = data_set([f"renamed{i}" for i in range(12)], PANEL, gene_ids=ids, seed=3)
    rna = views_of(a, b)["rna"]
    assert list(rna.features) == GENES
    assert list(rna.ids) == ids


def test_the_batch_is_data_set_and_batch_and_a_cell_carries_the_data_set():
    a, b = data_set(GENES, PANEL, batches=["x", "y"]), data_set(GENES, PANEL, seed=4)
    rna = views_of(a, b, batch_key="batch")["rna"]
    assert sorted(set(rna.batch)) == ["a/x", "a/y", "b"]
    assert rna.cells[0] == "a/cell0"
    assert rna.cells[-1] == "b/cell29"


def test_a_batch_column_that_no_data_set_has_is_refused():
    with pytest.raises(BadInput, match="E029"):
        views_of(data_set(GENES, PANEL), data_set(GENES, PANEL), batch_key="nowhere")


def test_data_sets_that_share_no_feature_are_refused_by_name():
    a = data_set(GENES, PANEL)
    b = data_set([f"OTHER{i}" for i in range(12)], [f"thing{i}" for i in range(6)], seed=2)
    inspection, _ = inspect_all([a, b], ReadOptions(is_training=True), ["a", "b"], "data")
    assert {f.where for f in inspection.findings if f.code == "E069"} == {"a", "b"}
    with pytest.raises(BadInput, match="E069"):
        un.fit([a, b], preset="fast")


def test_a_modality_that_one_data_set_lacks_is_learned_from_the_others():
    a = data_set(GENES, PANEL)
    b = MuData({"rna": part(GENES, seed=3), "atac": part([f"chr1:{i}000-{i}500" for i in range(1, 20)], seed=4)})
    views = views_of(a, b)
    assert set(views) == {"rna", "adt", "atac"}
    assert views["adt"].n_cells == views["atac"].n_cells == 30
    assert views["rna"].n_cells == 60


def test_peaks_that_overlap_are_one_and_their_counts_are_added_up():
    first, second = ["chr1:100-200", "chr1:150-300", "chr2:100-200"], ["chr1:290-400", "chr1:400-500", "chr2:500-600"]
    a = MuData({"rna": part(GENES), "atac": part(first, seed=1)})
    b = MuData({"rna": part(GENES, seed=2), "atac": part(second, seed=3)})
    atac = views_of(a, b)["atac"]
    assert list(atac.features) == ["chr1:100-400", "chr1:400-500", "chr2:100-200", "chr2:500-600"]
    counts = a["atac"].to_df()
    assert dense(atac, "a/cell2", "chr1:100-400") == counts.loc["cell2", first[:2]].sum()
    np.testing.assert_array_equal(atac.unmeasured["a"], [False, True, False, True])


def test_merged_peaks_are_the_union_of_intervals_base_by_base():
    rng = np.random.default_rng(3)
    sets = []
    for _ in range(3):
        start = rng.integers(0, 400, 12)
        sets.append(
            parse_peaks(
                np.array([f"chr1:{s}-{s + w}" for s, w in zip(start, rng.integers(5, 30, 12), strict=True)]), "x"
            )
        )
    merged = merged_peaks(sets)
    covered = np.zeros(500, dtype=bool)
    for peaks in sets:
        for start, end in zip(peaks["start"], peaks["end"], strict=True):
            covered[start:end] = True
    found = np.zeros(500, dtype=int)
    for name in merged.names:
        start, end = map(int, name.split(":")[1].split("-"))
        found[start:end] += 1
    np.testing.assert_array_equal(found, covered)


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", ""], ["a", "b", "c"], ["a", "a/b"]])
def test_names_that_do_not_name_the_data_sets_are_refused(names):
    with pytest.raises(BadInput, match="E053"):
        data_set_names(names, 2)


def test_one_data_set_in_a_list_reads_as_itself_under_its_name():
    a = data_set(GENES, PANEL)
    alone, listed = un.read_cells(a).views["rna"], un.read_cells([a], names=["a"]).views["rna"]
    assert (alone.counts != listed.counts).nnz == 0
    assert listed.cells[0] == "a/cell0"


def test_the_data_sets_are_left_as_they_were():
    a, b = data_set(GENES[:8], PANEL), data_set(GENES[5:][::-1], ["CD4-2", "CD3", "CD4-1", "CD19", "CD14"], seed=7)
    before = [part.to_df().copy() for data in (a, b) for part in data.mod.values()]
    views_of(a, b)
    after = [part.to_df() for data in (a, b) for part in data.mod.values()]
    for old, new in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(old, new)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_reading_several_data_sets_changes_none_of_them(dtype):
    cells = [un.datasets.simulate(n_cells=37, n_genes=23, n_peaks=31, n_proteins=7, seed=seed) for seed in (1, 2)]
    first, second = cells
    order = np.random.default_rng(0).permutation(23)  # so that columns of the union stand in another order
    second.mod["rna"] = second["rna"][:, order].copy()
    for mdata in cells:
        for part in mdata.mod.values():
            part.X = part.X.sorted_indices().astype(dtype)
    before = [{m: part.X.toarray() for m, part in mdata.mod.items()} for mdata in cells]
    for _ in range(2):
        found = un.read_cells([first, second], names=["a", "b"], batch_key="batch").views["rna"]
        for mdata, wanted in zip(cells, before, strict=True):
            for modality, counts in wanted.items():
                np.testing.assert_array_equal(mdata[modality].X.toarray(), counts)
        own = second["rna"][:, list(found.features)].X.toarray()
        np.testing.assert_array_equal(found.counts[37:].toarray(), own)
