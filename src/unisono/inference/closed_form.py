"""The closed-form terms of a prediction: kernel ridge, expected depth, log-odds shrinkage; trains no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono.inference.kernel_ridge import KernelRidge
from unisono.preprocessing.preprocessor import StandardisedCodes


@dataclass(frozen=True, eq=False)
class ClosedFormTerms:
    """What a prediction from one modality to another has in addition to the networks.

    Attributes:
        kernel: predicts the target's batch-centred codes; None where it has no weight.
        kernel_weight: of the kernel in the prediction, 0 to 1.
        depth: weights of the source's relative depth and codes in the target's expected relative depth; None where
            the target's scale is free of depth.
        log_odds_scale: factor of each target feature's deviations from its mean log odds; None where the target is
            not predicted as log odds.
    """

    kernel: KernelRidge | None = None
    kernel_weight: float = 0.0
    depth: NDArray[np.float32] | None = None
    log_odds_scale: NDArray[np.float32] | None = None

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
    """Deviations of log odds are multiplied by strength · n / (n + prior), n the training cells a peak was open in.

    What was learnt of a peak that was open in a handful of cells is mostly the chance of these cells. The order of
    cells by content, and with it the AUROC of a peak, stays as it is; probabilities are calibrated.

    Attributes:
        strength: of a peak that was open often, 0 to 1.
        prior: open cells at which half of it is left.
    """

    strength: float
    prior: float

    def scale(self, n_open: NDArray[np.floating]) -> NDArray[np.float32]:
        """The factor of each peak."""
        return np.asarray(self.strength * n_open / np.maximum(n_open + self.prior, 1e-12), dtype=np.float32)


def _depth_predictors(source: StandardisedCodes) -> NDArray[np.float32]:
    return np.column_stack([source.relative_depth, source.x])
