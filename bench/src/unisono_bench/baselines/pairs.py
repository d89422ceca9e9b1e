"""How many cells two modalities need in common, and which training cells are held out; never looks at a count."""

from __future__ import annotations

import numpy as np

import unisono as un

MIN_PAIRED, MIN_HELD_OUT = 10, 5
"""With fewer cells that have both modalities, to learn from or held out, a method leaves these two alone."""

_HELD_OUT = 0.1
_MIN_HELD_OUT, _MAX_HELD_OUT = 60, 0.2


def n_paired(cells: un.Cells, a: str, b: str) -> int:
    """How many cells have both modalities."""
    return int(((cells.rows[a] >= 0) & (cells.rows[b] >= 0)).sum())


def hold_out(training: un.Cells, seed: int) -> tuple[un.Cells, un.Cells]:
    """Cells to learn from, and 10 % held out to fit density ratios on; at least 60 where that is no more than 20 %.

    The same fraction that Unisono holds out. They are drawn from the cells with two modalities or more.
    """
    n_views = np.sum([training.rows[m] >= 0 for m in training.modalities], axis=0)
    order = np.random.default_rng([seed, 29]).permutation(len(n_views))
    candidates = order[n_views[order] > 1]
    n_held_out = int(min(max(_HELD_OUT * len(candidates), _MIN_HELD_OUT), _MAX_HELD_OUT * len(candidates)))
    held_out = np.sort(candidates[:n_held_out])
    return training.take(np.setdiff1d(np.arange(len(n_views)), held_out)), training.take(held_out)
