"""The matching problem and its one solver: log ratios and masses to match probabilities; never picks a partner.

A one-to-one matching of the smaller side into the larger has probability proportional to the product of the density
ratios of its pairs. Sinkhorn's scaling gives the matrix of that form whose rows and columns have the right masses, an
approximation of the marginals of that distribution.

References:
    Sinkhorn, "Diagonal equivalence to matrices with prescribed row and column sums", 1967.
    Cuturi, "Sinkhorn distances: lightspeed computation of optimal transport", 2013.
    Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems", 2019 (absorption).
    Sarlin et al., "SuperGlue", 2020 (slack for those without a partner).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.special import expit, logsumexp

from unisono.matching.candidates import row_of_entries
from unisono.types import MatchPosterior

MAX_STEPS = 200
TOLERANCE = 1e-4
"""Fraction of the total mass that columns may miss."""

_STRIDE = 10
"""Scaling steps between two absorptions; one step changes a factor at most 1,000-fold, so float64 is never left."""

LogRatio = sparse.csr_matrix | Float[np.ndarray, "left right"]


@dataclass(frozen=True, eq=False)
class MatchingProblem:
    """Find P_ij = u_i r_ij v_j such that the rows and columns of P have given masses.

    Slack is mass: each side may have one slack cell more, with ratio 1 to every cell of the other side and 0 to its
    slack. The slack column of a row holds the mass of its cell that has no partner.

    Attributes:
        log_ratio: log r, left x right, dense or CSR; pairs that are not stored cannot be partners.
        left_mass: of each left cell, positive.
        right_mass: of each right cell, positive.
        left_slack: mass of the slack row: 0 for none, infinite for a reservoir, whose scaling stays 1.
        right_slack: the same of the slack column.
        left_beyond: log Σ r of each left cell over right cells that may be partners, yet are not stored; −inf for
            none, None for none of any cell. Their scaling is the mean of those of all right cells.
        right_beyond: the same of each right cell over left cells.

    Raises:
        ValueError: numbers of masses and cells differ, or a left cell has no candidate.
    """

    log_ratio: LogRatio
    left_mass: Float[np.ndarray, " left"]
    right_mass: Float[np.ndarray, " right"]
    left_slack: float = 0.0
    right_slack: float = 0.0
    left_beyond: Float[np.ndarray, " left"] | None = None
    right_beyond: Float[np.ndarray, " right"] | None = None

    def __post_init__(self) -> None:
        found = (len(self.left_mass), len(self.right_mass))
        if found != self.log_ratio.shape:
            raise ValueError(f"{found[0]} left and {found[1]} right masses for log ratios {self.log_ratio.shape}")
        if sparse.issparse(self.log_ratio):
            n_empty = int((np.diff(self.log_ratio.indptr) == 0).sum())
            if n_empty:
                raise ValueError(f"{n_empty} of {found[0]} left cells have no candidate")

    @classmethod
    def one_to_one(cls, log_ratio: LogRatio) -> MatchingProblem:
        """Every cell has mass 1; the surplus of the larger side goes to a slack cell of the smaller one."""
        n_left, n_right = log_ratio.shape
        surplus = float(n_left - n_right)
        return cls(log_ratio, np.ones(n_left), np.ones(n_right), max(-surplus, 0.0), max(surplus, 0.0))

    @classmethod
    def of_masses(
        cls, log_ratio: LogRatio, left_mass: Float[np.ndarray, " left"], right_mass: Float[np.ndarray, " right"]
    ) -> MatchingProblem:
        """Without slack; the masses on the right are scaled to the total of those on the left."""
        return cls(log_ratio, left_mass, right_mass * (left_mass.sum() / right_mass.sum()))

    @property
    def beyond(self) -> tuple[Float[np.ndarray, " left"], Float[np.ndarray, " right"]]:
        """Log Σ r of left and of right cells over those that are not stored; −inf for none."""
        left, right = self.left_beyond, self.right_beyond
        return (
            np.full(len(self.left_mass), -np.inf) if left is None else left,
            np.full(len(self.right_mass), -np.inf) if right is None else right,
        )


class Potentials(NamedTuple):
    """Logs of the scalings: of left and right cells, and of the slack of either side, −inf where there is none."""

    left: Float[np.ndarray, " left"]
    right: Float[np.ndarray, " right"]
    left_slack: float
    right_slack: float


def sinkhorn(
    problem: MatchingProblem,
    *,
    max_steps: int = MAX_STEPS,
    tolerance: float = TOLERANCE,
    start: Potentials | None = None,
) -> MatchPosterior:
    """The probability that a left cell's partner is each of its candidates.

    Args:
        problem: log ratios and masses.
        max_steps: most scaling steps. A sparse graph may have no matching that covers it; then the scaling cannot
            converge and this ends it. Rows sum to 1 in any case.
        tolerance: stop when the columns miss their masses by less than this fraction of the total mass.
        start: scalings near those that are looked for, if any are known.

    Returns:
        Rows conditional on the partner being a candidate, `p_unmatched`, the fraction of each row in the slack column,
        and `beyond`, that of the rest of the row which is no candidate.

    Examples:
        By its own ratios the first left cell prefers the first right one 4 to 1, and the second prefers neither. As a
        right cell has one partner, the answer for the first decides that for the second, which weakens it in turn:

        >>> import numpy as np, unisono as un
        >>> problem = un.matching.MatchingProblem.one_to_one(np.log([[4.0, 1.0], [1.0, 1.0]]))
        >>> un.matching.sinkhorn(problem).probabilities.toarray().round(2)
        array([[0.67, 0.33],
               [0.33, 0.67]])
    """
    found = solve(problem, max_steps=max_steps, tolerance=tolerance, start=start)
    log_probability, log_stored = log_posterior(problem, found)
    log_beyond = problem.beyond[0] + log_mean(found.right)
    log_total = np.logaddexp(log_stored, log_beyond)
    return MatchPosterior(
        _as_csr(_exp(log_probability)),
        np.asarray(expit(found.right_slack - log_total)),
        beyond=None if problem.left_beyond is None else np.exp(log_beyond - log_total),
    )


def log_posterior(problem: MatchingProblem, found: Potentials) -> tuple[LogRatio, Float[np.ndarray, " left"]]:
    """The log probability of each candidate of a left cell, its partner being one, and the log of what rows sum to.

    Args:
        problem: log ratios, in whose form the probabilities are.
        found: its scalings.
    """
    log_weight = _shifted(problem.log_ratio, np.zeros(len(found.left)), found.right)
    log_stored = _log_sum_of_rows(log_weight)
    return _shifted(log_weight, -log_stored, np.zeros(len(found.right))), log_stored


def solve(
    problem: MatchingProblem,
    *,
    max_steps: int = MAX_STEPS,
    tolerance: float = TOLERANCE,
    start: Potentials | None = None,
) -> Potentials:
    """The log scalings; settings as of `sinkhorn`.

    Scaling runs in float64 on a kernel that holds all scaling done so far: after the maxima are taken out, every row
    and column has a largest entry of 1, and after each absorption columns sum to their masses, so none vanishes.

    Examples:
        Scaled by them, the ratios have rows and columns that sum to 1:

        >>> import numpy as np, unisono as un
        >>> problem = un.matching.MatchingProblem.one_to_one(np.log([[3.0, 1.0], [1.0, 3.0]]))
        >>> found = un.matching.solve(problem)
        >>> np.exp(found.left[:, None] + problem.log_ratio + found.right).round(2)
        array([[0.75, 0.25],
               [0.25, 0.75]])
    """
    found = start or _start(problem)
    for _ in range(0, max_steps, _STRIDE):
        found, error = _stride(problem, found, tolerance)
        if error < tolerance:
            break
    return found


def _start(problem: MatchingProblem) -> Potentials:
    """Minus the maxima of rows and then of columns."""
    slack = [0.0 if mass > 0 else -np.inf for mass in (problem.left_slack, problem.right_slack)]
    left = -np.maximum(_row_maxima(problem.log_ratio), slack[1])
    if np.isfinite(problem.right_slack):
        slack[1] -= left.max()
    right = -np.maximum(_column_maxima(_shifted(problem.log_ratio, left, np.zeros(len(problem.right_mass)))), slack[0])
    return Potentials(left, np.where(np.isfinite(right), right, 0.0), slack[0], slack[1])


def _stride(problem: MatchingProblem, start: Potentials, tolerance: float) -> tuple[Potentials, float]:
    """The potentials after some scaling steps, and the fraction of mass that columns then miss."""
    kernel = _exp(_shifted(problem.log_ratio, start.left, start.right))
    transposed = kernel.T
    slack_row, slack_column = np.exp(start.left_slack + start.right), np.exp(start.left + start.right_slack)
    mean_left, mean_right = log_mean(start.left), log_mean(start.right)
    share_left, share_right = (
        np.exp(start.left - mean_left) / len(start.left),
        np.exp(start.right - mean_right) / len(start.right),
    )
    beyond_left, beyond_right = problem.beyond
    beyond_left, beyond_right = (
        np.exp(beyond_left + start.left + mean_right),
        np.exp(beyond_right + start.right + mean_left),
    )
    scales_row, scales_column = (0 < mass < np.inf for mass in (problem.left_slack, problem.right_slack))
    total = problem.right_mass.sum() + (problem.right_slack if scales_column else 0.0)
    u, v, u_slack, v_slack, error = problem.left_mass, np.ones(len(problem.right_mass)), 1.0, 1.0, np.inf
    for _ in range(_STRIDE):
        u = problem.left_mass / (kernel @ v + v_slack * slack_column + (share_right @ v) * beyond_left)
        u_slack = float(problem.left_slack / (slack_row @ v)) if scales_row else 1.0
        reached = transposed @ u + u_slack * slack_row + (share_left @ u) * beyond_right
        missed = np.abs(v * reached - problem.right_mass).sum()
        if scales_column:
            missed += abs(v_slack * (u @ slack_column) - problem.right_slack)
        error = float(missed / total)
        if error < tolerance:
            break
        v = np.divide(problem.right_mass, reached, out=np.ones(len(reached)), where=reached > 0)
        v_slack = float(problem.right_slack / (u @ slack_column)) if scales_column else 1.0
    left, right = start.left + np.log(u), start.right + np.log(v)
    return Potentials(left, right, start.left_slack + np.log(u_slack), start.right_slack + np.log(v_slack)), error


def _shifted(log_ratio: LogRatio, rows: Float[np.ndarray, " left"], columns: Float[np.ndarray, " right"]) -> LogRatio:
    """The log ratios with a number added to each row and to each column, in float64."""
    if not sparse.issparse(log_ratio):
        return np.asarray(log_ratio + rows[:, None] + columns)
    return with_values(log_ratio, log_ratio.data + rows[row_of_entries(log_ratio)] + columns[log_ratio.indices])


def _exp(log_ratio: LogRatio) -> LogRatio:
    return with_values(log_ratio, np.exp(log_ratio.data)) if sparse.issparse(log_ratio) else np.exp(log_ratio)


def _row_maxima(log_ratio: LogRatio) -> Float[np.ndarray, " left"]:
    if not sparse.issparse(log_ratio):
        return np.asarray(log_ratio.max(axis=1))
    return np.asarray(np.maximum.reduceat(log_ratio.data, log_ratio.indptr[:-1]))


def _column_maxima(log_ratio: LogRatio) -> Float[np.ndarray, " right"]:
    """−inf for a column without candidates."""
    if not sparse.issparse(log_ratio):
        return np.asarray(log_ratio.max(axis=0))
    largest = np.full(log_ratio.shape[1], -np.inf)
    np.maximum.at(largest, log_ratio.indices, log_ratio.data)
    return largest


def log_mean(potential: Float[np.ndarray, " cell"]) -> float:
    """Log of the mean scaling."""
    largest = potential.max()
    return float(largest + np.log(np.exp(potential - largest).mean()))


def _log_sum_of_rows(log_ratio: LogRatio) -> Float[np.ndarray, " left"]:
    """Log of Σ exp over each row."""
    if not sparse.issparse(log_ratio):
        return np.asarray(logsumexp(log_ratio, axis=1))
    rows, largest = row_of_entries(log_ratio), _row_maxima(log_ratio)
    total = np.bincount(rows, weights=np.exp(log_ratio.data - largest[rows]), minlength=len(largest))
    return np.asarray(largest + np.log(total))


def with_values(graph: sparse.csr_matrix, values: Float[np.ndarray, " entry"]) -> sparse.csr_matrix:
    """The same candidates with other values."""
    return sparse.csr_matrix((values, graph.indices, graph.indptr), shape=graph.shape)


def _as_csr(values: LogRatio) -> sparse.csr_matrix:
    """Dense values as CSR in which every pair is stored."""
    if sparse.issparse(values):
        return values
    n_left, n_right = values.shape
    columns = np.tile(np.arange(n_right), n_left)
    return sparse.csr_matrix((values.ravel(), columns, np.arange(n_left + 1) * n_right), shape=values.shape)
