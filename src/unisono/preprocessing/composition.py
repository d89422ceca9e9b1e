"""Clusters of training codes: how far the mean of a new batch is its offset, and how far what its cells are."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy.special import logsumexp

from unisono.config import PreprocessingConfig

_MIN_VARIANCE = 1e-3
"""Added to the variance within clusters, in units of scaled codes, so that no code decides alone."""
_STEPS = 15
"""Steps of expectation maximisation of the fractions of clusters; they hardly move after ten."""
_SEED = 61


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
    variance: Float64[np.ndarray, " code"]
    shares: tuple[float, ...]
    n_cells: int

    @classmethod
    def fit(cls, x: Float[np.ndarray, "cell code"], config: PreprocessingConfig, seed: int) -> CodeClusters:
        """k-means of batch-centred codes of training cells, as if left out of the projection's fit."""
        from scipy.cluster.vq import kmeans2

        rng = np.random.default_rng([seed, _SEED])
        x = x[rng.permutation(len(x))[: config.n_clustered_cells]].astype(np.float64)
        n_clusters = max(1, min(config.n_clusters, len(x) // config.min_cluster_cells))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of clusters without cells, which are left out
            centres, label = kmeans2(x, n_clusters, minit="++", seed=rng)
        kept = np.unique(label)
        variance = np.square(x - centres[label]).mean(axis=0) + _MIN_VARIANCE
        return cls(centres[kept].astype(np.float32), variance, tuple(config.offset_shares), config.n_clustered_cells)

    def share(self, scaled: Float[np.ndarray, "cell code"], mean: Float[np.ndarray, " code"]) -> float:
        """The share of a new batch's mean under which its cells lie best among the training cells, 0 to 1.

        With how much of every cluster there is left free. Cells of one type of a batch that was measured like training
        lie among those of their type as they are (0); cells of all types that were measured otherwise lie there only
        when their mean is taken off (1).
        """
        rows = np.unique(np.linspace(0, len(scaled) - 1, min(len(scaled), self.n_cells)).astype(np.intp))
        cells, offset = scaled[rows].astype(np.float64), mean.astype(np.float64)
        return max(self.shares, key=lambda share: self.log_likelihood(cells - share * offset))

    def log_likelihood(self, x: Float[np.ndarray, "cell code"]) -> float:
        """Mean log density of cells, in nats but for a constant, under the fractions of clusters that suit them."""
        distance = _squared_distances(x / np.sqrt(self.variance), self.centres / np.sqrt(self.variance))
        log_density = -0.5 * distance
        fraction = np.full(len(self.centres), 1.0 / len(self.centres))
        for _ in range(_STEPS):
            joint = log_density + np.log(fraction)
            belongs = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
            fraction = (belongs.sum(axis=0) + 1.0) / (len(x) + len(fraction))
        return float(logsumexp(log_density + np.log(fraction), axis=1).mean())


def _squared_distances(
    a: Float[np.ndarray, "cell code"], b: Float[np.ndarray, "cluster code"]
) -> Float64[np.ndarray, "cell cluster"]:
    lengths = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)
    return np.asarray(lengths - 2.0 * a @ b.T, dtype=np.float64)
