"""A prediction as an AnnData in memory, or as a file that is written in chunks of rows; never computes a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from unisono.io.write import write_atomically
from unisono.modalities import spec_of
from unisono.types import Prediction

if TYPE_CHECKING:
    from anndata import AnnData

SPREAD = "spread"
"""Layer of the standard deviation over draws."""

ENDS = ("lower", "upper")
"""Layers of the ends of intervals."""

NOVELTY = "unisono_novelty"
"""Column of obs that says how far a cell lies from those of training."""

CHUNK = 4096
"""Cells made dense at a time; the last bit of a product may depend on it."""

_ROWS, _COLUMNS = 512, 512
"""Shape of a compressed block in the file: 1 MiB of float32, what HDF5 keeps in its cache."""


def prediction_to_anndata(prediction: Prediction) -> AnnData:
    """Cells x features, float32, dense; `uns["unisono"]` says source, target, scale, and which model it comes from.

    obs has the columns of the query and var those of the training data. Where the prediction has draws, their standard
    deviation is `layers["spread"]`; where it has intervals, their ends are `layers["lower"]` and `layers["upper"]`.
    Where it is known how far cells lie from those of training, that is `obs["unisono_novelty"]`.
    """
    table = _without_values(prediction)
    found = {name: np.empty(prediction.shape, dtype=np.float32) for name in _names(prediction)}
    _fill(found, prediction, CHUNK)
    for name, values in found.items():
        if name is None:
            table.X = values
        else:
            table.layers[name] = values
    return table


def write_prediction(prediction: Prediction, path: str | Path, *, force: bool, chunk: int = CHUNK) -> None:
    """Write what `prediction_to_anndata` gives as .h5ad, making `chunk` cells dense at a time.

    Raises:
        BadInput: E055 the file exists and `force` is False, E056 no folder to write to.
        ValueError: chunk below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}, expected 1 or more cells")
    write_atomically(path, lambda temporary: _write(prediction, temporary, chunk), force=force)


def _without_values(prediction: Prediction) -> AnnData:
    from anndata import AnnData

    about: dict[str, str | int | float] = {
        "source": prediction.source,
        "target": prediction.target,
        "scale": spec_of(prediction.target).unit,
        **prediction.origin,
    }
    if prediction.via is not None:
        about["via"] = prediction.via
    if prediction.bounds is not None:
        about["interval"] = prediction.bounds.coverage
    cells, features = (pd.Index(names.astype(object)) for names in (prediction.cells, prediction.features))
    obs = pd.DataFrame(index=cells) if prediction.obs is None else prediction.obs.set_axis(cells, axis=0)
    if prediction.novelty is not None:
        obs = obs.assign(**{NOVELTY: prediction.novelty})
    var = pd.DataFrame(index=features) if prediction.var is None else prediction.var.set_axis(features, axis=0)
    return AnnData(obs=obs, var=var, uns={"unisono": about})


def _write(prediction: Prediction, path: Path, chunk: int) -> None:
    import h5py

    _without_values(prediction).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        places = {name: "X" if name is None else f"layers/{name}" for name in _names(prediction)}
        datasets = {name: _dataset(file, place, prediction.shape, chunk) for name, place in places.items()}
        _fill(datasets, prediction, chunk)


def _names(prediction: Prediction) -> list[str | None]:
    """X (None) and each layer that there is."""
    spread = [SPREAD] if prediction.draws is not None else []
    return [None, *spread, *(ENDS if prediction.bounds is not None else ())]


def _dataset(file: Any, name: str, shape: tuple[int, int], chunk: int) -> Any:
    values = file.create_dataset(name, shape, np.float32, **_storage(shape, chunk))
    values.attrs["encoding-type"], values.attrs["encoding-version"] = "array", "0.2.0"
    return values


def _fill(found: Mapping[str | None, Any], prediction: Prediction, chunk: int) -> None:
    """Write X and the layers, arrays in memory or in a file, some rows of all of them at a time."""
    n_cells = prediction.shape[0]
    for start in range(0, n_cells, chunk):
        rows = slice(start, min(start + chunk, n_cells))
        found[None][rows] = prediction.dense(rows)
        spread = None if prediction.draws is None else prediction.spread(rows)
        if spread is not None:
            found[SPREAD][rows] = spread
        if prediction.bounds is not None:
            for name, end in zip(ENDS, prediction.interval(rows, spread), strict=True):
                found[name][rows] = end


def _storage(shape: tuple[int, int], chunk: int) -> dict[str, object]:
    if 0 in shape:
        return {}
    block = (min(shape[0], chunk, _ROWS), min(shape[1], _COLUMNS))
    return {"chunks": block, "compression": "gzip", "compression_opts": 1, "shuffle": True}
