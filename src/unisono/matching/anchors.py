"""Anchors: training cells that turn the similarity of two cells into a log density ratio; never matches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from unisono.matching.candidates import Vectors

N_ANCHORS = 1000
"""Most anchors of a side."""

Potential = NDArray[np.float64]

_N_ITER = 100
_ROUNDS_AT_A_TIME = 10
_TOLERANCE = 1e-4
_CELLS_AT_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class Anchors:
    """Cells that stand for the population of each side, with what makes densities of their similarities.

    A contrastive loss learns log p(x, y) / (p(x) p(y)) up to a function of x and one of y. Those two are fixed by what
    a density ratio r is: averaged over all y it is 1 for every x, and the other way round. With anchors x_k, y_k,

        log r(x, y) = β ⟨x, y⟩ + a(x) + b(y),
        a(x) = −log mean_k exp(β ⟨x, y_k⟩ + b(y_k)),   b(y) = −log mean_k exp(β ⟨x_k, y⟩ + a(x_k)),

    which Sinkhorn's iteration solves on the anchors. a and b lift cells of rare kinds, which are like few others, and
    lower those that are like everybody (hubs).

    Attributes:
        left: anchor x dimension.
        right: anchor x dimension.
        left_potential: a of each left anchor, in nats.
        right_potential: b of each right anchor, in nats.
        beta: inverse temperature of the inner products.

    References:
        van den Oord et al., "Representation learning with contrastive predictive coding", 2018 (what the loss learns).
        Sinkhorn, "Diagonal equivalence to matrices with prescribed row and column sums", 1967.
    """

    left: Vectors
    right: Vectors
    left_potential: Potential
    right_potential: Potential
    beta: float

    @classmethod
    def fit(cls, left: Vectors, right: Vectors, beta: float) -> Anchors:
        """Potentials of anchors.

        Args:
            left: anchor x dimension.
            right: anchor x dimension, of the same population, measured otherwise.
            beta: inverse temperature.

        Raises:
            ValueError: a side has no cells.
        """
        if len(left) == 0 or len(right) == 0:
            raise ValueError(f"{len(left)} left and {len(right)} right anchors: a population is wanted on both sides")
        a, b = _potentials(beta * (left @ right.T).astype(np.float64))
        return cls(left, right, a, b, beta)

    def swapped(self) -> Anchors:
        """The same with left and right changed over."""
        return Anchors(self.right, self.left, self.right_potential, self.left_potential, self.beta)

    def normalised(self, left: Vectors, right: Vectors, beta: float) -> tuple[Vectors, Vectors]:
        """The vectors with two dimensions more: `beta` times their inner product has a(x) and b(y) added.

        Args:
            left: left cell x dimension.
            right: right cell x dimension.
            beta: what the inner product will be multiplied by; potentials are those of the anchors' own.
        """
        a = self.swapped().potential(right=left)
        b = self.potential(right=right)
        ones = np.ones(len(left)), np.ones(len(right))
        return _beside(left, a / beta, ones[0]), _beside(right, ones[1], b / beta)

    def potential(self, right: Vectors) -> Potential:
        """Potential b of right cells, in nats: minus the log of their mean likeness to the left anchors."""
        found = np.empty(len(right))
        for start in range(0, len(right), _CELLS_AT_A_TIME):
            some = slice(start, start + _CELLS_AT_A_TIME)
            scores = self.beta * (right[some] @ self.left.T).astype(np.float64)
            found[some] = np.log(len(self.left)) - logsumexp(scores + self.left_potential, axis=1)
        return found


def _potentials(scores: Potential) -> tuple[Potential, Potential]:
    """The a and b under which exp(scores + a + b) averages to 1 over every row and every column.

    Scaling a matrix of ratios is much faster than sums of logarithms, and as exact while no factor is extreme: so the
    factors are absorbed into the ratios every few rounds, the first of which is in logarithms.

    References:
        Schmitzer, "Stabilized sparse scaling algorithms for entropy regularized transport problems", 2019.
    """
    n_left, n_right = scores.shape
    a = np.log(n_right) - logsumexp(scores, axis=1)
    b = np.log(n_left) - logsumexp(scores + a[:, None], axis=0)
    for _ in range(_N_ITER // _ROUNDS_AT_A_TIME):
        ratio = np.exp(scores + a[:, None] + b)
        u, v = np.ones(n_left), np.ones(n_right)
        for _ in range(_ROUNDS_AT_A_TIME):
            before = u
            u = n_right / (ratio @ v)
            v = n_left / (u @ ratio)
        a, b = a + np.log(u), b + np.log(v)
        if np.abs(np.log(u / before)).max() < _TOLERANCE:
            break
    return a, b


def _beside(vectors: Vectors, *columns: Potential) -> Vectors:
    return np.column_stack([vectors, *columns]).astype(np.float32)
