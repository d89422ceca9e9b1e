"""Arrays of a zarr folder that several processes fill, each some rows, before its tables are written and they join it.

A region is the rows of whole chunks, so that no two processes write one file, and a region that is written again, after
the process that wrote it was lost, holds the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from numpy.typing import NDArray

from unisono.io.tables import ZARR_ROWS, value_places, values_of, zarr_chunks
from unisono.types import Prediction

Values = NDArray[np.float32]

ROWS_OF_A_REGION = 8192
"""Rows that are read, answered and written together; whole chunks of the output."""


def start_arrays(folder: Path, shapes: Mapping[str, tuple[int, int]], *, wide: bool = False) -> None:
    """Make float32 arrays, by their place in the zarr folder to be; `wide` has all columns in one chunk."""
    import zarr

    group = zarr.open_group(folder, mode="a", zarr_format=anndata.settings.zarr_write_format)
    for place, shape in shapes.items():
        chunks = (ZARR_ROWS, max(shape[1], 1)) if wide else (ZARR_ROWS, zarr_chunks(shape)[1])
        array = group.create_array(place, shape=shape, dtype="float32", chunks=chunks, fill_value=np.nan)
        array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})


def fill_rows(folder: Path, place: str, start: int, values: Values, is_answered: NDArray[np.bool_]) -> None:
    """Write the values of those cells that are answered into their rows, from `start`; the others get NaN."""
    array = _opened(folder, place)
    rows = np.full((len(is_answered), array.shape[1]), np.nan, dtype=np.float32)
    rows[is_answered] = values
    array[start : start + len(rows)] = rows


def fill_prediction(folder: Path, start: int, prediction: Prediction, is_answered: NDArray[np.bool_]) -> None:
    """Write X and the layers of a prediction of those cells that are answered, the rows of a chunk at a time."""
    places = value_places(prediction)
    before = np.concatenate([[0], np.cumsum(is_answered)])
    for first in range(0, len(is_answered), ZARR_ROWS):
        own = is_answered[first : first + ZARR_ROWS]
        rows = slice(int(before[first]), int(before[first + len(own)]))
        for name, values in values_of(prediction, rows).items():
            fill_rows(folder, places[name], start + first, values, own)


def place_arrays(origin: Path, places: list[str], folder: Path, is_answered: NDArray[np.bool_]) -> None:
    """Move arrays of which every chunk was written into a zarr folder that lacks them, without rows of no answer.

    Raises:
        RuntimeError: a chunk was not written.
    """
    import zarr

    for place in places:
        array = _opened(origin, place)
        if array.nchunks_initialized != array.nchunks:
            raise RuntimeError(f"{place}: {array.nchunks_initialized:,} of {array.nchunks:,} chunks were written")
        if not is_answered.all():
            _keep(origin, place, np.flatnonzero(is_answered))
            place = f"{place}{_KEPT}"
        target = folder / place.removesuffix(_KEPT)
        target.parent.mkdir(parents=True, exist_ok=True)
        (origin / place).rename(target)
    zarr.consolidate_metadata(folder)


_KEPT = ".kept"


def _keep(folder: Path, place: str, rows: NDArray[np.intp]) -> None:
    """Write some rows of an array as another one, the rows of a chunk at a time."""
    array = _opened(folder, place)
    start_arrays(folder, {f"{place}{_KEPT}": (len(rows), array.shape[1])}, wide=array.chunks[1] == array.shape[1])
    kept = _opened(folder, f"{place}{_KEPT}")
    for start in range(0, len(rows), ZARR_ROWS):
        own = rows[start : start + ZARR_ROWS]
        kept[start : start + len(own)] = array[own[0] : own[-1] + 1][own - own[0]]


_CONFIG = threading.Lock()
"""The config of zarr is that of the process."""


def _opened(folder: Path, place: str) -> Any:
    """An array that writes chunks of one value as well: an array that exists takes this from the config alone."""
    import zarr

    with _CONFIG, zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(folder / place, mode="r+")
