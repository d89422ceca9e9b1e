"""Linear shared spaces in closed form: canonical correlation analysis and orthogonal Procrustes."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from unisono_bench.baselines.codes import Codes
from unisono_bench.baselines.matcher import PairedCodes, Project

N_DIMENSIONS = 20
PENALTY = 0.1
"""Share of a side's mean variance added to each of its variances."""


def fit_cca(learning: PairedCodes, held_out: PairedCodes, seed: int) -> tuple[Project, Project]:
    """Leading canonical directions: U, ρ, V = svd(Cxx^−½ Cxy Cyy^−½), projections x Cxx^−½ U ρ and y Cyy^−½ V ρ.

    Each canonical variate is weighed by its correlation ρ: without, the last of 20 count as much as the first and
    partners rank far lower (FOSCTTM 0.064 instead of 0.054 on pbmc10k_cite, 0.26 instead of 0.15 on snareseq_cortex).
    Held-out cells and seed are not used.

    References:
        Hotelling, "Relations between two sets of variates", 1936.
    """
    left, right, rho = canonical_directions(*learning, N_DIMENSIONS)
    return partial(_projected, left * rho), partial(_projected, right * rho)


def canonical_directions(
    left: Codes, right: Codes, n_dimensions: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Directions of left and of right, code x dimension, and their correlations, largest first.

    Args:
        left: cell x code, centred.
        right: cell x code of the same cells.
        n_dimensions: at most as many as the smaller side has codes.
    """
    x, y = left.astype(np.float64), right.astype(np.float64)
    root_x, root_y = _inverse_root(x.T @ x / len(x)), _inverse_root(y.T @ y / len(y))
    u, rho, vt = np.linalg.svd(root_x @ (x.T @ y / len(x)) @ root_y, full_matrices=False)
    return root_x @ u[:, :n_dimensions], root_y @ vt[:n_dimensions].T, rho[:n_dimensions]


def _inverse_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric inverse square root of the covariance with the penalty on its diagonal."""
    penalty = PENALTY * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 0.0) + penalty)) @ vectors.T)


def _projected(weights: NDArray[np.float64], x: Codes) -> NDArray[np.float32]:
    return np.asarray(x @ weights, dtype=np.float32)


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
