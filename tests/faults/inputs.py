"""Makers of bad and odd inputs, each a file or folder in the current folder; runs no command and holds no test."""

from __future__ import annotations

import gzip
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from io_fixtures import as_bytes, write_tenx_hdf5
from model_fixtures import rebuilt, test_cells, training
from mudata import MuData
from scipy import sparse
from scipy.io import mmwrite

FILE = "bad.h5mu"
KINDS = ("rna", "adt")
Make = Callable[[], object]
Parts = dict[str, AnnData]
"""The modalities of a data set by name."""
Change = Callable[[Parts], Parts | None]


@cache
def _of_training() -> MuData:
    return training()


@cache
def _of_query() -> MuData:
    return test_cells()


def cells() -> Parts:
    """151 cells of two batches, 60 genes and 8 proteins."""
    return {kind: _of_training()[kind].copy() for kind in KINDS}


def with_peaks() -> Parts:
    """The same with 90 peaks."""
    return {kind: part.copy() for kind, part in _of_training().mod.items()}


def asked() -> Parts:
    """43 other cells, of which a model is asked."""
    return {kind: part.copy() for kind, part in _of_query().mod.items()}


def no_file() -> None:
    """Nothing is made: the command line itself is wrong."""


def text(content: str = "hello", name: str = FILE) -> Make:
    return lambda: Path(name).write_text(content, encoding="utf-8")


def raw_bytes(content: bytes, name: str = FILE) -> Make:
    return lambda: Path(name).write_bytes(content)


def data(change: Change | None = None, name: str = FILE, of: Callable[[], Parts] = cells) -> Make:
    """The usual cells, with one thing changed, as HDF5 or, after the ending of the name, zarr."""

    def make() -> None:
        with warnings.catch_warnings():  # what libraries say of oddities is not ours
            warnings.simplefilter("ignore")
            parts = of()
            mdata = rebuilt(parts if change is None else change(parts) or parts)
            mdata.write_zarr(name) if name.endswith(".zarr") else mdata.write_h5mu(name)

    return make


def query(change: Change | None = None, name: str = FILE) -> Make:
    """As `data`, of the 43 cells that a model is asked about."""
    return data(change, name, asked)


def part(kind: str, change: Callable[[AnnData], AnnData | None]) -> Change:
    """A change of one modality."""

    def of_all(parts: Parts) -> None:
        found = change(parts[kind])
        parts[kind] = parts[kind] if found is None else found

    return of_all


def several(*changes: Change) -> Change:
    """One change after the other."""

    def of_all(parts: Parts) -> None:
        for change in changes:
            change(parts)

    return of_all


def matrix(kind: str, change: Callable[[Any], Any]) -> Change:
    """A change of the matrix of one modality, of whatever container or type the result is."""

    def of_part(adata: AnnData) -> AnnData:
        return AnnData(change(adata.X), obs=adata.obs, var=adata.var)

    return part(kind, of_part)


def values(kind: str, change: Callable[[np.ndarray], Any]) -> Change:
    """As `matrix`, of a dense float64 copy, made sparse again."""
    return matrix(kind, lambda x: sparse.csr_matrix(_of(change, x.toarray().astype(np.float64))))


def _of(change: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    changed = change(x)
    return x if changed is None else changed


def setting(place: Any, value: float) -> Callable[[np.ndarray], None]:
    """Some entries get a value."""

    def change(x: np.ndarray) -> None:
        x[place] = value

    return change


def feature_names(kind: str, change: Callable[[list[str]], Sequence[Any]]) -> Change:
    def of_part(adata: AnnData) -> None:
        adata.var_names = pd.Index([str(name) for name in change(list(adata.var_names))])

    return part(kind, of_part)


def cell_names(change: Callable[[list[str]], Sequence[Any]], kinds: Iterable[str] | None = None) -> Change:
    """Cells of some modalities, or of all, under other names."""

    def of_all(parts: Parts) -> None:
        for kind in kinds or parts:
            parts[kind].obs_names = pd.Index([str(name) for name in change(list(parts[kind].obs_names))])

    return of_all


def column(change: Callable[[pd.Series], Any], kinds: Iterable[str] | None = None) -> Change:
    """A change of the column of the batch in some modalities, or in all."""

    def of_all(parts: Parts) -> None:
        for kind in kinds or parts:
            parts[kind].obs["batch"] = change(parts[kind].obs["batch"])

    return of_all


def some(cells_of: dict[str, slice], of: Callable[[], Parts] = cells) -> Make:
    """Some cells of each of some modalities."""
    return data(lambda parts: {kind: parts[kind][rows].copy() for kind, rows in cells_of.items()}, of=of)


def first(n_cells: int, of: Callable[[], Parts] = cells) -> Make:
    return data(lambda parts: {kind: each[:n_cells].copy() for kind, each in parts.items()}, of=of)


def cut(name: str = FILE, share: float = 0.4) -> Make:
    """A file that ends too early, as after a broken download."""

    def make() -> None:
        data(name=name)()
        content = Path(name).read_bytes()
        Path(name).write_bytes(content[: int(len(content) * share)])

    return make


@cache
def _plain_zarr() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory()
    data(name=f"{folder.name}/plain.zarr")()
    return folder


def zarr(change: Callable[[Path], object]) -> Make:
    """A zarr folder in which something is missing or wrong."""

    def make() -> None:
        shutil.copytree(f"{_plain_zarr().name}/plain.zarr", "bad.zarr")
        change(Path("bad.zarr"))

    return make


def chunk_of(folder: Path, array: str) -> Path:
    """The first chunk file of an array."""
    found = [
        path for path in (folder / array).rglob("*") if path.is_file() and path.name not in (".zarray", "zarr.json")
    ]
    return sorted(path for path in found if not path.name.startswith(".z"))[0]


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:7])


