"""Co-moments of truth and prediction, from which correlations follow, a block at a time; never sees names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unisono.metrics.arrays import Floats, Values


class Correlations(NamedTuple):
    """Correlations of several lanes (features or cells), −1 to 1, and how many of them are not defined.

    A correlation is not defined, and scores 0, where truth or prediction is constant or holds a non-finite value.
    """

    values: Floats
    n_undefined: int

    @property
    def mean(self) -> float:
        """Over all lanes, undefined ones counting as 0."""
        return float(self.values.mean())


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and sums of squares of n pairs (truth, prediction) in each of several lanes.

    Attributes:
        n: pairs in a lane.
        mean: 2 x lane, of truth and of prediction.
        squares: 3 x lane, Σ (x − x̄)², Σ (y − ȳ)² and Σ (x − x̄)(y − ȳ).
        low: 2 x lane, the smallest truth and the smallest prediction.
        high: 2 x lane, the largest ones; what is as low as it is high is constant, exactly.
    """

    n: int
    mean: Floats
    squares: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, truth: Values, prediction: Values, axis: int) -> Moments:
        """The moments along an axis of two dense arrays: over cells (0, one lane per feature) or over features (1)."""
        n = truth.shape[axis]
        if n == 0:
            raise ValueError(f"values of shape {truth.shape}: a correlation needs at least one along axis {axis}")
        x, y = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
        lanes = "ij,ij->j" if axis == 0 else "ij,ij->i"
        with np.errstate(invalid="ignore"):  # of infinite values: their lanes become NaN, which counts as undefined
            mean = np.stack([x.mean(axis=axis), y.mean(axis=axis)])
            dx, dy = x - np.expand_dims(mean[0], axis), y - np.expand_dims(mean[1], axis)
            squares = np.stack([np.einsum(lanes, a, b) for a, b in ((dx, dx), (dy, dy), (dx, dy))])
        low, high = (np.stack([extreme(x, axis=axis), extreme(y, axis=axis)]) for extreme in (np.min, np.max))
        return cls(n, mean, squares, low, high)

    def joined(self, other: Moments) -> Moments:
        """Of the pairs of both, lane by lane.

        References:
            Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979.
        """
        n = self.n + other.n
        step = other.mean - self.mean
        return Moments(
            n,
            self.mean + step * (other.n / n),
            self.squares + other.squares + _products(step) * (self.n * other.n / n),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def pooled(self) -> Moments:
        """Of the pairs of all lanes, as one lane."""
        mean = self.mean.mean(axis=1, keepdims=True)
        between = self.n * _products(self.mean - mean).sum(axis=1, keepdims=True)
        return Moments(
            self.n * self.mean.shape[1],
            mean,
            self.squares.sum(axis=1, keepdims=True) + between,
            self.low.min(axis=1, keepdims=True),
            self.high.max(axis=1, keepdims=True),
        )

    def correlations(self) -> Correlations:
        """Pearson's: Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² Σ (y − ȳ)²), 0 where that is 0 / 0 or not finite."""
        scale = np.sqrt(self.squares[0]) * np.sqrt(self.squares[1])
        is_defined = (self.low != self.high).all(axis=0) & np.isfinite(scale) & (scale > 0)
        values = np.divide(self.squares[2], scale, out=np.zeros(len(scale)), where=is_defined)
        return Correlations(np.clip(values, -1.0, 1.0), int((~is_defined).sum()))


def _products(difference: Floats) -> Floats:
    return np.stack([difference[0] ** 2, difference[1] ** 2, difference[0] * difference[1]])
