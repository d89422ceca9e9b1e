"""The log of sums of exponentials of similarities, which potentials and reservoirs are made of; holds no matrix."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

_ENTRIES_AT_A_TIME = 2**20
"""Similarities held at a time; the result is the same but for rounding."""


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