def h5ad(change: Callable[[AnnData], AnnData | None] | None = None, kind: str = "rna", name: str = "bad.h5ad") -> Make:
    def make() -> None:
        adata = cells()[kind]
        found = None if change is None else change(adata)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (adata if found is None else found).write_h5ad(name)

    return make


def hdf5(fill: Callable[[h5py.File], object], name: str = "bad.h5") -> Make:
    def make() -> None:
        with h5py.File(name, "w") as file:
            fill(file)

    return make


def inside(change: Callable[[h5py.File], object], of: Make | None = None, name: str = FILE) -> Make:
    """The usual cells as a file, in which something was changed by hand."""

    def make() -> None:
        (of or data())()
        with h5py.File(name, "r+") as file:
            change(file)

    return make


def tenx(names: list[str], types: list[str], genomes: list[str] | None = None) -> Make:
    """A file of Cell Ranger over the first genes and proteins, under other names and types."""

    def make() -> None:
        parts = cells()
        x = sparse.csr_matrix(sparse.hstack([parts["rna"].X, parts["adt"].X]))[:, : len(names)]
        write_tenx_hdf5(Path("bad.h5"), x, list(parts["rna"].obs_names), names, types)
        if genomes is not None:
            with h5py.File("bad.h5", "r+") as file:
                del file["matrix/features/genome"]
                file["matrix/features/genome"] = as_bytes(genomes)

    return make


def matrix_folder(change: Callable[[Path], object]) -> Make:
    """A folder with matrix, barcodes and features, in which something is wrong."""

    def make() -> None:
        rna, folder = cells()["rna"], Path("bad")
        folder.mkdir()
        mmwrite(folder / "matrix.mtx", sparse.coo_matrix(rna.X.T), field="integer")
        (folder / "barcodes.tsv").write_text("\n".join(rna.obs_names) + "\n")
        rows = [f"ENSG{i:011d}\t{name}\tGene Expression" for i, name in enumerate(rna.var_names)]
        (folder / "features.tsv").write_text("\n".join(rows) + "\n")
        change(folder)

    return make


def zipped(name: str) -> Make:
    def make() -> None:
        data()()
        Path(name).write_bytes(gzip.compress(Path(FILE).read_bytes()))
        Path(FILE).unlink()

    return make


def pickled(name: str) -> Make:
    return lambda: Path(name).write_bytes(pickle.dumps({"weights": [1.0]}))


def peaks(change: Callable[[int], str]) -> Change:
    """Peaks named anew, by their place."""
    return feature_names("atac", lambda names: [change(i) for i in range(len(names))])


def both(*makers: Make) -> Make:
    """Several inputs."""
    return lambda: [make() for make in makers]


def of_batch(name: str) -> Change:
    """All cells of one batch."""
    return column(lambda values: [name] * len(values))


def log_normalised(x: np.ndarray) -> np.ndarray:
    return np.log1p(1e4 * x / np.maximum(x.sum(axis=1, keepdims=True), 1))


def counts_in_a_layer(adata: AnnData) -> None:
    """As scanpy's tutorials leave an object."""
    adata.layers["counts"] = adata.X.copy()
    adata.X = sparse.csr_matrix(log_normalised(adata.X.toarray().astype(float)))


def doubled(x: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same counts, each stored as two entries of one place."""
    data = np.column_stack([np.ones_like(x.data), x.data - 1]).ravel()
    return sparse.csr_matrix((data, np.repeat(x.indices, 2), x.indptr * 2), shape=x.shape)


def stored_as(values: Callable[[np.ndarray], np.ndarray], place: str = "mod/rna/X/data") -> Callable[[h5py.File], None]:
    """An array of a file with other values, of whatever dtype."""

    def change(file: h5py.File) -> None:
        attributes, found = dict(file[place].attrs), values(file[place][:])
        del file[place]
        file[place] = found
        file[place].attrs.update(attributes)

    return change


def claiming(n_features: int) -> Callable[[h5py.File], None]:
    """A dense matrix of 151 cells of which no value is stored."""

    def change(file: h5py.File) -> None:
        del file["mod/rna/X"]
        file["mod/rna"].create_dataset("X", shape=(151, n_features), dtype="f8", chunks=(1, 10**6))
        file["mod/rna/X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

    return change


def renamed_cells(ends: dict[str, str]) -> Change:
    """Cells whose names end in another way in each modality."""
    return several(*(cell_names(lambda names, end=end: [f"{n}{end}" for n in names], [k]) for k, end in ends.items()))


def table_of_text(cells: list[str], n_features: int = 9) -> str:
    """Counts as text, features x cells."""
    rows = [[f"GENE{i}", *(str((i * j) % 3 + 1) for j in range(len(cells)))] for i in range(n_features)]
    return "\n".join(",".join(row) for row in [["gene", *cells], *rows]) + "\n"


BARCODES = [f"ACGTACGTACG{a}{b}-1" for a in "ACGT" for b in "ACGT"]


def turned(adata: AnnData) -> AnnData:
    """Genes as rows."""
    return adata.T.copy()


def with_barcodes(adata: AnnData) -> AnnData:
    """Cells called as 10x calls them."""
    adata.obs_names = [f"ACGTACGTACGTACG{'ACGT'[i % 4]}-{i}" for i in range(adata.n_obs)]
    return adata
