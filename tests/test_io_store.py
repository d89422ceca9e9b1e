"""Cells read by rows from files, against the same cells read whole."""

import threading
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from io_fixtures import refusal
from model_fixtures import small_model
from mudata._core.config import OPTIONS
from scipy import sparse

import unisono as un
from unisono.io.convert import convert
from unisono.io.open import as_mudata
from unisono.io.store import InMemory, _runs, allotted
from unisono.io.survey import held_rows

ROWS = np.array([17, 3, 4, 5, 39, 0, 22])


@cache
def simulated():
    return un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=40, n_proteins=6, seed=2)


def cells():
    """Two modalities, of which the proteins are in another order and lack some cells."""
    order = np.random.default_rng(0).permutation(40)[:31]
    return as_mudata({"rna": simulated()["rna"].copy(), "adt": simulated()["adt"][order].copy()})


def write(mdata, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata.write_zarr(path) if path.suffix == ".zarr" else mdata.write(path)
    return path


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return {suffix: write(cells(), folder / f"cells{suffix}") for suffix in (".h5mu", ".zarr")}


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_rows_of_a_file_are_those_cells_in_every_modality_in_the_order_asked(paths, suffix):
    store, whole = un.open(paths[suffix]), cells()
    assert len(store) == len(store.names) == 40
    taken = store.take(ROWS)
    asked = store.names[ROWS]
    for name, part in whole.mod.items():
        wanted = [cell for cell in asked if cell in part.obs_names]
        assert list(taken.mod[name].obs_names) == wanted
        np.testing.assert_array_equal(taken.mod[name].X.toarray(), part[wanted].X.toarray())
        assert list(taken.mod[name].var_names) == list(part.var_names)
        assert list(taken.mod[name].obs["batch"]) == list(part[wanted].obs["batch"])
    assert len(taken.mod["adt"].obs_names) < len(ROWS)


def test_a_source_in_memory_gives_the_same_cells_as_one_on_disk(paths):
    store, memory = un.open(paths[".h5mu"]), InMemory(cells())
    rows = memory.names.get_indexer(store.names[ROWS])
    one, other = store.take(ROWS), memory.take(rows)
    for name in one.mod:
        assert list(one.mod[name].obs_names) == list(other.mod[name].obs_names)
        np.testing.assert_array_equal(one.mod[name].X.toarray(), other.mod[name].X.toarray())
    assert store.column("batch").sort_index().equals(memory.column("batch").sort_index())
    assert store.column("nothing") is None


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_modalities_are_in_the_order_of_the_mudata(paths, suffix):
    """A group lists its members by name."""
    assert un.open(paths[suffix]).modalities == list(un.read(paths[suffix]).mod) == ["rna", "adt"]


def test_layers_raw_and_dense_counts_are_read_by_rows(tmp_path):
    counts = np.random.default_rng(0).poisson(1.0, size=(20, 7)).astype(np.float32)
    names = [f"c{i}" for i in range(20)]
    adata = AnnData(counts, obs=pd.DataFrame(index=names), obsm={"X_pca": counts[:, :2]})
    adata.layers["counts"] = sparse.csr_matrix(counts + 1)
    adata.raw = AnnData(sparse.csr_matrix(counts + 2), obs=adata.obs, var=adata.var)
    adata.write_h5ad(tmp_path / "one.h5ad")
    rows = np.array([4, 19, 5, 6])
    taken = un.open(tmp_path / "one.h5ad").take(rows)
    np.testing.assert_array_equal(taken.X, counts[rows])
    np.testing.assert_array_equal(taken.layers["counts"].toarray(), counts[rows] + 1)
    np.testing.assert_array_equal(taken.raw.X.toarray(), counts[rows] + 2)
    np.testing.assert_array_equal(taken.obsm["X_pca"], counts[rows, :2])


def test_counts_by_feature_are_refused_and_converted(tmp_path):
    counts = sparse.csc_matrix(np.random.default_rng(0).poisson(1.0, size=(20, 7)).astype(np.float32))
    obs = pd.DataFrame(index=[f"c{i}" for i in range(20)])
    AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(7)])).write_h5ad(tmp_path / "one.h5ad")
    found = refusal(un.open(tmp_path / "one.h5ad").take, np.arange(3))
    assert found.code == "E006"
    assert "unisono convert" in str(found)


