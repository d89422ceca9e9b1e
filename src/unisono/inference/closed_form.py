"""The closed-form terms of a prediction, and a ridge to compare it with: fitted to arrays; knows no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float32, Num
from numpy.typing import NDArray

from unisono.limits import FRACTION, NOT_NEGATIVE
from unisono.preprocessing.kernel_ridge import KernelRidge
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
    kernel_weight: Annotated[float, FRACTION] = 0.0
    depth: Float32[np.ndarray, " predictor"] | None = None
    log_odds_scale: Annotated[Float32[np.ndarray, " feature"] | None, NOT_NEGATIVE] = None
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

    def predict(self, x: Float32[np.ndarray, "cell source"]) -> Float32[np.ndarray, "cell target"]:
        """Codes of the target, cell x code."""
        return np.asarray(x @ self.weights + self.intercept, dtype=np.float32)
