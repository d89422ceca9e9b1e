"""Scores to match probabilities: Sinkhorn scaling on a sparse graph with slack for the surplus; never picks a partner.

The model: a one-to-one matching of the smaller side into the larger has probability proportional to the product of
exp(beta * score) over its pairs. Sinkhorn gives the matrix of that form whose rows and columns sum to 1, an
approximation of the marginals of that distribution.

References:
    Sinkhorn, "Diagonal equivalence to matrices with prescribed row and column sums", 1967.
    Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport", 2013.
    Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems", 2019 (absorption).
    Sarlin et al., "SuperGlue", 2020 (slack for those without a partner).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from unisono.matching.graph import row_of_entries
from unisono.types import MatchPosterior

N_ITER = 200
TOLERANCE = 1e-4

_STRETCH = 10
"""Scaling steps between two absorptions; one step changes a factor at most 1,000-fold, so float64 is never left."""


def posterior(
    scores: sparse.csr_matrix,
    beta: float,
    *,
    masses: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    n_iter: int = N_ITER,
    tolerance: float = TOLERANCE,
) -> MatchPosterior:
    """The probability that a left cell's partner is each of its candidates.

    Unless masses are given, every cell has mass 1. The larger side's surplus then goes to one slack cell of the other
    side, whose mass is the difference of the sizes, so for equal sizes all rows and columns sum to 1. As that mass is
    fixed, the score of the slack is taken up by its scaling and need not be chosen.

    Args:
        scores: left x right CSR; entries that are not stored cannot be partners.
        beta: inverse temperature: beta * score is a log density ratio.
        masses: of left and of right cells, the probabilities that their partners are there; those of the right are
            scaled to the same total, and there is no slack.
        n_iter: most scaling steps. A sparse graph may have no matching that covers it; then the scaling cannot
            converge and this ends it. Rows sum to 1 in any case.
        tolerance: stop when the columns miss their masses by less than this share of the total mass.

    Returns:
        Rows conditional on a partner being there, and `p_unmatched`, which sums to max(n_left − n_right, 0).

    Raises:
        ValueError: a row without candidates, or beta is no positive number.
    """
    n_left, n_right = scores.shape
    if not 0 < beta < np.inf:
        raise ValueError(f"beta={beta}: the inverse temperature must be positive and finite")
    if (np.diff(scores.indptr) == 0).any():
        raise ValueError(f"{(np.diff(scores.indptr) == 0).sum()} of {n_left} left cells have no candidate")
    log_kernel = _times(scores, beta)
    if masses is None:
        potential = _column_potential(*_with_slack(log_kernel), n_iter, tolerance)
    else:
        rows, columns = masses
        potential = _column_potential(log_kernel, rows, columns * (rows.sum() / columns.sum()), n_iter, tolerance)
    log_weight = log_kernel.data + potential[log_kernel.indices]
    log_total = _log_sum_of_rows(log_weight, log_kernel)
    values = np.exp(log_weight - log_total[row_of_entries(log_kernel)])
    conditional = sparse.csr_matrix((values, scores.indices, scores.indptr), shape=scores.shape)
    if masses is not None or n_left <= n_right:
        return MatchPosterior(conditional, np.zeros(n_left))
    return MatchPosterior(conditional, expit(potential[n_right] - log_total))


def _times(scores: sparse.csr_matrix, beta: float) -> sparse.csr_matrix:
    data = beta * scores.data.astype(np.float64)
    return sparse.csr_matrix((data, scores.indices, scores.indptr), shape=scores.shape)


def _with_slack(
    log_kernel: sparse.csr_matrix,
) -> tuple[sparse.csr_matrix, NDArray[np.float64], NDArray[np.float64]]:
    """The graph with a slack column or row of score 0, whichever side is short, and the masses of rows and columns."""
    n_left, n_right = log_kernel.shape
    surplus = n_left - n_right
    rows, columns = np.ones(n_left), np.ones(n_right)
    if surplus > 0:
        return _append_column(log_kernel), rows, np.append(columns, surplus)
    if surplus < 0:
        return _append_row(log_kernel), np.append(rows, -surplus), columns
    return log_kernel, rows, columns


def _append_row(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    n_left, n_right = graph.shape
    return sparse.csr_matrix(
        (
            np.append(graph.data, np.zeros(n_right)),
            np.append(graph.indices, np.arange(n_right)),
            np.append(graph.indptr, graph.indptr[-1] + n_right),
        ),
        shape=(n_left + 1, n_right),
    )


def _append_column(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    n_left, n_right = graph.shape
    ends = graph.indptr[1:]
    data = np.insert(graph.data, ends, 0.0)
    indices = np.insert(graph.indices, ends, n_right)
    return sparse.csr_matrix((data, indices, graph.indptr + np.arange(n_left + 1)), shape=(n_left, n_right + 1))


def _column_potential(
    log_kernel: sparse.csr_matrix,
    row_mass: NDArray[np.float64],
    column_mass: NDArray[np.float64],
    n_iter: int,
    tolerance: float,
) -> NDArray[np.float64]:
    """The log scaling of each column.

    Scaling runs in float64 on a kernel that holds all scaling done so far: after the maxima are taken out, every row
    and column has a largest entry of 1, and after each absorption columns sum to their masses, so none vanishes.
    """
    rows, columns = row_of_entries(log_kernel), log_kernel.indices
    row_potential = -np.maximum.reduceat(log_kernel.data, log_kernel.indptr[:-1])
    column_potential = _minus_column_maximum(log_kernel.data + row_potential[rows], columns, log_kernel.shape[1])
    for _ in range(0, n_iter, _STRETCH):
        values = np.exp(log_kernel.data + row_potential[rows] + column_potential[columns])
        kernel = sparse.csr_matrix((values, columns, log_kernel.indptr), shape=log_kernel.shape)
        row_scale, column_scale, error = _scale(kernel, row_mass, column_mass, tolerance)
        row_potential += np.log(row_scale)
        column_potential += np.log(column_scale)
        if error < tolerance:
            break
    return column_potential


def _scale(
    kernel: sparse.csr_matrix,
    row_mass: NDArray[np.float64],
    column_mass: NDArray[np.float64],
    tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """One stretch of scaling steps: factors of rows and columns, and the share of mass that columns still miss."""
    transposed = kernel.T
    row_scale, column_scale, error = row_mass, np.ones(len(column_mass)), np.inf
    for _ in range(_STRETCH):
        row_scale = row_mass / (kernel @ column_scale)
        reached = transposed @ row_scale
        error = float(np.abs(column_scale * reached - column_mass).sum() / column_mass.sum())
        if error < tolerance:
            break
        column_scale = np.divide(column_mass, reached, out=np.ones(len(reached)), where=reached > 0)
    return row_scale, column_scale, error


def _minus_column_maximum(
    values: NDArray[np.float64], columns: NDArray[np.integer], n_columns: int
) -> NDArray[np.float64]:
    """Minus the largest value of each column, 0 for a column without entries."""
    largest = np.full(n_columns, -np.inf)
    np.maximum.at(largest, columns, values)
    return np.where(np.isfinite(largest), -largest, 0.0)


def _log_sum_of_rows(values: NDArray[np.float64], graph: sparse.csr_matrix) -> NDArray[np.float64]:
    """Log of Σ exp over each row of a graph, stored entries only."""
    rows = row_of_entries(graph)
    largest = np.maximum.reduceat(values, graph.indptr[:-1])
    total = np.bincount(rows, weights=np.exp(values - largest[rows]), minlength=graph.shape[0])
    return np.asarray(largest + np.log(total))
