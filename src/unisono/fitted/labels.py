"""Labels: obs columns of few values that cells can be told apart by; reads names and values, no count."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.evaluation.metrics.arrays import Labels
from unisono.findings import refuse
from unisono.fitted.query import kinds
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
    nothing: Labels = np.full(len(cells), "", dtype=object)
    for table in tables:
        if column in table and np.isin(cells, table.index).all():
            values = table[column].loc[list(cells)]
            if pd.api.types.is_float_dtype(values.dtype):
                return nothing
            return np.where(values.isna(), "", values.astype(object).map(str)).astype(object)
    return nothing


def labels_within(data: MuData | AnnData, view: View, column: str, record: Record, side: str) -> NDArray[np.str_]:
    """The obs column of the view's cells, looked up in the modality's own obs first, then in the MuData's.

    Raises:
        BadInput: E029 there is no such column, E031 it lacks a value.
    """
    tables = [data.obs]
    if hasattr(data, "mod"):
        own = [name for name, kind in kinds(data, record).items() if kind == view.modality]
        tables = [*(data.mod[name].obs for name in own), data.obs]
    for table in tables:
        if column in table and np.isin(view.cells, table.index).all():
            values = table.loc[view.cells, column]
            if values.isna().any():
                what = f"{column!r} is missing for {int(values.isna().sum())} cells."
                raise refuse("E031", f"{side}, {view.modality}", what, "fill it in or match without within")
            return np.asarray(values, dtype=str)
    found = ", ".join(sorted({str(name) for table in tables for name in table})[:8])
    raise refuse("E029", f"{side}, {view.modality}", f"no obs column {column!r} (there are: {found}).", "name one")
