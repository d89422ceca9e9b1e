"""Labels: obs columns of few values that cells can be told apart by; reads names and values, no count."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unisono.inference.record import Record
from unisono.metrics.arrays import Labels
from unisono.model.columns import column_of, tables_of
from unisono.types import Cells, Modality

if TYPE_CHECKING:
    from mudata import MuData

MAX_VALUES = 60
MAX_COLUMNS = 12
_TYPE = re.compile(r"type|annot|label|cluster|lineage|leiden|louvain", re.IGNORECASE)


def labels_of(mdata: MuData, cells: Cells, record: Record) -> dict[str, dict[Modality, Labels]]:
    """Column → modality → value of each cell of that view, '' where it is not given.

    A column is looked up in the modality's own obs first, then in that of the MuData. Those of text, categories, truth
    values or whole numbers are taken if they have 2 to 60 values: the batch first, then what sounds like a cell type.
    """
    tables = {m: tables_of(mdata, m, record) for m in cells.modalities}
    names = dict.fromkeys(str(name) for group in tables.values() for table in group for name in table)
    own = {f"{name}:" for name in mdata.mod}
    plain = [name for name in names if not any(name.startswith(prefix) for prefix in own)]
    ordered = sorted(plain, key=lambda name: (name != record.batch_key, not _TYPE.search(name)))
    found: dict[str, dict[Modality, Labels]] = {}
    for name in ordered:
        column = {m: _values(tables[m], name, cells.views[m].cells) for m in cells.modalities}
        n_values = len(set().union(*(set(values) for values in column.values())) - {""})
        if 2 <= n_values <= MAX_VALUES and len(found) < MAX_COLUMNS:
            found[name] = column
    return found


def _values(tables: list[pd.DataFrame], column: str, cells: Labels) -> Labels:
    values = column_of(tables, column, cells)
    if values is None or pd.api.types.is_float_dtype(values.dtype):
        return np.full(len(cells), "", dtype=object)
    return np.where(values.isna(), "", values.astype(object).map(str)).astype(object)
