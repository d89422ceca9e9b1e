"""Orthogonal Procrustes: one side's standardised codes rotated onto the other's; keeps every length and angle."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from unisono_bench.baselines.codes import Codes
from unisono_bench.baselines.matching import PairedCodes, Project


def fit_procrustes(learning: PairedCodes, held_out: PairedCodes, seed: int) -> tuple[Project, Project]:
    """The orthogonal R that minimises ‖x R − y‖, the narrower side padded with zeros. No held-out cells, no seed.

    References:
        Schönemann, "A generalized solution of the orthogonal Procrustes problem", 1966.
    """
    from scipy.linalg import orthogonal_procrustes

    n_dimensions = max(side.shape[1] for side in learning)
    left, right = (_padded(n_dimensions, side.astype(np.float64)) for side in learning)
    rotation, _ = orthogonal_procrustes(left, right)
    return partial(_rotated, rotation), partial(_padded, n_dimensions)


def _rotated(rotation: NDArray[np.float64], x: Codes) -> NDArray[np.float32]:
    return np.asarray(_padded(len(rotation), x) @ rotation, dtype=np.float32)


def _padded(n_dimensions: int, x: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.pad(x, ((0, 0), (0, n_dimensions - x.shape[1])))
