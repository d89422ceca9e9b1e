"""What a regression is fitted to: the measured target, through its own SVD where features are many; never fits one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from unisono.preprocessing.svd import truncated_svd
from unisono.preprocessing.projection import on_scale
from unisono.types import Modality, View


@final
@dataclass(frozen=True, eq=False)
class TargetSpace:
    """The target's features, or their leading components: value = y @ basis.T + mean, or y + mean without a basis.

    Attributes:
        mean: of each feature over the training cells, on the modality's scale.
        basis: feature x component, orthonormal columns; None where a regression predicts the features themselves.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32] | None

    def values(self, y: NDArray[np.floating]) -> NDArray[np.float32]:
        """Cell x feature from cell x component."""
        features = y if self.basis is None else y.astype(np.float32) @ self.basis.T
        return np.asarray(features + self.mean, dtype=np.float32)


def target_space(
    view: View, n_components: int | None, rng: np.random.Generator
) -> tuple[NDArray[np.float64], TargetSpace]:
    """What to regress on, cell x component and centred on the training mean, and the way back to features.

    Args:
        view: the target in the training cells.
        n_components: of the target's SVD where it has more features than that; None for the features themselves.
        rng: starts the SVD.
    """
    measured = on_scale(view)
    mean = np.asarray(measured.mean(axis=0, dtype=np.float64)).ravel()
    if n_components is None or measured.shape[1] <= n_components:
        return measured.toarray() - mean, TargetSpace(mean.astype(np.float32), None)
    basis = truncated_svd(measured, mean, min(n_components, measured.shape[0] - 1), rng)
    return np.asarray(measured @ basis - mean @ basis), TargetSpace(mean.astype(np.float32), basis)


def clipped(values: NDArray[np.float32], target: Modality) -> NDArray[np.float32]:
    """Values within the range of the modality's scale: 0 to 1 for atac, 0 and above for rna and adt."""
    return np.clip(values, 0.0, 1.0 if target == "atac" else None)
