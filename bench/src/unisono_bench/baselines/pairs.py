"""Which training cells have both modalities, and which of them are held out; looks at names and batches alone."""

from __future__ import annotations

import numpy as np

from unisono.types import Cells, Modality, View

MIN_PAIRED, MIN_HELD_OUT = 10, 5
"""With fewer cells that have both modalities, to learn from or held out, a method leaves these two alone."""

_HELD_OUT = 0.1
_MIN_HELD_OUT, _MAX_HELD_OUT = 60, 0.2


def paired(cells: Cells, a: Modality, b: Modality) -> tuple[View, View]:
    """The two views over the cells that have both, row i of both the same cell."""
    both = (cells.rows[a] >= 0) & (cells.rows[b] >= 0)
    return cells.views[a].take(cells.rows[a][both]), cells.views[b].take(cells.rows[b][both])


def n_paired(cells: Cells, a: Modality, b: Modality) -> int:
    """How many cells have both modalities."""
    return int(((cells.rows[a] >= 0) & (cells.rows[b] >= 0)).sum())


def split(training: Cells, seed: int) -> tuple[Cells, Cells]:
    """Cells to learn from, and 10 % held out to fit temperatures on; at least 60 where that is no more than 20 %.

    The same share that Unisono holds out. They are drawn from the cells with two modalities or more.
    """
    n_views = np.sum([training.rows[m] >= 0 for m in training.modalities], axis=0)
    order = np.random.default_rng([seed, 29]).permutation(len(n_views))
    candidates = order[n_views[order] > 1]
    n_held_out = int(min(max(_HELD_OUT * len(candidates), _MIN_HELD_OUT), _MAX_HELD_OUT * len(candidates)))
    held_out = np.sort(candidates[:n_held_out])
    return training.take(np.setdiff1d(np.arange(len(n_views)), held_out)), training.take(held_out)
