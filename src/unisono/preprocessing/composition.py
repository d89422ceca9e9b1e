"""Clusters of training codes: how far the mean of a new batch is its offset, and how far what its cells are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64
from numpy.typing import NDArray

from unisono.config import PreprocessingConfig
from unisono.limits import FRACTION, MANY, POSITIVE, Limits
from unisono.preprocessing.subset import evenly_spread

_MIN_VARIANCE = 1e-3
"""Added to the variance within clusters, in units of scaled codes, so that no code decides alone."""
_STEPS = 15
"""Steps of expectation maximisation of the fractions of clusters; they hardly move after ten."""
_SEED = 61
_MIN_DEVIATION = 1e-6
_MAX_FACTOR = 4.0
"""Largest factor of deviations, and inverse of the smallest."""


class Place(NamedTuple):
    """How a new batch lies among training cells.

    Attributes:
        share: of its mean that is its offset, 0 to 1.
        factor: of its deviations from the mean, one per code.
        log_likelihood: mean log density of its cells then, in nats but for a constant, less the penalty of factors.
    """

    share: float
    factor: Float64[np.ndarray, " code"]
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class CodeClusters:
    """A mixture of Gaussians of one diagonal covariance, at the centres of clusters of training cells.

    Attributes:
        centres: cluster x code.
        variance: of each code within clusters.
        shares: shares of a batch's mean to select from, 0 to 1.
        n_cells: most cells of a batch that select.
    """

    centres: Float32[np.ndarray, "cluster code"]
    variance: Annotated[Float64[np.ndarray, " code"], POSITIVE]
    shares: Annotated[tuple[float, ...], FRACTION]
    n_cells: Annotated[int, Limits(ge=1, le=MANY)]

    @classmethod
    def fit(cls, x: Float[np.ndarray, "cell code"], config: PreprocessingConfig, seed: int) -> CodeClusters:
        """k-means of batch-centred codes of training cells, as if left out of the projection's fit."""
        from scipy.cluster.vq import kmeans2

        rng = np.random.default_rng([seed, _SEED])
        x = x[rng.permutation(len(x))[: config.n_clustered_cells]].astype(np.float64)
        n_distinct = len(np.unique(x, axis=0))
        n_clusters = max(1, min(config.n_clusters, len(x) // config.min_cluster_cells, n_distinct))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of clusters without cells, which are left out
            centres, label = kmeans2(x, n_clusters, minit="++", seed=rng)
        kept = np.unique(label)
        variance = np.square(x - centres[label]).mean(axis=0) + _MIN_VARIANCE
        return cls(centres[kept].astype(np.float32), variance, tuple(config.offset_shares), config.n_clustered_cells)

    def place(
        self,
        scaled: Float[np.ndarray, "cell code"],
        mean: Float[np.ndarray, " code"],
        prior_cells: float,
        powers: tuple[float, ...] = (0.0,),
    ) -> Place:
        """The share of a new batch's mean, and factors of its deviations, under which it lies best among training.

        With how much of every cluster there is left free. Cells of one type of a batch that was measured like training
        lie among those of their type as they are (0); cells of all types that were measured otherwise lie there only
        when their mean is taken off (1). Factors make the batch deviate as a mixture of clusters would that is mixed
        like it, to one of some powers; the density of its cells is multiplied by their product, and they have to be
        worth the freedom that they are, by the Bayesian information criterion.

        Args:
            scaled: codes of the batch.
            mean: of the batch.
            prior_cells: cells that factors of 1 count as much as.
            powers: of the factors, to select from; 0 makes them 1.
        """
        cells, offset = scaled[self.some(len(scaled))].astype(np.float64), mean.astype(np.float64)
        centre, own = cells.mean(axis=0), cells.std(axis=0)
        found = []
        for share in self.shares:
            if max(powers) > 0:
                expected = mixture_deviation(self.fractions(cells - share * offset), self.centres, self.variance)
                factors = bounded_factors(expected, own, len(cells), prior_cells)
            else:
                factors = np.ones(len(own))
            for power in powers:
                factor = factors**power
                moved = centre + (cells - centre) * factor - share * offset
                gained = float(np.log(factor).sum()) - bic_penalty(len(factor) if power else 0, len(cells))
                found.append(Place(share, factor, self.log_likelihood(moved) + gained))
        return max(found, key=lambda place: place.log_likelihood)

    def some(self, n_cells: int) -> NDArray[np.intp]:
        """Evenly spread ones of so many cells, as many as a selection needs."""
        return evenly_spread(n_cells, self.n_cells)

    def nearest(self, x: Float[np.ndarray, "cell code"]) -> NDArray[np.intp]:
        """The cluster of each cell."""
        scale = np.sqrt(self.variance)
        return np.asarray(_squared_distances(x / scale, self.centres / scale).argmin(axis=1))

    def log_likelihood(self, x: Float[np.ndarray, "cell code"]) -> float:
        """Mean log density of cells, in nats but for a constant, under the fractions of clusters that suit them."""
        log_density = self._log_density(x)
        largest, weight = _weights(log_density + np.log(self._fractions(log_density)))
        return float((largest + np.log(weight.sum(axis=1, keepdims=True))).mean())

    def fractions(self, x: Float[np.ndarray, "cell code"]) -> Float64[np.ndarray, " cluster"]:
        """Of cells, the fraction that belongs to each cluster."""
        return self._fractions(self._log_density(x))

    def _log_density(self, x: Float[np.ndarray, "cell code"]) -> Float64[np.ndarray, "cell cluster"]:
        return -0.5 * _squared_distances(x / np.sqrt(self.variance), self.centres / np.sqrt(self.variance))

    def _fractions(self, log_density: Float64[np.ndarray, "cell cluster"]) -> Float64[np.ndarray, " cluster"]:
        fraction = np.full(len(self.centres), 1.0 / len(self.centres))
        for _ in range(_STEPS):
            weight = _weights(log_density + np.log(fraction))[1]
            belongs = weight / weight.sum(axis=1, keepdims=True)
            fraction = (belongs.sum(axis=0) + 1.0) / (len(log_density) + len(fraction))
        return np.asarray(fraction)


def mixture_deviation(
    fractions: Float[np.ndarray, " cluster"],
    means: Float[np.ndarray, "cluster dim"],
    variances: Float[np.ndarray, "*cluster dim"],
) -> Float64[np.ndarray, " dim"]:
    """Standard deviation of each coordinate of a mixture."""
    mean = fractions @ means.astype(np.float64)
    square = fractions @ (np.broadcast_to(variances, means.shape) + means.astype(np.float64) ** 2)
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0.0)))


