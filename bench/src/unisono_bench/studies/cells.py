"""Cells of the development sets for studies: read by name, some rows, some batches; fits nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from mudata import MuData

from unisono_bench.data import join, read_file


def data_folder() -> Path:
    """UNISONO_DATA, else shared/data next to the repository."""
    return Path(os.environ.get("UNISONO_DATA", Path(__file__).resolve().parents[5] / "shared" / "data"))


def read(name: str) -> MuData:
    """A development set by its name."""
    return read_file(data_folder() / f"{name}.h5mu")


def of_batches(mdata: MuData, batches: tuple[str, ...]) -> MuData:
    """The cells of some batches."""
    first = next(iter(mdata.mod.values()))
    return take(mdata, np.flatnonzero(first.obs["batch"].isin(batches).to_numpy()))


def take(mdata: MuData, rows: np.ndarray) -> MuData:
    """Some cells in every modality, which hold the same cells in the same order."""
    return join({name: part[rows].copy() for name, part in mdata.mod.items()})
