"""The similarity of two sides' cells as a log density ratio: content, anchors' potentials and depth; pairs no cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy import sparse

from unisono.matching.anchors import Anchors
from unisono.matching.candidates import Labels, Rows, Vectors, nearest
from unisono.matching.depth import Depth, DepthTerm, depth_features, standardise_depth


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

    Raises:
        ValueError: β is no positive number.
    """

    left: Float[np.ndarray, "left dim"]
    right: Float[np.ndarray, "right _"]
    beta: float
    potentials: tuple[Float[np.ndarray, " left"], Float[np.ndarray, " right"]] | None = None
    depth_term: DepthTerm | None = None
    depths: tuple[Float[np.ndarray, " left"], Float[np.ndarray, " right"]] | None = None

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
            of_left, of_right = depth_features(*self.depths, self.depth_term.r)
            weight = np.float32(self.depth_term.weight / self.depth_term.beta)
            left, right = np.hstack([left, weight * of_left]), np.hstack([right, of_right])
        return left, right

    def log_ratio(self) -> Float[np.ndarray, "left right"]:
        """Log r of every pair, left x right."""
        left, right = self.vectors
        return self.beta * (left @ right.T).astype(np.float64)

    def candidates(self, k: int | None = None) -> sparse.csr_matrix:
        """Log r of the candidates, left x right; see `nearest`."""
        scores = nearest(*self.vectors, k)
        data = self.beta * scores.data.astype(np.float64)
        return sparse.csr_matrix((data, scores.indices, scores.indptr), shape=scores.shape)
