"""Cells in the shared space as a file: the query with all it has as .h5mu, or obs and obsm alone as a zarr folder."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unisono.io.hdf5 import write_mudata
from unisono.io.open import as_mudata
from unisono.io.tables import NOVELTY, ZARR_ROWS
from unisono.io.write import ZARR, ZARR_SUFFIX, write_atomically, write_folder_atomically

if TYPE_CHECKING:
    from mudata import MuData

Fill = Callable[[str, Any], NDArray[np.float32]]

EMBEDDING = "X_unisono"
"""Key of obsm under which `embed` writes."""


def write_embedding(mdata: MuData, path: str | Path, *, force: bool) -> None:
    """Write cells with what `Unisono.embed` adds to them: whole as .h5mu, as .zarr without features.

    Raises:
        BadInput: E055 the target exists and `force` is False, E056 no folder to write to.
    """
    if Path(path).suffix == ZARR_SUFFIX:
        write_folder_atomically(path, lambda folder: write_without_features(mdata, folder), force=force, kind=ZARR)
    else:
        write_atomically(path, lambda place: write_mudata(mdata, place, compression="gzip"), force=force)


def write_without_features(mdata: MuData, folder: Path) -> None:
    """Obs and obsm of each modality, and obs of the whole."""
    from anndata import AnnData

    parts = {name: AnnData(obs=part.obs, obsm=dict(part.obsm)) for name, part in mdata.mod.items()}
    whole = as_mudata(parts)
    pulled = tuple(f"{name}:" for name in parts)
    for column in [name for name in mdata.obs if not str(name).startswith(pulled)]:
        whole.obs[column] = mdata.obs[column].reindex(whole.obs_names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the version of the format
        whole.write_zarr(folder)


def write_vectors(
    tables: MuData,
    origin: Path,
    dims: Mapping[str, int],
    fill: Fill,
    path: str | Path,
    *,
    force: bool,
) -> None:
    """As `write_embedding`, of cells that stay on disk and whose vectors are never all held.

    Args:
        tables: the cells by modality, without a feature.
        origin: the .h5mu of them, which an .h5mu is a copy of.
        dims: dimensions of the vectors of each modality that is embedded.
        fill: writes the vectors of a modality, by name, into an array on disk, and returns novelty.
        path: of the output.
        force: whether to replace it.

    Raises:
        BadInput: as `write_embedding`.
    """
    import h5py
    import zarr

    def write_zarr(folder: Path) -> None:
        write_without_features(tables, folder)
        _add_vectors(zarr.open_group(folder, mode="r+", use_consolidated=False), _array_of_zarr, tables, dims, fill)
        zarr.consolidate_metadata(folder)

    def write_h5mu(place: Path) -> None:
        shutil.copyfile(origin, place)
        with h5py.File(place, "r+") as file:
            _add_vectors(file, _array_of_hdf5, tables, dims, fill)

    if Path(path).suffix == ZARR_SUFFIX:
        write_folder_atomically(path, write_zarr, force=force, kind=ZARR)
    else:
        write_atomically(path, write_h5mu, force=force)


def _add_vectors(
    root: Any, create: Callable[[Any, tuple[int, int]], Any], tables: MuData, dims: Mapping[str, int], fill: Fill
) -> None:
    """Add vectors to obsm and novelty to obs of modalities in a file."""
    from anndata.io import write_elem

    for name, dim in dims.items():
        part, obs = root["mod"][name], tables.mod[name].obs
        obsm = part.require_group("obsm")
        if EMBEDDING in obsm:
            del obsm[EMBEDDING]
        array = create(obsm, (len(obs), dim))
        array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        novelty = fill(name, array)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the version of the format
            write_elem(part, "obs", obs.assign(**{NOVELTY: novelty}))


def _array_of_zarr(obsm: Any, shape: tuple[int, int]) -> Any:
    return obsm.create_array(EMBEDDING, shape=shape, dtype="float32", chunks=_chunks(shape), fill_value=np.nan)


def _array_of_hdf5(obsm: Any, shape: tuple[int, int]) -> Any:
    return obsm.create_dataset(EMBEDDING, shape, "float32", chunks=_chunks(shape), compression="gzip", shuffle=True)


def _chunks(shape: tuple[int, int]) -> tuple[int, int]:
    return min(shape[0], ZARR_ROWS), shape[1]
