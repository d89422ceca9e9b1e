"""Cells that hold most of the counts of a modality, such as a row of totals; leaves none out."""

from __future__ import annotations

import numpy as np

from unisono.io.naming import Source
from unisono.messages import Finding
from unisono.types import View

_MIN_CELLS = 20
_MAX_SHARE = 0.5
"""Share of all counts. In real data of 50 cells and more the deepest cell of a modality holds up to 0.13 of them."""


def heavy_cells(source: Source, view: View) -> list[Finding]:
    """W080 where one cell holds more counts than all others together."""
    if view.n_cells < _MIN_CELLS:
        return []
    row = int(np.argmax(view.depth))
    share = float(view.depth[row] / view.depth.sum())
    if share <= _MAX_SHARE:
        return []
    what = f"cell {view.cells[row]} holds {share:.0%} of all counts of {view.n_cells} cells: a sum, or no cell."
    return [Finding("W080", source.source_name, what, "drop it, if it is no cell")]
