"""Measured values next to a prediction, over the cells and features that both have; draws nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.io.naming import kind_of
from unisono.io.read import cells_from_mudata
from unisono.model.query import as_mudata
from unisono.preprocessing.projection import on_scale
from unisono.types import Modality

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


class MeasuredPair(NamedTuple):
    """Prediction and truth of the same cells and features, on the scale of the modality.

    Attributes:
        modality: what was predicted.
        rows: of the predicted table.
        columns: of the predicted table.
        truth: cell x feature.
    """

    modality: Modality
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    truth: NDArray[np.float64]


def measured_with(predicted: AnnData, measured: MuData | AnnData) -> MeasuredPair:
    """Measured values of predicted cells, paired by name.

    Args:
        predicted: what `model.predict` gave.
        measured: raw counts of the same cells: a MuData that has the predicted modality, or an AnnData of it.

    Raises:
        ValueError: `predicted` is no prediction, or the two share no cell or no feature.
        BadInput: the counts cannot be used.
    """
    if "unisono" not in predicted.uns or "target" not in predicted.uns["unisono"]:
        raise ValueError("uns has no 'unisono': give what model.predict returned, in its place")
    modality = str(predicted.uns["unisono"]["target"])
    table, names = as_mudata(measured, modality), _named(measured, modality)
    cells, _ = cells_from_mudata(table, batch_key=None, modalities=names, need=1)
    view = cells.views[modality]
    rows = pd.Index(view.cells).get_indexer(predicted.obs_names.astype(str))
    columns = pd.Index(view.features).get_indexer(predicted.var_names.astype(str))
    if (rows < 0).all() or (columns < 0).all():
        raise ValueError(f"{modality}: prediction and measurement share no cell, or no feature")
    truth = on_scale(view)[rows[rows >= 0]][:, columns[columns >= 0]].toarray().astype(np.float64)
    return MeasuredPair(modality, np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0), truth)


def _named(measured: MuData | AnnData, modality: Modality) -> dict[str, str]:
    if not hasattr(measured, "mod"):
        return {modality: modality}
    found = [name for name in measured.mod if kind_of(name) == modality]
    if not found:
        raise ValueError(f"measured has {', '.join(measured.mod)}, expected {modality}")
    return {found[0]: modality}
