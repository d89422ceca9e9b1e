"""Labels: obs columns of few values that cells can be told apart by; reads names and values, no count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.evaluation.metrics.arrays import Labels
from unisono.findings import Finding, refuse
from unisono.fitted.query import kinds, warn
from unisono.fitted.record import Record
from unisono.types import Cells, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

MOST_VALUES = 60
MOST_COLUMNS = 12
_TYPE = re.compile(r"type|annot|label|cluster|lineage|leiden|louvain", re.IGNORECASE)


def labels_of(mdata: MuData, cells: Cells, record: Record) -> dict[str, dict[Modality, Labels]]:
    """Column → modality → value of each cell of that view, '' where it is not given.

    A column is looked up in the modality's own obs first, then in that of the MuData. Those of text, categories, truth
    values or whole numbers are taken if they have 2 to 60 values: the batch first, then what sounds like a cell type.
    """
    tables = _tables(mdata, cells, record)
    names = dict.fromkeys(str(name) for group in tables.values() for table in group for name in table)
    own = {f"{name}:" for name in mdata.mod}
    plain = [name for name in names if not any(name.startswith(prefix) for prefix in own)]
    ordered = sorted(plain, key=lambda name: (name != record.batch_key, not _TYPE.search(name)))
    found: dict[str, dict[Modality, Labels]] = {}
    for name in ordered:
        column = {m: _values(tables[m], name, cells.views[m].cells) for m in cells.modalities}
        n_values = len(set().union(*(set(values) for values in column.values())) - {""})
        if 2 <= n_values <= MOST_VALUES and len(found) < MOST_COLUMNS:
            found[name] = column
    return found


def _tables(mdata: MuData, cells: Cells, record: Record) -> Mapping[Modality, list[pd.DataFrame]]:
    named = kinds(mdata, record)
    return {m: [*(mdata.mod[name].obs for name in named if named[name] == m), mdata.obs] for m in cells.modalities}


def _values(tables: list[pd.DataFrame], column: str, cells: Labels) -> Labels:
    values = _column(tables, column, cells)
    if values is None or pd.api.types.is_float_dtype(values.dtype):
        return np.full(len(cells), "", dtype=object)
    return np.where(values.isna(), "", values.astype(object).map(str)).astype(object)


def labels_within(
    data: MuData | AnnData, view: View, column: str, record: Record, where: str, option: str = "within"
) -> NDArray[np.str_]:
    """The obs column of the view's cells, looked up in the modality's own obs first, then in the MuData's.

    Args:
        data: where the view is from.
        view: one modality of it.
        column: of obs.
        record: for the names of modalities.
        where: what messages call the data.
        option: the name of the argument that named the column.

    Raises:
        BadInput: E029 there is no such column, E031 it lacks a value.
    """
    tables = _tables_of(data, view.modality, record)
    values = _column(tables, column, view.cells)
    if values is None:
        found = ", ".join(sorted({str(name) for table in tables for name in table})[:8])
        what = f"no obs column {column!r} (there are: {found})."
        raise refuse("E029", f"{where}, {view.modality}", what, "name one")
    if values.isna().any():
        what = f"{column!r} is missing for {int(values.isna().sum())} cells."
        raise refuse("E031", f"{where}, {view.modality}", what, f"fill it in or leave out {option}")
    return np.asarray(values, dtype=str)


def labels_if_any(data: MuData | AnnData, view: View, column: str, record: Record, where: str) -> NDArray[np.str_]:
    """As `labels_within`, with "" for a cell without a value, and W067 where the query lacks the column."""
    values = _column(_tables_of(data, view.modality, record), column, view.cells)
    if values is None:
        what = f"no obs column {column!r}, by which intervals were calibrated; they have the width for all cells."
        warn([Finding("W067", f"{where}, {view.modality}", what, f"add obs[{column!r}]")])
        return np.full(view.n_cells, "", dtype=str)
    return np.where(values.isna(), "", values.astype(object).map(str)).astype(str)


def _tables_of(data: MuData | AnnData, modality: Modality, record: Record) -> list[pd.DataFrame]:
    """The obs tables that hold cells of the modality, its own first."""
    if not hasattr(data, "mod"):
        return [data.obs]
    own = [name for name, kind in kinds(data, record).items() if kind == modality]
    return [*(data.mod[name].obs for name in own), data.obs]


def _column(tables: list[pd.DataFrame], column: str, cells: Labels) -> pd.Series | None:
    """The values of the cells in the first table that has the column and all of them; None if there is none."""
    for table in tables:
        if column in table and np.isin(cells, table.index).all():
            found: pd.Series = table.loc[list(cells), column]
            return found
    return None
