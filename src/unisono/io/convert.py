"""Convert: counts of any layout to a zarr folder that is read by rows; block by block where the origin can be."""

from __future__ import annotations

import shutil
import warnings
from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from unisono.io.open import Files, as_mudata, open_data, taken_apart
from unisono.io.places import RAW, X
from unisono.io.store import CellSource, InMemory, Store, blocks, is_read_by_rows, open_store
from unisono.io.write import ZARR, write_folder_atomically
from unisono.messages import bad_input, warn

_ENTRIES_OF_A_CHUNK = 65_536
"""Counts of a chunk, about a hundred cells of a hundred thousand peaks: what reading a few neighbours takes."""

Place = str | Mapping[str, str] | None


def convert(files: Files, out: str | Path, *, place: Place = None, force: bool = False) -> Store:
    """Write the counts, obs and var of each modality as a zarr folder, and open it.

    An .h5mu, .h5ad or zarr is read by rows and held no more than a block at a time; what else there is, is read whole.

    Args:
        files: one path, or a path for each modality by its name, as `read` takes them.
        out: ends in .zarr.
        place: where the counts are: a layer, "X" or ".raw", for all modalities or by its name in the file; X by
            default. They become X.
        force: whether to replace a zarr folder.

    Raises:
        BadInput: E010 a modality has no counts at that place, E053 the name does not end in .zarr, E055, E056, and
            what reading raises.
    """
    if Path(out).suffix != ".zarr":
        raise bad_input("E053", str(out), "is no name of a zarr folder.", "give one that ends in .zarr")
    source = _source(files)
    write_folder_atomically(out, partial(_write, source, place, str(out)), force=force, kind=ZARR)
    return open_store(out)


def _source(files: Files) -> CellSource:
    if not isinstance(files, Mapping) and is_read_by_rows(Path(files)):
        return open_store(files)
    mdata, findings = open_data(files)
    warn(findings)
    return InMemory(mdata)


def _write(source: CellSource, place: Place, source_name: str, folder: Path) -> None:
    """Counts are appended block by block next to the folder, and moved into it once its tables are written."""
    import zarr

    aside = folder.with_name(f"{folder.name}.counts")
    parts: dict[str, list[AnnData]] = defaultdict(list)
    whole = []
    try:
        group = zarr.open_group(aside, mode="w", zarr_format=anndata.settings.zarr_write_format)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for rows in blocks(len(source.names)):
                mdata, _ = taken_apart(source.take(rows), source_name)
                whole.append(mdata.obs)
                for name, part in mdata.mod.items():
                    _append(group, name, _counts(part, place, name, source_name))
                    parts[name].append(AnnData(obs=part.obs, var=_features(part, place, name)))
            tables = {name: _table(blocks_of) for name, blocks_of in parts.items()}
            skeleton = as_mudata(tables)
            obs = pd.concat(whole)
            own = tuple(f"{name}:" for name in tables)
            for column in [column for column in obs if not str(column).startswith(own)]:
                skeleton.obs[column] = obs[column].reindex(skeleton.obs_names)
            skeleton.write_zarr(folder)
            for name in tables:
                shutil.rmtree(folder / "mod" / name / "X")
                (aside / name).rename(folder / "mod" / name / "X")
            zarr.consolidate_metadata(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _append(group: Any, name: str, counts: sparse.csr_matrix) -> None:
    from anndata.io import sparse_dataset, write_elem

    if name in group:
        sparse_dataset(group[name]).append(counts)
    else:
        write_elem(group, name, counts, dataset_kwargs={"chunks": (_ENTRIES_OF_A_CHUNK,)})


def _table(parts: list[AnnData]) -> AnnData:
    """Cells of all blocks, without counts."""
    obs, var = pd.concat([part.obs for part in parts]), parts[0].var
    for column, kind in parts[0].obs.dtypes.items():
        if isinstance(kind, pd.CategoricalDtype):
            obs[column] = obs[column].astype("category")
    nothing = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int32), np.zeros(len(obs) + 1, dtype=np.int32)
    return AnnData(sparse.csr_matrix(nothing, shape=(len(obs), len(var))), obs=obs, var=var)


def _place(place: Place, name: str) -> str:
    return (place or X) if place is None or isinstance(place, str) else place.get(name, X)


def _features(part: AnnData, place: Place, name: str) -> pd.DataFrame:
    frame: pd.DataFrame = part.raw.var if _place(place, name) == RAW and part.raw is not None else part.var
    return frame


def _counts(part: AnnData, place: Place, name: str, source_name: str) -> sparse.csr_matrix:
    """The matrix at a place, as CSR."""
    at = _place(place, name)
    matrix = (part.raw.X if part.raw is not None else None) if at == RAW else part.X if at == X else part.layers.get(at)
    if matrix is None:
        there = ", ".join([X, *part.layers, *([RAW] if part.raw is not None else [])])
        what = f"{name}: there are no counts in {at} (there are: {there})."
        raise bad_input("E010", source_name, what, "name the place of the counts with --layer")
    return sparse.csr_matrix(matrix)
