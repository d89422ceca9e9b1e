"""The log of sums of exponentials of similarities, which potentials and reservoirs are made of; holds no matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64
from scipy import sparse

from unisono.matching.sample import sample

_ENTRIES_AT_A_TIME = 2**20
"""Similarities held at a time; the result is the same but for rounding."""
_MAX_SAMPLED = 1024
"""Cells that stand for all those beyond the candidates: no single one of these has much of the sum."""
_SEED = 37


def log_sum_of_similar(
    cells: Float[np.ndarray, "cell dim"],
    others: Float[np.ndarray, "other dim"],
    beta: float,
    potential: Float[np.ndarray, " other"],
) -> Float64[np.ndarray, " cell"]:
    """Log Σ_j exp(β ⟨x_i, y_j⟩ + p_j) of each cell i over all others j, in nats.

    Exponentials are taken in float32, about the largest of a row: of an exponent of 100 they err by 1 in 100,000.

    Args:
        cells: x, cell x dimension.
        others: y, other x dimension; one or more.
        beta: β, inverse temperature.
        potential: p, in nats.
    """
    found = np.empty(len(cells))
    scaled, shift = np.asarray(beta * others, dtype=np.float32), potential.astype(np.float32)
    size = max(1, _ENTRIES_AT_A_TIME // len(others))
    for start in range(0, len(cells), size):
        some = slice(start, start + size)
        exponent = cells[some].astype(np.float32, copy=False) @ scaled.T
        exponent += shift
        largest = exponent.max(axis=1, keepdims=True)
        exponent -= largest
        np.exp(exponent, out=exponent)
        found[some] = np.log(exponent.sum(axis=1, dtype=np.float64)) + largest[:, 0]
    return found


def log_sum_beyond(
    cells: Float[np.ndarray, "cell dim"],
    others: Float[np.ndarray, "other dim"],
    beta: float,
    potential: Float[np.ndarray, " other"],
    candidates: sparse.csr_matrix,
) -> Float64[np.ndarray, " cell"]:
    """As `log_sum_of_similar`, over the others that are no candidates of a cell; −inf for none.

    Of many others, a random sample is summed, and stands for all of them.

    Args:
        cells: x, cell x dimension.
        others: y, other x dimension.
        beta: β, inverse temperature.
        potential: p, in nats.
        candidates: cell x other; which entries are stored tells.
    """
    n_cells, n_others = candidates.shape
    drawn = sample(others, _MAX_SAMPLED, _SEED)
    place = np.full(n_others, -1, dtype=np.int32)
    place[drawn] = np.arange(len(drawn))
    found = np.full(n_cells, -np.inf)
    scaled, shift = np.asarray(beta * others[drawn], dtype=np.float32), potential[drawn].astype(np.float32)
    size = max(1, _ENTRIES_AT_A_TIME // len(drawn))
    for start in range(0, n_cells, size):
        some = slice(start, min(start + size, n_cells))
        exponent = cells[some].astype(np.float32, copy=False) @ scaled.T
        exponent += shift
        entries = slice(candidates.indptr[some.start], candidates.indptr[some.stop])
        column = place[candidates.indices[entries]]
        row = np.repeat(np.arange(len(exponent)), np.diff(candidates.indptr[some.start : some.stop + 1]))
        exponent[row[column >= 0], column[column >= 0]] = -np.inf
        largest = np.maximum(exponent.max(axis=1, keepdims=True), np.finfo(np.float32).min)
        exponent -= largest
        np.exp(exponent, out=exponent)
        with np.errstate(divide="ignore"):
            found[some] = np.log(exponent.sum(axis=1, dtype=np.float64)) + largest[:, 0]
    return np.asarray(found + np.log(n_others / len(drawn)))