def test_converted_cells_are_those_of_the_origin(paths, tmp_path):
    assert convert(paths[".h5mu"], tmp_path / "out.zarr").path == tmp_path / "out.zarr"
    read, wanted = un.read(tmp_path / "out.zarr"), cells()
    for name, part in wanted.mod.items():
        own = read.mod[name][part.obs_names]
        np.testing.assert_array_equal(own.X.toarray(), part.X.toarray())
        pd.testing.assert_frame_equal(own.obs.astype(str), part.obs.astype(str), check_like=True)
        assert list(own.var_names) == list(part.var_names)
    assert not list(tmp_path.glob("*.counts"))


def test_cells_are_converted_block_by_block_though_the_first_ones_lack_a_modality(tmp_path, monkeypatch):
    monkeypatch.setattr("unisono.io.convert.blocks", lambda n: (np.arange(s, min(s + 14, n)) for s in range(0, n, 14)))
    parts = {"rna": simulated()["rna"], "adt": simulated()["adt"][15:30].copy()}
    convert(write(as_mudata(parts), tmp_path / "cells.h5mu"), tmp_path / "out.zarr")
    read = un.read(tmp_path / "out.zarr")
    for name, part in parts.items():
        assert sorted(read.mod[name].obs_names) == sorted(part.obs_names)
        np.testing.assert_array_equal(read.mod[name][part.obs_names].X.toarray(), part.X.toarray())


def test_convert_takes_the_counts_from_where_they_are_said_to_be(paths, tmp_path):
    mdata = as_mudata({name: cells()[name] for name in ("rna", "adt")})
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X * 0.5
    path = write(mdata, tmp_path / "layers.h5mu")
    convert(path, tmp_path / "out.zarr", place={"rna": "counts"})
    np.testing.assert_array_equal(
        un.read(tmp_path / "out.zarr")["rna"].X.toarray().sum(), mdata["rna"].layers["counts"].toarray().sum()
    )
    found = refusal(convert, path, tmp_path / "other.zarr", place="counts")
    assert found.code == "E010"
    assert not (tmp_path / "other.zarr").exists()


def test_what_is_not_read_by_rows_says_how_to_convert_it(tmp_path):
    (tmp_path / "matrix.csv").write_text("cell,g1\nc1,2\n")
    found = refusal(un.open, tmp_path / "matrix.csv")
    assert found.code == "E006"
    assert "unisono convert" in str(found)
    assert refusal(un.open, tmp_path / "nothing.zarr").code == "E001"
    assert refusal(convert, tmp_path / "matrix.csv", tmp_path / "out.h5ad").code == "E053"


