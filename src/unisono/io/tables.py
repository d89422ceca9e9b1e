"""A prediction as an AnnData in memory, or as a file that is written in chunks of rows; never computes a prediction."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.io.container import require_whole_zarr, standardised
from unisono.io.hdf5 import table_written, write_table
from unisono.io.write import ZARR, ZARR_SUFFIX, write_atomically, write_folder_atomically
from unisono.messages import bad_input
from unisono.modalities import spec_of
from unisono.types import Link, Prediction

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

ZARR_ROWS = 2048
"""Rows of a chunk of a zarr folder, each of which is a file of 4 MiB before compression."""

CODES, _LOADINGS, _INTERCEPT = "unisono_codes", "unisono_loadings", "unisono_intercept"
"""Keys of obsm, varm and var of a factored prediction."""

_ROWS, _COLUMNS = 512, 512
"""Shape of a compressed block in the file: 1 MiB of float32, what HDF5 keeps in its cache."""


def prediction_to_anndata(prediction: Prediction) -> AnnData:
    """Cells x features, float32, dense; `uns["unisono"]` says source, target, scale, and which model it comes from.

    obs has the columns of the query and var those of the training data. Where the prediction has draws, their standard
    deviation is `layers["spread"]`; where it has intervals, their ends are `layers["lower"]` and `layers["upper"]`.
    Where it is known how far cells lie from those of training, that is `obs["unisono_novelty"]`.
    """
    table = without_values(prediction)
    found = {name: np.empty(prediction.shape, dtype=np.float32) for name in value_places(prediction)}
    _fill(found, prediction, CHUNK)
    for name, values in found.items():
        if name is None:
            table.X = values
        else:
            table.layers[name] = values
    return table


def write_prediction(prediction: Prediction, path: str | Path, *, force: bool, chunk: int = CHUNK) -> None:
    """Write what `prediction_to_anndata` gives as .h5ad, or as a folder .zarr, making `chunk` cells dense at a time.

    Raises:
        BadInput: E055 the file exists and `force` is False, E056 no folder to write to.
        ValueError: chunk below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}, expected 1 or more cells")
    if Path(path).suffix == ZARR_SUFFIX:
        fill = partial(write_zarr, without_values(prediction), lambda group: _write_values(group, prediction, chunk))
        write_folder_atomically(path, fill, force=force, kind=ZARR)
    else:
        write_atomically(path, lambda temporary: _write(prediction, temporary, chunk), force=force)


def write_factored(prediction: Prediction, path: str | Path, *, force: bool) -> None:
    """Write a prediction as codes and loadings, a thousandth of its values, as .h5ad or a folder .zarr.

    value = link(codes · loadings + intercept): codes in `obsm`, loadings in `varm`, the intercept in `var`, the link in
    `uns`. `read_factored` gives the prediction back, and its values where they are asked for.

    Raises:
        BadInput: E055 the file exists and `force` is False, E056 no folder to write to, E053 the prediction has draws
            or intervals, which are of single values.
    """
    if prediction.draws is not None or prediction.bounds is not None:
        what = "spread and intervals are of single values, which a factored prediction does not hold."
        raise bad_input("E053", str(path), what, "leave out --draws and --interval, or --factored")
    table = without_codes(prediction)
    table.obsm[CODES] = prediction.codes
    if Path(path).suffix == ZARR_SUFFIX:
        write_folder_atomically(path, partial(write_zarr, table, lambda group: None), force=force, kind=ZARR)
    else:
        write_atomically(path, partial(write_table, table), force=force)


def read_factored(path: str | Path) -> Prediction:
    """The prediction of `write_factored`: `dense(rows)`, `take_features(columns)` and `top` compute what is asked for.

    Raises:
        BadInput: E001 no such file, E002 it is no factored prediction, E003 its parts do not belong together.

    Examples:
        A file of codes and loadings gives the values of the cells and features that are asked for:

        >>> import tempfile, unisono as un
        >>> from unisono.io.tables import write_factored
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:  # or unisono predict --factored
        ...     write_factored(model.prediction(mdata, "rna", "adt"), f"{folder}/adt.h5ad", force=False)
        ...     prediction = un.read_factored(f"{folder}/adt.h5ad")
        >>> prediction.shape, prediction.dense(slice(3)).shape
        ((120, 8), (3, 8))
        >>> prediction.top(2, rows=slice(3)).shape  # the features furthest above their mean in these cells
        (2, 2)
    """
    import anndata

    path = Path(path)
    if not path.exists():
        raise bad_input("E001", str(path), "does not exist.", "check the path")
    if path.is_dir():
        require_whole_zarr(path, [f"obsm/{CODES}", f"varm/{_LOADINGS}", f"var/{_INTERCEPT}"])
    try:
        with standardised(path):
            table = anndata.read_zarr(path) if path.is_dir() else anndata.read_h5ad(path)
        about = dict(table.uns["unisono"])
        parts = table.obsm[CODES], table.varm[_LOADINGS], table.var[_INTERCEPT].to_numpy()
        source, target, link = (str(about[name]) for name in ("source", "target", "link"))
    except (KeyError, OSError, ValueError, TypeError) as error:
        what = "is no factored prediction."
        raise bad_input("E002", str(path), what, "write one: unisono predict ... --factored") from error
    codes, loadings, intercept = (np.asarray(part, dtype=np.float32) for part in parts)
    if link not in get_args(Link) or not all(np.isfinite(part).all() for part in (codes, loadings, intercept)):
        raise bad_input("E003", str(path), "its link is unknown, or a number is not finite.", "predict once more")
    if codes.ndim != 2 or loadings.ndim != 2 or codes.shape[1] != loadings.shape[1]:
        what = f"codes are {codes.shape}, loadings {loadings.shape}: not of one prediction."
        raise bad_input("E003", str(path), what, "predict once more")
    known = {"source", "target", "scale", "link", "via"}
    return Prediction(
        source=source,
        target=target,
        cells=table.obs_names.to_numpy(dtype=str),
        features=table.var_names.to_numpy(dtype=str),
        codes=codes,
        loadings=loadings,
        intercept=intercept,
        link=cast(Link, link),
        via=str(about["via"]) if "via" in about else None,
        novelty=table.obs[NOVELTY].to_numpy(dtype=np.float32) if NOVELTY in table.obs else None,
        obs=table.obs.drop(columns=NOVELTY, errors="ignore"),
        var=table.var.drop(columns=_INTERCEPT),
        origin={name: value for name, value in about.items() if name not in known},
    )


