"""Columns: obs columns of a query, by which its cells are grouped; reads names and values, no count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.inference.record import Record
from unisono.messages import Finding, bad_input, warn
from unisono.model.query import kinds
from unisono.types import Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def labels_within(
    data: MuData | AnnData, view: View, column: str, record: Record, source_name: str, option: str = "within"
) -> NDArray[np.str_]:
    """The obs column of the view's cells, looked up in the modality's own obs first, then in the MuData's.

    Args:
        data: where the view is from.
        view: one modality of it.
        column: of obs.
        record: for the names of modalities.
        source_name: what messages call the data.
        option: the name of the argument that named the column.

    Raises:
        BadInput: E029 there is no such column, E031 it lacks a value.
    """
    tables = tables_of(data, view.modality, record)
    values = column_of(tables, column, view.cells)
    if values is None:
        found = ", ".join(sorted({str(name) for table in tables for name in table})[:8])
        what = f"no obs column {column!r} (there are: {found})."
        raise bad_input("E029", f"{source_name}, {view.modality}", what, "name one")
    if values.isna().any():
        what = f"{column!r} is missing for {int(values.isna().sum())} cells."
        raise bad_input("E031", f"{source_name}, {view.modality}", what, f"fill it in or leave out {option}")
    return np.asarray(values, dtype=str)


def labels_if_any(
    data: MuData | AnnData, view: View, column: str, record: Record, source_name: str
) -> NDArray[np.str_]:
    """As `labels_within`, with "" for a cell without a value, and W067 where the query lacks the column."""
    values = column_of(tables_of(data, view.modality, record), column, view.cells)
    if values is None:
        what = f"no obs column {column!r}, by which intervals were calibrated; they have the width for all cells."
        warn([Finding("W067", f"{source_name}, {view.modality}", what, f"add obs[{column!r}]")])
        return np.full(view.n_cells, "", dtype=str)
    return np.where(values.isna(), "", values.astype(object).map(str)).astype(str)


def tables_of(data: MuData | AnnData, modality: Modality, record: Record) -> list[pd.DataFrame]:
    """The obs tables that hold cells of the modality, its own first."""
    if not hasattr(data, "mod"):
        return [data.obs]
    own = [name for name, kind in kinds(data, record).items() if kind == modality]
    return [*(data.mod[name].obs for name in own), data.obs]


def column_of(tables: list[pd.DataFrame], column: str, cells: NDArray[np.str_]) -> pd.Series | None:
    """The values of the cells in the first table that has the column and all of them; None if there is none."""
    for table in tables:
        if column in table and np.isin(cells, table.index).all():
            found: pd.Series = table.loc[list(cells), column]
            return found
    return None
