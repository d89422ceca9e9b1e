"""Cells in the shared space as a file: the query with all it has as .h5mu, or obs and obsm alone as a zarr folder."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.io.hdf5 import write_mudata
from unisono.io.open import as_mudata
from unisono.io.write import ZARR, ZARR_SUFFIX, write_atomically, write_folder_atomically

if TYPE_CHECKING:
    from mudata import MuData


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
