"""Kernel ridge from the codes of one modality to those of another: the closed-form company of the networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ALPHA = 1.0
_LANDMARKS, _MAX_CELLS = 1500, 20_000
_JITTER = 1e-4
_ROWS_AT_A_TIME = 8192

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class KernelRidge:
    """Regression on the similarity of a cell to landmark cells, k(a, b) = exp(−|a − b|² / (2 n_codes)).

    Codes are z-scored per cell first, which is instance normalisation with one channel, so |a − b|² ≤ 4 n_codes.

    Attributes:
        landmarks: landmark x source code, z-scored.
        weights: landmark x target code.
        centre: mean target code.

    References:
        The recipe that won RNA → protein in the 2021 challenge: Lance et al., "Multimodal single cell data
        integration challenge", 2022. Landmarks: Rasmussen & Williams, "Gaussian Processes for Machine Learning",
        2006, eq. 8.12 (subset of regressors).
    """

    landmarks: Array
    weights: Array
    centre: Array

    @classmethod
    def fit(cls, x: Array, y: Array, rng: np.random.Generator) -> KernelRidge:
        """Ridge of `y` on the kernel of `x`, row i of both the same cell; exact up to 1,500 cells."""
        chosen = rng.permutation(len(x))[:_MAX_CELLS]
        x, y = _z_scored(x[chosen]), y[chosen].astype(np.float64)
        centre = y.mean(axis=0)
        landmarks = x[:_LANDMARKS]
        own = _kernel(landmarks, landmarks)
        if len(x) == len(landmarks):
            weights = np.linalg.solve(own + _ALPHA * np.eye(len(own)), y - centre)
        else:
            of_cells = _kernel(x, landmarks)
            normal = of_cells.T @ of_cells + _ALPHA * own + _JITTER * len(x) * np.eye(len(own)) / len(own)
            weights = np.linalg.solve(normal, of_cells.T @ (y - centre))
        return cls(landmarks, weights.astype(np.float32), centre.astype(np.float32))

    def predict(self, x: Array) -> Array:
        """Codes of the target, cell x code."""
        result = np.empty((len(x), self.weights.shape[1]), dtype=np.float32)
        for start in range(0, len(x), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            result[rows] = _kernel(_z_scored(x[rows]), self.landmarks) @ self.weights + self.centre
        return result


def _z_scored(x: Array) -> Array:
    deviation = np.maximum(x.std(axis=1, keepdims=True), 1e-6)
    return np.asarray((x - x.mean(axis=1, keepdims=True)) / deviation, dtype=np.float32)


def _kernel(a: Array, b: Array) -> NDArray[np.float64]:
    """Rows of both are z-scored, so that |a − b|² = 2 (n_codes − a · b)."""
    n_codes = a.shape[1]
    return np.asarray(np.exp((a @ b.T).astype(np.float64) / n_codes - 1.0))
