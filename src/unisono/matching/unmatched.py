"""Whether a cell's partner is there at all: scaling with a slack row and column; never says which cell it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unisono.matching.candidates import Vectors

MAX_CELLS = 2000
"""Cells of a side that are scaled against each other; of more, so many are drawn and stand for all."""

_N_ITER = 500
_TOLERANCE = 1e-5
_LARGEST_LOG_RATIO = 50.0
_CELLS_AT_A_TIME = 4096
_SEED = 31

Probabilities = NDArray[np.float64]


def unmatched_probability(
    left: Vectors, right: Vectors, *, beta: float, prior_unmatched: float
) -> tuple[Probabilities, Probabilities]:
    """The probability that a cell's partner is not on the other side, for left and for right cells.

    The model: so many pairs, drawn without regard to content, of M = (1 − unmatched) · min(n_left, n_right) partners.
    A matching then has probability proportional to the product over its pairs of κ r, with r the density ratio and
    κ = M / ((n_left − M) (n_right − M)), the odds that two cells drawn at random are partners. In the approximation of
    Sinkhorn with a slack row and a slack column of weight 1, the probabilities u of left and v of right cells to be
    without a partner solve

        u_i (1 + κ Σ_j r_ij v_j) = 1,   v_j (1 + κ Σ_i r_ij u_i) = 1.

    Cells whose like is as frequent on both sides get about u = 1 − M / n_left. Cells of a kind that the other side
    lacks find r small everywhere and u goes to 1, whatever `prior_unmatched` says; those of a kind that is rarer
    there share what there is.

    Args:
        left: left cell x dimension.
        right: right cell x dimension.
        beta: `beta` times an inner product is log r.
        unmatched: share of the smaller side that lacks its partner, for all one knows before looking; above 0 and
            below 1.

    References:
        Sarlin et al., "SuperGlue: learning feature matching with graph neural networks", CVPR 2020 (slack).
        Chapel et al., "Partial optimal transport with applications on positive-unlabeled learning", 2020.
    """
    if not 0 < prior_unmatched < 1:
        raise ValueError(f"unmatched={prior_unmatched}: a share above 0 and below 1 is wanted")
    n_left, n_right = len(left), len(right)
    n_pairs = (1.0 - prior_unmatched) * min(n_left, n_right)
    odds = n_pairs / ((n_left - n_pairs) * (n_right - n_pairs))
    rows, columns = _some(n_left), _some(n_right)
    ratio = _ratios(left[rows], right[columns], beta)
    weights = odds * n_left / len(rows), odds * n_right / len(columns)
    u, v = np.full(len(rows), 1.0 - n_pairs / n_left), np.full(len(columns), 1.0 - n_pairs / n_right)
    for _ in range(_N_ITER):
        before = u
        u = 1.0 / (1.0 + weights[1] * (ratio @ v))
        v = 1.0 / (1.0 + weights[0] * (u @ ratio))
        if np.abs(u - before).max() < _TOLERANCE:
            break
    return (
        _of_all(left, right[columns], weights[1] * v, beta),
        _of_all(right, left[rows], weights[0] * u, beta),
    )


def _of_all(cells: Vectors, others: Vectors, weight: Probabilities, beta: float) -> Probabilities:
    found = np.empty(len(cells))
    for start in range(0, len(cells), _CELLS_AT_A_TIME):
        some = slice(start, start + _CELLS_AT_A_TIME)
        found[some] = 1.0 / (1.0 + _ratios(cells[some], others, beta) @ weight)
    return found


def _ratios(left: Vectors, right: Vectors, beta: float) -> NDArray[np.float64]:
    log_ratio = beta * (left @ right.T).astype(np.float64)
    np.minimum(log_ratio, _LARGEST_LOG_RATIO, out=log_ratio)
    ratio: NDArray[np.float64] = np.exp(log_ratio, out=log_ratio)
    return ratio


def _some(n_cells: int) -> NDArray[np.intp]:
    """All cells, or as many as are scaled, drawn without regard to their order in the file."""
    if n_cells <= MAX_CELLS:
        return np.arange(n_cells)
    return np.random.default_rng(_SEED).choice(n_cells, MAX_CELLS, replace=False)
