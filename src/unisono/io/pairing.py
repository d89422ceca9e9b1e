"""Whether the cells of several modalities can be joined by name, and if not, why; never joins them by place."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from unisono.messages import Finding

Rewrite = Callable[[str], str]
_REWRITES: dict[str, Rewrite] = {
    "as they are": lambda name: name,
    "without the last part": lambda name: re.sub(r"[-_.:#][^-_.:#]*$", "", name),
    "without the first part": lambda name: re.sub(r"^[^-_.:#]*[-_.:#]", "", name),
    "in upper case": str.upper,
}
_SAMPLED = 2000


def pairing_findings(cells: Mapping[str, pd.Index], source_name: str) -> list[Finding]:
    """E027, E028, I025 and W026 for modalities that are to be trained on together."""
    default = [name for name, index in cells.items() if _is_default(index)]
    if len(default) > 1:
        what = f"{' and '.join(default)} have default cell names 0..n, which say nothing about who is whose partner."
        remedy = "set real names: mdata[modality].obs_names = barcodes, equal for the same cell"
        return [Finding("E028", source_name, what, remedy)]
    pairs = list(itertools.combinations(cells, 2))
    n_shared = {(a, b): len(cells[a].intersection(cells[b])) for a, b in pairs}
    alone = [name for name in cells if not any(n for pair, n in n_shared.items() if name in pair)]
    if alone:
        return [_no_overlap(alone[0], next(name for name in cells if name != alone[0]), cells, source_name)]
    findings = [_order_or_overlap(a, b, cells, n_shared[a, b], source_name) for a, b in pairs if n_shared[a, b]]
    return [finding for finding in findings if finding]


def _is_default(index: pd.Index) -> bool:
    return len(index) > 0 and np.array_equal(index.astype(str), np.arange(len(index)).astype(str))


def _order_or_overlap(a: str, b: str, cells: Mapping[str, pd.Index], n_shared: int, source_name: str) -> Finding | None:
    left, right, place = cells[a], cells[b], f"{source_name}, {a} and {b}"
    n_all = len(left.union(right))
    if n_shared < n_all:
        what = f"{n_shared} of {n_all} cells paired; {n_all - n_shared} used as unpaired (in {a} only: "
        what += f"{len(left) - n_shared}, in {b} only: {len(right) - n_shared})."
        return Finding("W026", place, what)
    if not left.equals(right):
        return Finding("I025", place, f"{b} is in another order than {a}; joined by name ({n_shared} cells).")
    return None


def _no_overlap(a: str, b: str, cells: Mapping[str, pd.Index], source_name: str) -> Finding:
    left, right = cells[a], cells[b]
    what = f"no shared cell names: {a} {left[0]!r}, {b} {right[0]!r}{_diagnosis(a, b, left, right)}."
    remedy = f"rename so that a cell has one name: mdata[{b!r}].obs_names = ..., then build the MuData again"
    return Finding("E027", f"{source_name}, {a} and {b}", what, remedy)


def _diagnosis(a: str, b: str, left: pd.Index, right: pd.Index) -> str:
    """Which simple change of the names would make them meet, and for how many of a sample."""
    rights = {rewrite: set(map(change, right)) for rewrite, change in _REWRITES.items()}
    best, n_best = "", 0
    for (on_left, change), on_right in itertools.product(_REWRITES.items(), rights):
        n_met = len({change(name) for name in left[:_SAMPLED]} & rights[on_right])
        if n_met > n_best:
            best, n_best = (
                f"; {a} {on_left} and {b} {on_right} would share {n_met} of {min(len(left), _SAMPLED)}",
                n_met,
            )
    return best
