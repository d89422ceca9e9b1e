"""Kernel ridge on codes, its length and penalty selected in closed form; knows arrays alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float32, Float64

from unisono.config import KernelConfig
from unisono.limits import LARGE, Limits
from unisono.preprocessing.subset import evenly_spread

_ROWS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class KernelRidge:
    """Regression on the similarity of a cell to landmark cells, k(a, b) = exp(−s |a − b|² / (2 n_codes)).

    Codes are z-scored per cell first, which is instance normalisation with one channel, so |a − b|² ≤ 4 n_codes.

    Attributes:
        landmarks: landmark x source code, z-scored.
        weights: landmark x target code.
        centre: mean target code.
        sharpness: s; with the penalty, that of the least error on left-out cells.

    References:
        The recipe that won RNA → protein in the 2021 challenge: Lance et al., "Multimodal single cell data
        integration challenge", 2022. Landmarks: Rasmussen & Williams, "Gaussian Processes for Machine Learning",
        2006, eq. 8.12 (subset of regressors).
    """

    landmarks: Float32[np.ndarray, "landmark source"]
    weights: Float32[np.ndarray, "landmark target"]
    centre: Float32[np.ndarray, " target"]
    sharpness: Annotated[float, Limits(gt=0, le=LARGE)] = 1.0

    @classmethod
    def fit(
        cls,
        x: Float32[np.ndarray, "cell source"],
        y: Float32[np.ndarray, "cell target"],
        config: KernelConfig,
        rng: np.random.Generator,
        n_selecting_codes: int | None = None,
    ) -> KernelRidge:
        """Ridge of `y` on the kernel of `x`, row i of both the same cell; exact up to `config.n_landmarks` cells.

        Length and penalty are selected for the first codes of `y`, all of them by default.
        """
        chosen = rng.permutation(len(x))[: config.max_cells]
        x, y = _z_scored(x[chosen])[0], y[chosen].astype(np.float64)
        centre = y.mean(axis=0)
        landmarks = x[: config.n_landmarks]
        _, sharpness, ridge = _best_kernel(x[: config.n_selecting], y[: config.n_selecting, :n_selecting_codes], config)
        own = _kernel(landmarks, landmarks, sharpness)
        if len(x) == len(landmarks):
            weights = np.linalg.solve(own + ridge * np.eye(len(own)), y - centre)
        else:
            cross = _kernel(x, landmarks, sharpness)
            jitter = config.jitter * len(x) * np.eye(len(own)) / len(own)
            normal = cross.T @ cross + ridge * own + jitter
            weights = np.linalg.solve(normal, cross.T @ (y - centre))
        return cls(landmarks, weights.astype(np.float32), centre.astype(np.float32), sharpness)

    def predict(self, x: Float32[np.ndarray, "cell source"]) -> Float32[np.ndarray, "cell target"]:
        """Codes of the target, cell x code."""
        result = np.empty((len(x), self.weights.shape[1]), dtype=np.float32)
        for start in range(0, len(x), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            result[rows] = _kernel(_z_scored(x[rows])[0], self.landmarks, self.sharpness) @ self.weights + self.centre
        return result

    def mean_jacobian(self, x: Float32[np.ndarray, "cell source"]) -> Float32[np.ndarray, "target source"]:
        """∂ target code / ∂ source code, mean over cells.

        With z the z-scored code of n entries and σ its deviation, ∂z/∂x = (I − 1 1ᵀ/n − z zᵀ/n) / σ, and a landmark l
        of weight w adds s w k(z, l) / n · (l − z ⟨z, l⟩/n) / σ, as l and z have mean zero.
        """
        n_codes = x.shape[1]
        total = np.zeros((self.weights.shape[1], n_codes))
        for start in range(0, len(x), _ROWS_AT_A_TIME):
            z, deviation = _z_scored(x[start : start + _ROWS_AT_A_TIME])
            likeness = _kernel(z, self.landmarks, self.sharpness) * self.sharpness / (n_codes * deviation)
            along = (likeness * (z @ self.landmarks.T / n_codes)) @ self.weights
            total += self.weights.T @ (likeness.sum(axis=0)[:, None] * self.landmarks) - along.T @ z
        return np.asarray(total / len(x), dtype=np.float32)


def _z_scored(
    x: Float32[np.ndarray, "cell code"],
) -> tuple[Float32[np.ndarray, "cell code"], Float32[np.ndarray, "cell 1"]]:
    """Codes at mean 0 and deviation 1 over the codes of each cell, and the deviation, cell x 1."""
    deviation = np.maximum(x.std(axis=1, keepdims=True), 1e-6)
    return np.asarray((x - x.mean(axis=1, keepdims=True)) / deviation, dtype=np.float32), deviation


def _kernel(
    a: Float32[np.ndarray, "cell code"], b: Float32[np.ndarray, "landmark code"], sharpness: float
) -> Float64[np.ndarray, "cell landmark"]:
    """Rows of both are z-scored, so that |a − b|² = 2 (n_codes − a · b)."""
    n_codes = a.shape[1]
    return np.asarray(np.exp(sharpness * ((a @ b.T).astype(np.float64) / n_codes - 1.0)))


def _best_kernel(
    z: Float32[np.ndarray, "cell source"], y: Float64[np.ndarray, "cell target"], config: KernelConfig
) -> tuple[float, float, float]:
    """The least squared error on left-out cells, in closed form, and the sharpness and penalty that it is with.

    References:
        Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, eq. 5.12.
    """
    target, found = y - y.mean(axis=0), []
    for sharpness in config.sharpnesses:
        values, axes = np.linalg.eigh(_kernel(z, z, sharpness))
        rotated = axes.T @ target
        for ridge in config.ridges:
            shrunk = 1.0 / (np.maximum(values, 0.0) + ridge)
            gap = (axes @ (shrunk[:, None] * rotated)) / (np.square(axes) @ shrunk)[:, None]
            found.append((float(np.square(gap).sum()), sharpness, ridge))
    return min(found)


def left_out_error(
    x: Float32[np.ndarray, "cell source"], y: Float32[np.ndarray, "cell target"], config: KernelConfig
) -> float:
    """Squared error of a kernel ridge of `y` on `x` on cells that are left out one at a time, over that of the mean."""
    chosen = evenly_spread(len(x), config.n_selecting)
    target = y[chosen].astype(np.float64)
    total = float(np.square(target - target.mean(axis=0)).sum())
    return _best_kernel(_z_scored(x[chosen])[0], target, config)[0] / max(total, 1e-12)
