"""Made cells of realistic filling, as many as are asked for, written block by block; models nothing of biology.

2,000 genes of which about a tenth have counts in a cell, 20,000 peaks of which a fiftieth to a thirtieth have, and 100
proteins. A cell has a content of 12 dimensions about the centre of one of 15 types, and depth, which all modalities
share.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono_bench.data import join

if TYPE_CHECKING:
    from anndata import AnnData

N_FEATURES = {"rna": 2000, "atac": 20_000, "adt": 100}
_MEAN_COUNT = {"rna": 0.115, "atac": 0.034, "adt": 8.0}
_N_DIMENSIONS, _N_TYPES, _N_BATCHES = 12, 15, 4
_CELLS_AT_A_TIME = 2000
_CELLS_OF_A_BLOCK = 10_000
_SEEDS_OF_BLOCKS = 1000
_ENTRIES_OF_A_CHUNK = 65_536
_OF_FEATURES = 7
"""Seed of what features are like: the same for all cells that are ever made."""


@dataclass(frozen=True, eq=False)
class _Features:
    """Loadings and log base rate of the features of a modality."""

    loadings: NDArray[np.float32]
    log_base: NDArray[np.float32]


def _features() -> tuple[NDArray[np.float64], dict[str, _Features]]:
    rng = np.random.default_rng(_OF_FEATURES)
    centres = 1.2 * rng.normal(size=(_N_TYPES, _N_DIMENSIONS))
    found = {}
    for modality, n in N_FEATURES.items():
        loadings = 0.45 * rng.normal(size=(_N_DIMENSIONS, n))
        log_base = np.log(rng.gamma(0.6, 1.0, n) + 0.02)
        found[modality] = _Features(loadings.astype(np.float32), log_base.astype(np.float32))
    return centres, found


def made(n_cells: int, seed: int = 0, modalities: tuple[str, ...] = ("rna", "atac", "adt")) -> dict[str, AnnData]:
    """Paired cells of some modalities; equal seeds give equal cells.

    Args:
        n_cells: how many.
        seed: of the cells.
        modalities: of rna, atac and adt.
    """
    from anndata import AnnData

    centres, features = _features()
    rng = np.random.default_rng([seed, 71])
    parts: dict[str, list[sparse.csr_matrix]] = {m: [] for m in modalities}
    for start in range(0, n_cells, _CELLS_AT_A_TIME):
        n = min(_CELLS_AT_A_TIME, n_cells - start)
        content = centres[rng.integers(0, _N_TYPES, n)] + 0.5 * rng.normal(size=(n, _N_DIMENSIONS))
        depth = rng.normal(0.0, 0.35, size=(n, 1))
        for modality, block in parts.items():
            block.append(_counts(content, depth, features[modality], _MEAN_COUNT[modality], rng))
    batch = np.char.add("b", rng.integers(0, _N_BATCHES, n_cells).astype(str))
    obs = pd.DataFrame({"batch": batch}, index=[f"cell{i}" for i in range(n_cells)])
    return {
        m: AnnData(sparse.vstack(blocks, format="csr"), obs=obs.copy(), var=pd.DataFrame(index=names(m)))
        for m, blocks in parts.items()
    }


def _counts(
    content: NDArray[np.float64], depth: NDArray[np.float64], like: _Features, mean: float, rng: np.random.Generator
) -> sparse.csr_matrix:
    rate = np.exp(np.minimum(content.astype(np.float32) @ like.loadings + like.log_base, 5.0) + depth)
    return sparse.csr_matrix(rng.poisson(rate * (mean / rate.mean())).astype(np.float32))


def names(modality: str) -> list[str]:
    """Names of the features of a modality, as its files spell them."""
    n = N_FEATURES[modality]
    if modality == "atac":
        return [f"chr{1 + i % 20}-{1000 * i + 1}-{1000 * i + 500}" for i in range(n)]
    return [f"{'GENE' if modality == 'rna' else 'P'}{i}" for i in range(n)]


def write(n_cells: int, seed: int, path: Path) -> None:
    """Write cells of all modalities as zarr, block by block: no more than one is held."""
    import zarr
    from anndata.io import sparse_dataset, write_elem

    join(_without_counts(n_cells)).write_zarr(path)
    group: Any = zarr.open_group(path, mode="r+", use_consolidated=False)["mod"]
    for number, start in enumerate(range(0, n_cells, _CELLS_OF_A_BLOCK)):
        block = made(min(_CELLS_OF_A_BLOCK, n_cells - start), seed * _SEEDS_OF_BLOCKS + number)
        for modality, part in block.items():
            if number:
                sparse_dataset(group[modality]["X"]).append(part.X)
            else:
                del group[modality]["X"]
                write_elem(group[modality], "X", part.X, dataset_kwargs={"chunks": (_ENTRIES_OF_A_CHUNK,)})
    zarr.consolidate_metadata(path)


def _without_counts(n_cells: int) -> dict[str, AnnData]:
    from anndata import AnnData

    batch = np.char.add("b", (np.arange(n_cells) % _N_BATCHES).astype(str))
    obs = pd.DataFrame({"batch": pd.Categorical(batch)}, index=[f"cell{i}" for i in range(n_cells)])
    nothing = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int32), np.zeros(n_cells + 1, dtype=np.int32)
    return {
        m: AnnData(sparse.csr_matrix(nothing, shape=(n_cells, n)), obs=obs.copy(), var=pd.DataFrame(index=names(m)))
        for m, n in N_FEATURES.items()
    }