def without_codes(prediction: Prediction) -> AnnData:
    """The table of `write_factored`, but for the codes."""
    table = without_values(prediction)
    table.varm[_LOADINGS] = prediction.loadings
    table.var[_INTERCEPT] = prediction.intercept
    table.uns["unisono"]["link"] = prediction.link
    return table


def without_values(prediction: Prediction) -> AnnData:
    """The table of a prediction, but for X and layers."""
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
    with table_written(without_values(prediction), path) as (file, require_room):
        places = value_places(prediction).items()
        datasets = {name: _dataset(file, place, prediction.shape, chunk) for name, place in places}
        _fill(datasets, prediction, chunk, require_room)


def write_zarr(table: AnnData, fill: Callable[[Any], None], folder: Path) -> None:
    """Write a table as zarr, and what fills its group after it."""
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the version of the format
        table.write_zarr(folder)
        fill(zarr.open_group(folder, mode="r+", use_consolidated=False))
        zarr.consolidate_metadata(folder)


def _write_values(group: Any, prediction: Prediction, chunk: int) -> None:
    """X and the layers of a prediction into the group of its table."""
    shape = prediction.shape
    chunks = zarr_chunks(shape, chunk)
    found = {}
    for name, place in value_places(prediction).items():
        found[name] = group.create_array(place, shape=shape, dtype="float32", chunks=chunks, overwrite=True)
        found[name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    _fill(found, prediction, chunk)


def value_places(prediction: Prediction) -> dict[str | None, str]:
    """X (None) and each layer that there is, with its place in a file."""
    spread = [SPREAD] if prediction.draws is not None else []
    layers = [*spread, *(ENDS if prediction.bounds is not None else ())]
    return {None: "X", **{name: f"layers/{name}" for name in layers}}


def values_of(prediction: Prediction, rows: slice) -> dict[str | None, NDArray[np.float32]]:
    """X (None) and each layer of some cells."""
    found: dict[str | None, NDArray[np.float32]] = {None: prediction.dense(rows)}
    spread = None if prediction.draws is None else prediction.spread(rows)
    if spread is not None:
        found[SPREAD] = spread
    if prediction.bounds is not None:
        found |= dict(zip(ENDS, prediction.interval(rows, spread), strict=True))
    return found


def _dataset(file: Any, name: str, shape: tuple[int, int], chunk: int) -> Any:
    values = file.create_dataset(name, shape, np.float32, **_storage(shape, chunk))
    values.attrs["encoding-type"], values.attrs["encoding-version"] = "array", "0.2.0"
    return values


def _fill(
    found: Mapping[str | None, Any], prediction: Prediction, chunk: int, require_room: Callable[[], None] | None = None
) -> None:
    """Write X and the layers, arrays in memory or in a file, some rows of all of them at a time."""
    n_cells = prediction.shape[0]
    for start in range(0, n_cells, chunk):
        rows = slice(start, min(start + chunk, n_cells))
        for name, values in values_of(prediction, rows).items():
            found[name][rows] = values
        if require_room is not None:
            require_room()


def zarr_chunks(shape: tuple[int, int], at_most: int = CHUNK) -> tuple[int, int]:
    """Rows and columns of a chunk of a zarr folder, up to so many rows."""
    return min(max(shape[0], 1), at_most, ZARR_ROWS), min(max(shape[1], 1), _COLUMNS)


def _storage(shape: tuple[int, int], chunk: int) -> dict[str, object]:
    if 0 in shape:
        return {}
    block = (min(shape[0], chunk, _ROWS), min(shape[1], _COLUMNS))
    return {"chunks": block, "compression": "gzip", "compression_opts": 1, "shuffle": True}
