"""The log posterior of every pair of cells after Sinkhorn scaling, for small tests; no candidates, no rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unisono_bench.methods import Groups, Matched
from unisono.matching.sinkhorn import N_ITER, TOLERANCE

MAX_PAIRS = 25_000_000
"""Pairs for which it is worked out: 100 MB of float32."""

_STRETCH = 10
"""Scaling steps between two absorptions of the factors into the kernel."""

LogPosterior = NDArray[np.float32]
Scales = NDArray[np.float64]


def log_posterior(matched: Matched, groups: Groups | None = None) -> LogPosterior:
    """Log of the matrix of form u_i exp(beta · left_i · right_j) v_j whose rows and columns sum to 1, left x right.

    `match.couple` does the same on the 200 nearest candidates; here each pair has its place in the ranking.

    Args:
        matched: as many left as right cells.
        groups: cells are scaled within groups, each with as many left as right cells; −inf between groups.

    Raises:
        ValueError: sides differ in size, in all or in a group.
    """
    shape = len(matched.left), len(matched.right)
    left, right = groups or (np.zeros(shape[0], dtype=int), np.zeros(shape[1], dtype=int))
    found = np.full(shape, -np.inf, dtype=np.float32)
    for group in np.union1d(left, right):
        rows, columns = np.flatnonzero(left == group), np.flatnonzero(right == group)
        if len(rows) != len(columns):
            raise ValueError(f"{len(rows)} left and {len(columns)} right cells, wanted as many on both sides")
        scores = np.asarray(matched.left[rows] @ matched.right[columns].T, dtype=np.float32)
        found[np.ix_(rows, columns)] = _scaled(np.float32(matched.beta) * scores)
    return found


def _scaled(log_kernel: LogPosterior) -> LogPosterior:
    """The log kernel with the potentials of rows and columns added; the kernel holds all scaling done so far."""
    rows = -log_kernel.max(axis=1, keepdims=True).astype(np.float64)
    columns = -(log_kernel + rows).max(axis=0)
    for _ in range(0, N_ITER, _STRETCH):
        row_scale, column_scale, error = _stretch(np.exp(log_kernel + rows + columns))
        rows += np.log(row_scale)[:, None]
        columns += np.log(column_scale)
        if error < TOLERANCE:
            break
    return np.asarray(log_kernel + rows + columns, dtype=np.float32)


def _stretch(kernel: Scales) -> tuple[Scales, Scales, float]:
    """Factors of rows and columns after a stretch of steps, and the share of mass that columns still miss."""
    column_scale: Scales = np.ones(kernel.shape[1])
    row_scale: Scales = np.ones(len(kernel))
    error = np.inf
    for _ in range(_STRETCH):
        row_scale = 1.0 / (kernel @ column_scale)
        reached = row_scale @ kernel
        error = float(np.abs(column_scale * reached - 1.0).mean())
        if error < TOLERANCE:
            break
        column_scale = 1.0 / reached
    return row_scale, column_scale, error
