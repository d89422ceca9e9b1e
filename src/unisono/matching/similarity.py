"""The similarity of two sides' cells as a log density ratio: content, anchors' potentials and depth; pairs no cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
from jaxtyping import Float, Float32
from scipy import sparse

from unisono.config import MatchingConfig
from unisono.limits import LARGE, Limits
from unisono.matching.anchors import Anchors
from unisono.matching.candidates import DEFAULT_K, Labels, Rows, Vectors, nearest
from unisono.matching.inverted_lists import MIN_REFERENCES, candidates_in_lists, is_installed

Depth = Float[np.ndarray, " _"]
"""Log total counts of cells."""

_DEFAULTS = MatchingConfig()


@dataclass(frozen=True)
class DepthTerm:
    """The weight of depth in a match: log density ratio = beta * score + weight * (Gaussian log ratio at r).

    Attributes:
        beta: inverse temperature of the content score.
        weight: 0 ignores depth, 1 takes it as independent of the content.
        r: correlation of log depths between partners.
    """

    beta: Annotated[float, Limits(gt=0, le=LARGE)]
    weight: Annotated[float, Limits(ge=0, le=LARGE)]
    r: Annotated[float, Limits(ge=-1, lt=1)]


def standardise_depth(
    log_depth: Float[np.ndarray, " cell"], groups: Labels | None = None
) -> Float[np.ndarray, " cell"]:
    """Log depth with mean 0 and standard deviation 1 in each group; 0 in a group of equal depths.

    Examples:
        >>> import numpy as np, unisono as un
        >>> log_depth, batch = np.array([1.0, 3.0, 10.0, 14.0]), np.array(["b1", "b1", "b2", "b2"])
        >>> un.matching.standardise_depth(log_depth, batch)
        array([-1.,  1., -1.,  1.])
    """
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
    """Correlation of standardised log depths over partners (row i of both), from 0 to `at_most`; 0 if negative.

    Examples:
        Partners of equal depth, and partners of opposite depth:

        >>> import numpy as np, unisono as un
        >>> depth = np.array([-1.0, 0.0, 1.0])
        >>> un.matching.fit_depth_correlation(depth, depth), un.matching.fit_depth_correlation(depth, -depth)
        (0.95, 0.0)
    """
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

    Examples:
        A left cell above the mean depth has one right cell as deep, and one as far below; the first is likelier:

        >>> import numpy as np, unisono as un
        >>> left, right = un.matching.depth_features(np.array([1.0]), np.array([1.0, -1.0]), r=0.6)
        >>> (left @ right.T).round(2)
        array([[ 0.6 , -1.28]], dtype=float32)
    """
    r = max(r, 0.0)
    if r >= 1.0:
        raise ValueError(f"r={r}: expected a correlation below 1")
    slope, curve = r / (1.0 - r**2), -0.5 * r**2 / (1.0 - r**2)
    alone = curve * left_depth**2 - 0.5 * np.log1p(-(r**2))
    left = np.column_stack([np.sqrt(slope) * left_depth, alone, np.ones_like(left_depth)])
    right = np.column_stack([np.sqrt(slope) * right_depth, np.ones_like(right_depth), curve * right_depth**2])
    return left.astype(np.float32), right.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Similarity:
    """The log density ratio of pairs of cells, of left cell i with vector x_i and right cell j with vector y_j.

        log r_ij = β ⟨x_i, y_j⟩ + a_i + b_j + w log [ p_ρ(d_i, e_j) / (p(d_i) p(e_j)) ],

    with p_ρ the bivariate standard Gaussian of correlation ρ and d, e standardised log depths. The whole is β times an
    inner product of `vectors`, by which candidates are found.

    Attributes:
        left: x, left cell x dimension.
        right: y, right cell x dimension.
        beta: β, inverse temperature, positive.
        potentials: a of left and b of right cells, in nats; None for 0.
        depth_term: w and ρ; None leaves depth out.
        depths: d of left and e of right cells, needed with `depth_term`.
        flattened: the factor by which β was made smaller than the fit selected, as these cells were measured otherwise.

    Raises:
        ValueError: β is no positive number.
    """

    left: Float[np.ndarray, "left dim"]
    right: Float[np.ndarray, "right _"]
    beta: float
    potentials: tuple[Float[np.ndarray, " left"], Float[np.ndarray, " right"]] | None = None
    depth_term: DepthTerm | None = None
    depths: tuple[Float[np.ndarray, " left"], Float[np.ndarray, " right"]] | None = None
    flattened: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.beta < np.inf:
            raise ValueError(f"beta={self.beta}: the inverse temperature must be positive and finite")

    def with_anchors(self, anchors: Anchors) -> Similarity:
        """The same with the potentials that anchors give these cells."""
        return replace(self, potentials=(anchors.swapped().potential(self.left), anchors.potential(self.right)))

    def with_depth(
        self, term: DepthTerm, log_depths: tuple[Depth, Depth], within: tuple[Labels, Labels] | None = None
    ) -> Similarity:
        """The same with the agreement of depths, at the inverse temperature that was fitted with it.

        Args:
            term: the fitted weights.
            log_depths: log total counts of left and of right cells; standardised here, within groups.
            within: group labels of left and of right cells.
        """
        left, right = (standardise_depth(d, g) for d, g in zip(log_depths, within or (None, None), strict=True))
        return replace(self, beta=term.beta, depth_term=term, depths=(left, right))

    def take(self, rows: Rows, columns: Rows) -> Similarity:
        """The similarity of some left and some right cells."""
        potentials, depths = (
            None if pair is None else (pair[0][rows], pair[1][columns]) for pair in (self.potentials, self.depths)
        )
        return replace(self, left=self.left[rows], right=self.right[columns], potentials=potentials, depths=depths)

    @cached_property
    def vectors(self) -> tuple[Vectors, Vectors]:
        """Left and right, cell x dimension, float32: β times their inner product is the log density ratio."""
        left, right = self.left, self.right
        if self.potentials is not None:
            a, b = self.potentials
            left = np.column_stack([left, a / self.beta, np.ones(len(a))]).astype(np.float32)
            right = np.column_stack([right, np.ones(len(b)), b / self.beta]).astype(np.float32)
        if self.depth_term is not None and self.depths is not None:
            left_depth, right_depth = depth_features(*self.depths, self.depth_term.r)
            weight = np.float32(self.depth_term.weight / self.depth_term.beta)
            left, right = np.hstack([left, weight * left_depth]), np.hstack([right, right_depth])
        return left, right

    def log_ratio(self) -> Float[np.ndarray, "left right"]:
        """Log r of every pair, left x right."""
        left, right = self.vectors
        return np.asarray(self.beta * (left @ right.T).astype(np.float64))

    def candidates(self, k: int | None = None) -> sparse.csr_matrix:
        """Log r of the candidates, left x right; see `nearest`, and of very many cells `candidates_in_lists`."""
        left, right = self.vectors
        if len(left) * len(right) > MIN_REFERENCES**2 and is_installed():
            scores = candidates_in_lists(left, right, DEFAULT_K if k is None else k)
        else:
            scores = nearest(left, right, k)
        data = self.beta * scores.data.astype(np.float64)
        return sparse.csr_matrix((data, scores.indices, scores.indptr), shape=scores.shape)
