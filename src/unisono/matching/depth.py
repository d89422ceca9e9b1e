"""Depth as evidence for a pair: how log total counts of two modalities agree, as vectors; never reads counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from unisono.config import MatchingConfig
from unisono.matching.candidates import Labels

Depth = Float[NDArray[np.floating], " _"]
"""Log total counts of cells."""

_DEFAULTS = MatchingConfig()


@dataclass(frozen=True)
class DepthTerm:
    """How much depth counts in a match: log density ratio = beta * score + weight * (Gaussian log ratio at r).

    Attributes:
        beta: inverse temperature of the content score.
        weight: 0 leaves depth out, 1 takes it as independent of the content.
        r: correlation of log depths between partners.
    """

    beta: float
    weight: float
    r: float


def standardise_depth(
    log_depth: Float[np.ndarray, " cell"], groups: Labels | None = None
) -> Float[np.ndarray, " cell"]:
    """Log depth with mean 0 and standard deviation 1 in each group; 0 where all cells of a group have the same."""
    _, group = np.unique(np.zeros(len(log_depth)) if groups is None else groups, return_inverse=True)
    n_cells = np.bincount(group)
    centred = log_depth - (np.bincount(group, weights=log_depth) / n_cells)[group]
    scale = np.sqrt(np.bincount(group, weights=centred**2) / n_cells)[group]
    is_spread = scale > 1e-9 * np.abs(log_depth).max(initial=1.0)
    return np.divide(centred, scale, out=np.zeros(len(centred)), where=is_spread)


def fit_depth_correlation(
    left_depth: Float[np.ndarray, " cell"],
    right_depth: Float[np.ndarray, " cell"],
    at_most: float = _DEFAULTS.max_depth_correlation,
) -> float:
    """Correlation of standardised log depths over partners (row i of both), from 0 to `at_most`; 0 if negative."""
    if left_depth.std() == 0 or right_depth.std() == 0:
        return 0.0
    r = float(np.corrcoef(left_depth, right_depth)[0, 1])
    return float(np.clip(r, 0.0, at_most))


def depth_features(
    left_depth: Float[np.ndarray, " left"], right_depth: Float[np.ndarray, " right"], r: float
) -> tuple[Float32[np.ndarray, "left 3"], Float32[np.ndarray, "right 3"]]:
    """Vectors of 3 dimensions whose inner product is log p(x, y) / (p(x) p(y)) of a bivariate Gaussian.

    For x and y of mean 0, variance 1 and correlation r the log ratio is

        −½ log(1 − r²) + r x y / (1 − r²) − ½ r² / (1 − r²) · (x² + y²),

    a product of x and y, a term of x alone with the constant, and a term of y alone. With r ≤ 0 all is 0.

    Args:
        left_depth: standardised log depth x of left cells.
        right_depth: standardised log depth y of right cells.
        r: their correlation over partners, below 1.
    """
    r = max(r, 0.0)
    if r >= 1.0:
        raise ValueError(f"r={r}: expected a correlation below 1")
    slope, curve = r / (1.0 - r**2), -0.5 * r**2 / (1.0 - r**2)
    alone = curve * left_depth**2 - 0.5 * np.log1p(-(r**2))
    left = np.column_stack([np.sqrt(slope) * left_depth, alone, np.ones_like(left_depth)])
    right = np.column_stack([np.sqrt(slope) * right_depth, np.ones_like(right_depth), curve * right_depth**2])
    return left.astype(np.float32), right.astype(np.float32)
