"""Cells taken from a MuData: some rows, some batches, some modalities; fits nothing and writes nothing."""

from __future__ import annotations

import warnings

import mudata
import numpy as np


def of_batches(mdata: mudata.MuData, batches: tuple[str, ...]) -> mudata.MuData:
    """The cells of some batches."""
    first = next(iter(mdata.mod.values()))
    return taken(mdata, np.flatnonzero(first.obs["batch"].isin(batches).to_numpy()))


def taken(mdata: mudata.MuData, rows: np.ndarray) -> mudata.MuData:
    """Some cells in every modality, which hold the same cells in the same order."""
    return whole({name: part[rows].copy() for name, part in mdata.mod.items()})


def whole(parts: dict[str, object]) -> mudata.MuData:
    """A MuData of tables, without columns of its own."""
    with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return mudata.MuData(parts)
