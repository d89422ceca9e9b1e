"""Groups within which cells may be matched: which left and right cells belong together; never matches them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unisono.messages import bad_input

Labels = NDArray[np.str_]
Rows = NDArray[np.intp]


def blocks(n_left: int, n_right: int, within: tuple[Labels, Labels] | None) -> Iterator[tuple[Rows, Rows]]:
    """The positions of left and right cells of each group that has left cells; all cells at once without groups.

    Raises:
        BadInput: E057, a group of left cells has no right cell.
        ValueError: there is not one label a cell.
    """
    if within is None:
        yield np.arange(n_left), np.arange(n_right)
        return
    left, right = (np.asarray(labels) for labels in within)
    if (len(left), len(right)) != (n_left, n_right):
        raise ValueError(f"within: {len(left)} and {len(right)} labels for {n_left} left and {n_right} right cells")
    groups = np.unique(left)
    _refuse_lonely(groups[~np.isin(groups, right)], left)
    for group in groups:
        yield np.flatnonzero(left == group), np.flatnonzero(right == group)


def _refuse_lonely(lonely: Labels, left: Labels) -> None:
    if len(lonely) == 0:
        return
    named = ", ".join(map(repr, lonely[:3].tolist())) + (", …" if len(lonely) > 3 else "")
    n_cells = int(np.isin(left, lonely).sum())
    raise bad_input(
        "E057",
        "match",
        f"{len(lonely)} groups hold {n_cells} left cells and no right cell ({named}).",
        "leave those cells out, or match without `within`",
    )
