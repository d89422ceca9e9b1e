"""The log posterior of every pair of cells after Sinkhorn scaling, for small tests; no candidates, no rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unisono_bench.methods import Groups, Matched
from unisono.matching import MatchingProblem, Similarity, solve

MAX_PAIRS = 25_000_000
"""Pairs for which it is worked out: 100 MB of float32."""

LogPosterior = NDArray[np.float32]


def log_posterior(matched: Matched, groups: Groups | None = None) -> LogPosterior:
    """Log of the matrix of form u_i exp(beta · left_i · right_j) v_j whose rows and columns sum to 1, left x right.

    `match_cells` does the same on the 200 nearest candidates; here each pair has its place in the ranking.

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
        log_ratio = Similarity(matched.left[rows], matched.right[columns], matched.beta).log_ratio()
        potentials = solve(MatchingProblem.one_to_one(log_ratio))
        found[np.ix_(rows, columns)] = log_ratio + potentials.left[:, None] + potentials.right
    return found
