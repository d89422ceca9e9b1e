"""Anchors: training cells that turn the similarity of two cells into a log density ratio; never matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float, Float32, Float64

from unisono.limits import LARGE, Limits
from unisono.matching.log_sum import log_sum_of_similar
from unisono.matching.sinkhorn import MatchingProblem, solve
from unisono.types import Modality, Pair


@dataclass(frozen=True, eq=False)
class Anchors:
    """A sample of the population of each side, with the potentials that normalise similarities to density ratios.

    A contrastive loss learns log p(x, y) / (p(x) p(y)) up to a function of x and one of y. Those two are fixed by
    the density ratio r: its mean over all y is 1 for every x, and the other way round. With anchors x_k, y_k,

        log r(x, y) = β ⟨x, y⟩ + a(x) + b(y),
        a(x) = −log mean_k exp(β ⟨x, y_k⟩ + b(y_k)),   b(y) = −log mean_k exp(β ⟨x_k, y⟩ + a(x_k)).

    On the anchors that is a matching problem in which all rows have one mass and all columns another. a and b raise
    rare cells, which are similar to few others, and lower hubs, which are similar to all. A constant added to all a
    and subtracted from all b changes nothing: their means over the anchors are equal.

    Attributes:
        left: anchor x dimension.
        right: anchor x dimension.
        left_potential: a of each left anchor, in nats.
        right_potential: b of each right anchor, in nats.
        beta: inverse temperature of the inner products.

    References:
        van den Oord et al., "Representation learning with contrastive predictive coding", 2018 (what the loss learns).
    """

    left: Float32[np.ndarray, "left dim"]
    right: Float32[np.ndarray, "right dim"]
    left_potential: Float64[np.ndarray, " left"]
    right_potential: Float64[np.ndarray, " right"]
    beta: Annotated[float, Limits(gt=0, le=LARGE)]

    @classmethod
    def fit(cls, left: Float[np.ndarray, "left dim"], right: Float[np.ndarray, "right dim"], beta: float) -> Anchors:
        """Potentials of anchors.

        Args:
            left: anchor x dimension.
            right: anchor x dimension, of the same population, measured otherwise.
            beta: inverse temperature.

        Raises:
            ValueError: a side has no cells.
        """
        n_left, n_right = len(left), len(right)
        if n_left == 0 or n_right == 0:
            raise ValueError(f"{n_left} left and {n_right} right anchors: expected cells on both sides")
        masses = np.full(n_left, float(n_right)), np.full(n_right, float(n_left))
        scalings = solve(MatchingProblem(beta * (left @ right.T).astype(np.float64), *masses))
        shift = (scalings.left.mean() - scalings.right.mean()) / 2
        return cls(left, right, scalings.left - shift, scalings.right + shift, beta)

    def swapped(self) -> Anchors:
        """The same with left and right exchanged."""
        return Anchors(self.right, self.left, self.right_potential, self.left_potential, self.beta)

    def flattened(self, factor: float) -> Anchors:
        """The same anchors at the inverse temperature times a factor, with the potentials that belong to it."""
        return self if factor == 1.0 else Anchors.fit(self.left, self.right, self.beta * factor)

    def potential(self, right: Float[np.ndarray, "cell dim"]) -> Float[np.ndarray, " cell"]:
        """Potential b of right cells, in nats: minus the log of their mean density ratio to the left anchors."""
        log_total = log_sum_of_similar(right, self.left, self.beta, self.left_potential)
        return np.asarray(np.log(len(self.left)) - log_total)


def mean_potential(
    anchors: Mapping[Pair, Anchors], modality: Modality, vectors: Float[np.ndarray, "cell dim"]
) -> Float[np.ndarray, " cell"]:
    """Potential of cells over β, as it is added to an inner product: the mean over the pairs that a modality is in.

    Examples:
        Three of four anchors are of the first kind. A cell of the second, rare kind is raised above one of the first:

        >>> import numpy as np, unisono as un
        >>> kinds = np.eye(2, dtype=np.float32)
        >>> anchors = un.matching.Anchors.fit(kinds[[0, 0, 0, 1]], kinds[[0, 0, 0, 1]], beta=2.0)
        >>> common, rare = un.matching.mean_potential({("rna", "adt"): anchors}, "adt", kinds)
        >>> bool(rare > common)
        True
    """
    potentials = []
    for (left, right), pair_anchors in anchors.items():
        if modality in (left, right):
            oriented = pair_anchors if modality == right else pair_anchors.swapped()
            potentials.append(oriented.potential(vectors) / pair_anchors.beta)
    return np.asarray(np.mean(potentials, axis=0))
