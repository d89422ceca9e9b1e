"""Labels of test cells, such as their types: which obs column holds them, and the label of each cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unisono.messages import bad_input, typed
from unisono.model.query import column_of, tables_of
from unisono.model.unisono import Unisono
from unisono.types import Cells

if TYPE_CHECKING:
    from mudata import MuData

USUAL_COLUMNS = (
    "cell_type",
    "celltype",
    "CellType",
    "Cell_type",
    "cell.type",
    "celltype.l1",
    "cell_type_l1",
    "celltype.l2",
    "cell_type_l2",
    "annotation",
    "leiden",
    "louvain",
    "cluster",
    "clusters",
)
"""Where labels are looked for if no column is named, the first choice first."""


@dataclass(frozen=True, eq=False)
class CellLabels:
    """The labels of cells by name.

    Attributes:
        column: of obs.
        of_cell: name of a cell → its label; cells without one are left out.
    """

    column: str
    of_cell: Mapping[str, str]

    def of(self, cells: NDArray[np.str_]) -> NDArray[np.str_]:
        """The label of each cell, "" where it has none."""
        return np.array([self.of_cell.get(str(name), "") for name in cells], dtype=str)


def cell_labels(
    model: Unisono, test: MuData, cells: Cells, column: str | None, source_name: str = "test"
) -> CellLabels | None:
    """The labels of the test cells.

    Args:
        model: for the names of modalities.
        test: whose obs, or that of its modalities, has the column.
        cells: those of the test.
        column: None for the first of the usual names that is there; absent where none is.
        source_name: what messages call the data.

    Raises:
        BadInput: E029 the column that was named is not there.
    """
    for name in USUAL_COLUMNS if column is None else (column,):
        found = _of_column(model, test, cells, name)
        if found:
            return CellLabels(name, found)
    if column is None:
        return None
    known = sorted(
        {str(name) for m in cells.modalities for table in tables_of(test, m, model.record) for name in table}
    )
    what = f"no obs column {column!r} with a label of a cell (there are: {', '.join(known[:8])})."
    raise bad_input("E029", source_name, what, f"name one, or leave {typed('label_key', '--label-key')} out")


def _of_column(model: Unisono, test: MuData, cells: Cells, column: str) -> dict[str, str]:
    """Name of a cell → its value, from every modality that has the column."""
    found: dict[str, str] = {}
    for modality in reversed(cells.modalities):
        names = cells.views[modality].cells
        values = column_of(tables_of(test, modality, model.record, names), column, names)
        if values is not None:
            known = values.dropna()
            found |= dict(zip(known.index.astype(str), known.astype(str), strict=True))
    return found