def bounded_factors(
    expected: Float[np.ndarray, " dim"], own: Float[np.ndarray, " dim"], n_cells: int, prior_cells: float
) -> Float64[np.ndarray, " dim"]:
    """From deviations of a batch to those that are expected, towards 1 where cells are few; 1 where either is 0."""
    varies = (own > _MIN_DEVIATION) & (expected > _MIN_DEVIATION)
    ratio = np.divide(expected, own, out=np.ones(len(own)), where=varies)
    log_ratio = np.clip(np.log(ratio), -np.log(_MAX_FACTOR), np.log(_MAX_FACTOR))
    return np.asarray(np.exp(log_ratio * n_cells / (n_cells + prior_cells)))


def bic_penalty(n_parameters: int, n_cells: int) -> float:
    """What so many free parameters have to add to the mean log-likelihood of cells.

    References:
        Schwarz, "Estimating the dimension of a model", 1978.
    """
    return 0.5 * n_parameters * float(np.log(n_cells)) / n_cells


def _weights(
    log_joint: Float64[np.ndarray, "cell cluster"],
) -> tuple[Float64[np.ndarray, "cell 1"], Float64[np.ndarray, "cell cluster"]]:
    """The log of the largest joint density of each cell, as a column, and joint densities as shares of it."""
    largest = log_joint.max(axis=1, keepdims=True)
    return largest, np.exp(log_joint - largest)


def _squared_distances(
    a: Float[np.ndarray, "cell code"], b: Float[np.ndarray, "cluster code"]
) -> Float64[np.ndarray, "cell cluster"]:
    lengths = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.asarray(lengths - 2.0 * a @ b.T, dtype=np.float64)
