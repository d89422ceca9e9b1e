"""Sinkhorn among all cells, of which only the candidates are stored; the others count by a sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.matching.log_sum import log_sum_beyond
from unisono.matching.similarity import Similarity
from unisono.matching.sinkhorn import MatchingProblem, log_mean, sinkhorn, solve
from unisono.types import MatchPosterior

_ROUGHLY = 0.01
"""Fraction of the mass that columns may miss when scalings are found for the first time."""


def posterior_among_all(similarity: Similarity, problem: MatchingProblem) -> MatchPosterior:
    """The match probabilities of the candidates, and what those that are no candidates share.

    Without these, the candidates of a cell would share its whole probability: among 5,000 cells that are hard to tell
    apart, the likeliest of 200 then states 0.018 where 0.008 are right; with them it states 0.014, as it does if all
    pairs are stored. Scalings are found twice: with those of cells beyond the candidates at the mean of all, and with
    those that were found.

    Args:
        similarity: of all cells.
        problem: of the candidates.
    """
    graph = problem.log_ratio
    n_left, n_right = graph.shape
    if not sparse.issparse(graph) or graph.nnz == n_left * n_right:
        return sinkhorn(problem)
    sums = _sums_beyond(similarity, graph, np.zeros(n_left), np.zeros(n_right))
    first = solve(replace(problem, left_beyond=sums[0], right_beyond=sums[1]), tolerance=_ROUGHLY)
    sums = _sums_beyond(similarity, graph, first.left - log_mean(first.left), first.right - log_mean(first.right))
    return sinkhorn(replace(problem, left_beyond=sums[0], right_beyond=sums[1]), start=first)


def _sums_beyond(
    similarity: Similarity, graph: sparse.csr_matrix, left: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log Σ r of left and of right cells over those that are no candidates.

    Args:
        similarity: of all cells.
        graph: candidates, left x right.
        left: by whose exponential each left cell is weighted.
        right: the same of each right cell.
    """
    x, y = similarity.vectors
    return (
        log_sum_beyond(x, y, similarity.beta, right, graph),
        log_sum_beyond(y, x, similarity.beta, left, graph.T.tocsr()),
    )
