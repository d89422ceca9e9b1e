"""Closed-form terms of a prediction: kernel ridge, expected depth, log-odds shrinkage; trains no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.preprocessor import StandardisedCodes

_PENALTY = 0.02
_MIN_PAIRS = 5


@dataclass(frozen=True, eq=False)
class ClosedFormTerms:
    """The company of the networks from a source to a target.

    Attributes:
        kernel: predicts the target's batch-centred codes; None where it has no share.
        share: of the kernel in the prediction, 0 to 1.
        depth: weights of the source's relative depth and codes in the target's expected relative depth; None where
            the target's scale is free of depth (rna, adt).
        temper: factor of each target feature's deviations from its mean log odds; None where the target has none.
    """

    kernel: KernelRidge | None
    share: float
    depth: NDArray[np.float32] | None
    log_odds_shrinkage: NDArray[np.float32] | None = None

    def expected_depth(self, source: StandardisedCodes) -> NDArray[np.float32] | None:
        """Log depth of each cell in the target, about the mean of its batch; None where none enters."""
        return None if self.depth is None else np.asarray(_predictors(source) @ self.depth, dtype=np.float32)


def fit_depth(source: StandardisedCodes, target_depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ridge weights of the target's relative log depth on the source's relative log depth and codes.

    In a co-assay a cell that was read deeply in one modality was read deeply in the other, and a large cell in both.

    Args:
        source: of paired cells.
        target_depth: of the same cells.

    Returns:
        One weight for depth and one a code; all zero where there are too few pairs to learn from.
    """
    if len(target_depth) < _MIN_PAIRS:
        return np.zeros(1 + source.x.shape[1], dtype=np.float32)
    predictors = _predictors(source).astype(np.float64)
    normal = predictors.T @ predictors + _PENALTY * len(predictors) * np.eye(predictors.shape[1])
    return np.linalg.solve(normal, predictors.T @ target_depth.astype(np.float64)).astype(np.float32)


def _predictors(source: StandardisedCodes) -> NDArray[np.float32]:
    return np.column_stack([source.relative_depth, source.x])
