"""The closed-form terms of a prediction, and a ridge to compare it with: fitted to arrays; knows no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Num
from numpy.typing import NDArray

from unisono.config import KernelConfig
from unisono.preprocessing.preprocessor import StandardisedCodes


@dataclass(frozen=True, eq=False)
class ClosedFormTerms:
    """The terms of a prediction from one modality to another in addition to the networks.

    Attributes:
        kernel: predicts the target's batch-centred codes; None where it has no weight.
        kernel_weight: of the kernel in the prediction, 0 to 1.
        depth: weights of the source's relative depth and codes in the target's expected relative depth; None where
            the target's scale is free of depth.
        log_odds_scale: factor of each target feature's deviations from its mean log odds; None where the target is
            not predicted as log odds.
        baseline: what the prediction is compared with, of which it holds nothing; None within a modality and where too
            few cells are paired.
    """

    kernel: KernelRidge | None = None
    kernel_weight: float = 0.0
    depth: NDArray[np.float32] | None = None
    log_odds_scale: NDArray[np.float32] | None = None
    baseline: LinearRidge | None = None

    def expected_depth(self, source: StandardisedCodes) -> NDArray[np.float32] | None:
        """Log depth of each cell in the target relative to the mean of its batch; None where depth does not enter."""
        return None if self.depth is None else np.asarray(_depth_predictors(source) @ self.depth, dtype=np.float32)


def fit_expected_depth(
    source: StandardisedCodes, target_depth: NDArray[np.float32], ridge: float, min_pairs: int
) -> NDArray[np.float32]:
    """Ridge weights of the target's relative log depth on the source's relative log depth and codes.

    In a co-assay a cell that was sequenced deeply in one modality was sequenced deeply in the other, and a large cell
    in both.

    Args:
        source: of paired cells.
        target_depth: relative log depth of the same cells.
        ridge: penalty per cell.
        min_pairs: with fewer cells every weight is zero.

    Returns:
        One weight for depth and one per code.
    """
    if len(target_depth) < min_pairs:
        return np.zeros(1 + source.x.shape[1], dtype=np.float32)
    predictors = _depth_predictors(source).astype(np.float64)
    normal = predictors.T @ predictors + ridge * len(predictors) * np.eye(predictors.shape[1])
    return np.linalg.solve(normal, predictors.T @ target_depth.astype(np.float64)).astype(np.float32)


@dataclass(frozen=True)
class LogOddsShrinkage:
    """Deviations of log odds are multiplied by strength · n / (n + prior), n the training cells with the feature.

    Estimates for a feature seen in a handful of cells are mostly noise. The order of cells, and with it the AUROC of a
    feature, stays as it is; probabilities are calibrated.

    Attributes:
        strength: factor of a feature that was seen often, 0 to 1.
        prior: cells at which half of it is left.
    """

    strength: float
    prior: float

    def scale(self, n_seen: Num[np.ndarray, " feature"]) -> Float32[np.ndarray, " feature"]:
        """The factor of each feature."""
        return np.asarray(self.strength * n_seen / np.maximum(n_seen + self.prior, 1e-12), dtype=np.float32)


def _depth_predictors(source: StandardisedCodes) -> NDArray[np.float32]:
    return np.column_stack([source.relative_depth, source.x])


@dataclass(frozen=True, eq=False)
class LinearRidge:
    """Linear regression of the target's standardised codes on those of the source: what any network should beat.

    Attributes:
        weights: source code x target code.
        intercept: one per target code.
    """

    weights: Float32[np.ndarray, "source target"]
    intercept: Float32[np.ndarray, " target"]

    @classmethod
    def fit(
        cls,
        x: Float32[np.ndarray, "cell source"],
        y: Float32[np.ndarray, "cell target"],
        penalties: Sequence[float],
    ) -> LinearRidge:
        """Ridge of `y` on `x`, row i of both the same cell, at the penalty of the least leave-one-out error.

        References:
            Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", 2009, eq. 7.64 (left out in closed
            form).
        """
        centre, target_centre = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
        centred, target = x - centre, y - target_centre
        values, axes = np.linalg.eigh(centred.T @ centred)
        rotated, strength = centred @ axes, np.maximum(values, 0.0)
        cross = rotated.T @ target

        def error(penalty: float) -> float:
            leverage = 1 / len(x) + np.square(rotated) @ (1 / (strength + penalty))
            gap = target - rotated @ (cross / (strength + penalty)[:, None])
            return float(np.square(gap / (1 - leverage)[:, None]).sum())

        weights = axes @ (cross / (strength + min(penalties, key=error))[:, None])
        return cls(weights.astype(np.float32), (target_centre - centre @ weights).astype(np.float32))

    def predict(self, x: Float32[np.ndarray, "cell source"]) -> Float32[NDArray[np.float32], "cell target"]:
        """Codes of the target, cell x code."""
        return np.asarray(x @ self.weights + self.intercept, dtype=np.float32)


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
    sharpness: float = 1.0

    @classmethod
    def fit(
        cls,
        x: Float32[np.ndarray, "cell source"],
        y: Float32[np.ndarray, "cell target"],
        config: KernelConfig,
        rng: np.random.Generator,
    ) -> KernelRidge:
        """Ridge of `y` on the kernel of `x`, row i of both the same cell; exact up to `config.n_landmarks` cells."""
        chosen = rng.permutation(len(x))[: config.max_cells]
        x, y = _z_scored(x[chosen])[0], y[chosen].astype(np.float64)
        centre = y.mean(axis=0)
        landmarks = x[: config.n_landmarks]
        sharpness, ridge = _best_kernel(x[: config.n_selecting], y[: config.n_selecting], config)
        own = _kernel(landmarks, landmarks, sharpness)
        if len(x) == len(landmarks):
            weights = np.linalg.solve(own + ridge * np.eye(len(own)), y - centre)
        else:
            cross = _kernel(x, landmarks, sharpness)
            jitter = config.jitter * len(x) * np.eye(len(own)) / len(own)
            normal = cross.T @ cross + ridge * own + jitter
            weights = np.linalg.solve(normal, cross.T @ (y - centre))
        return cls(landmarks, weights.astype(np.float32), centre.astype(np.float32), sharpness)

    def predict(self, x: Float32[np.ndarray, "cell source"]) -> Float32[NDArray[np.float32], "cell target"]:
        """Codes of the target, cell x code."""
        result = np.empty((len(x), self.weights.shape[1]), dtype=np.float32)
        for start in range(0, len(x), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            result[rows] = _kernel(_z_scored(x[rows])[0], self.landmarks, self.sharpness) @ self.weights + self.centre
        return result

    def mean_jacobian(self, x: Float32[np.ndarray, "cell source"]) -> Float32[NDArray[np.float32], "target source"]:
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
) -> tuple[float, float]:
    """Sharpness and penalty of the least squared error on left-out cells, in closed form.

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
    _, sharpness, ridge = min(found)
    return sharpness, ridge