def test_held_cells_are_of_every_batch_its_share(paths):
    memory = InMemory(un.datasets.simulate(n_cells=900, n_genes=10, n_peaks=10, n_proteins=4, seed=1))
    batch = memory.column("batch").to_numpy()
    rows = held_rows(memory, "batch", 450, 0)
    assert (np.diff(rows) > 0).all()
    for name in np.unique(batch):
        own = int((batch == name).sum())
        assert int((batch[rows] == name).sum()) == max(own // 2, min(own, 100))
    np.testing.assert_array_equal(rows, held_rows(memory, "batch", 450, 0))
    assert not np.array_equal(rows, held_rows(memory, "batch", 450, 1))


@pytest.mark.parametrize(
    ("sizes", "at_most", "expected"),
    [
        ([900, 100], 300, [100, 200]),
        ([500, 500], 300, [150, 150]),
        ([700, 20, 280], 300, [20, 140, 140]),
        ([40], 300, [40]),
        ([1000], 300, [300]),
    ],
)
def test_of_each_pattern_of_modalities_as_many_are_taken_as_there_are_up_to_equal_parts(sizes, at_most, expected):
    pattern = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    found = list(allotted(pattern, at_most))
    assert [n for _, n in found] == expected
    np.testing.assert_array_equal(np.sort(np.concatenate([rows for rows, _ in found])), np.arange(len(pattern)))
    for rows, _ in found:
        assert len(np.unique(pattern[rows])) == 1


def test_cells_of_a_pattern_have_the_same_modalities_in_a_file_and_in_memory(paths):
    memory = InMemory(cells())
    has_protein = memory.names.isin(cells()["adt"].obs_names)
    assert len(np.unique(memory.pattern)) == 2
    np.testing.assert_array_equal(memory.pattern == memory.pattern.max(), has_protein)
    store = un.open(paths[".h5mu"])
    np.testing.assert_array_equal(store.pattern, memory.pattern[memory.names.get_indexer(store.names)])


def test_scattered_rows_are_read_in_few_runs_that_hold_them_all_and_are_of_bounded_length(monkeypatch):
    monkeypatch.setattr("unisono.io.store.ROWS_AT_A_TIME", 500)
    rows = np.sort(np.random.default_rng(0).permutation(3000)[:1200])
    rows = rows[(rows < 1100) | (rows > 1400)]
    runs = _runs(rows)
    np.testing.assert_array_equal(np.concatenate(runs), rows)
    assert len(runs) == 7
    assert max(int(run[-1] - run[0]) for run in runs) < 500
    assert _runs(rows[:0]) == []


def test_rows_with_gaps_in_no_order_are_those_rows(paths):
    rows = np.array([30, 2, 3, 11, 5])
    taken = un.open(paths[".zarr"]).parts["rna"].take(rows)
    np.testing.assert_array_equal(taken.X.toarray(), cells()["rna"].X.toarray()[rows])


def test_options_of_mudata_stay_the_users_though_threads_put_tables_together():
    before, filters = OPTIONS["pull_on_update"], list(warnings.filters)
    parts = dict(cells().mod)
    threads = [threading.Thread(target=lambda: [as_mudata(parts) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert OPTIONS["pull_on_update"] == before
    assert list(warnings.filters) == filters


def test_fetching_leaves_the_filters_of_warnings_alone_as_it_may_be_done_in_any_thread(paths, monkeypatch):
    def refuse(**_):
        raise AssertionError("filters are those of the process")

    sources = [InMemory(cells()), *(un.open(path) for path in paths.values())]
    asked = [source.names for source in sources]
    monkeypatch.setattr(warnings, "catch_warnings", refuse)
    found = [source.fetch(ROWS) for source in sources]
    monkeypatch.undo()
    for parts, names in zip(found, asked, strict=True):
        assert list(parts["rna"].obs_names) == list(names[ROWS])


def doubled(where: str):
    """Cells of which two have one name, with batches in `where`: obs of the whole or of its parts."""
    mdata = cells()
    parts = {name: mdata[name].copy() for name in ("rna", "adt")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in parts.values():
            part.obs_names = [part.obs_names[0], part.obs_names[0], *part.obs_names[2:]]
        mdata = as_mudata(parts)
        if where == "whole":
            mdata.obs["batch"] = "b1"
    return mdata


@pytest.mark.parametrize("where", ["whole", "parts"])
def test_a_query_whose_names_occur_twice_is_refused(where):
    assert refusal(small_model().predict, doubled(where), "rna", "adt").code == "E023"


def test_more_cells_than_are_held_whose_features_occur_twice_are_refused_without_a_word_of_anndata():
    mdata = cells()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata["rna"].var_names = ["G1", "G1", *mdata["rna"].var_names[2:]]
    assert refusal(un.fit, mdata, config=un.FitConfig.preset("fast", max_held_cells=20)).code == "E022"


def test_more_cells_than_are_held_whose_names_occur_twice_are_refused():
    few = un.FitConfig.preset("fast", max_held_cells=20)
    assert refusal(un.fit, doubled("parts"), config=few).code == "E023"
