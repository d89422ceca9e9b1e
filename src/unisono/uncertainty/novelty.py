"""Novelty: how far a cell lies from those of training, from codes alone; knows no model and no cell type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono.config import UncertaintyConfig
from unisono.limits import Float32

_SEED = 37

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Novelty:
    """A Gaussian about the training cells of one modality.

    The novelty of a cell is its Mahalanobis distance from their mean, in units of the distance that 95 % of training
    cells stay within when they are read as if unseen and judged by a Gaussian of other training cells.

    Attributes:
        centre: one per code.
        factor: code x code; the distance is the length of (x − centre) @ factor.

    References:
        Mahalanobis, "On the generalised distance in statistics", 1936.
        Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018.
    """

    centre: Float32[np.ndarray, " code"]
    factor: Float32[np.ndarray, "code code"]

    @classmethod
    def fit(cls, x: Array, leave_one_out: Array, config: UncertaintyConfig) -> Novelty:
        """Learn from training cells.

        Args:
            x: their codes, cell x code.
            leave_one_out: the codes that the same cells would have had, had they not been trained on.
            config: quantile and folds.

        Raises:
            ValueError: fewer than 2 cells.
        """
        if len(x) < 2:
            raise ValueError(f"{len(x)} cells: expected 2 or more")
        fold = np.random.default_rng(_SEED).permutation(len(x)) % config.novelty_folds
        distance = np.empty(len(x))
        for k in np.unique(fold):
            distance[fold == k] = _distance(leave_one_out[fold == k], *_gaussian(x[fold != k]))
        centre, factor = _gaussian(x)
        scale = max(float(np.quantile(distance, config.novelty_quantile)), 1e-12)
        return cls(centre.astype(np.float32), (factor / scale).astype(np.float32))

    def rescaled(self, unseen: Array, quantile: float) -> Novelty:
        """The same Gaussian, with this fraction of cells that it has not seen within novelty 1."""
        scale = max(float(np.quantile(self.of(unseen), quantile)), 1e-12)
        return Novelty(self.centre, np.asarray(self.factor / scale, dtype=np.float32))

    def of(self, x: Array) -> Array:
        """The novelty of cells, from their codes, cell x code; 0 or more, and above 1 where it is unusual."""
        return _distance(x, self.centre, self.factor).astype(np.float32)


def _gaussian(x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean, and a square root of the inverse covariance.

    The covariance is pulled towards a multiple of the identity by d / (n + d), as much as if d cells of n were drawn
    from that, so that it can be inverted however few cells there are.
    """
    centre = x.mean(axis=0, dtype=np.float64)
    n_cells, n_codes = x.shape
    covariance = np.cov(x.astype(np.float64) - centre, rowvar=False, ddof=0).reshape(n_codes, n_codes)
    weight = n_codes / (n_cells + n_codes)
    floor = max(float(np.trace(covariance)) / n_codes, 1e-12)
    values, vectors = np.linalg.eigh((1.0 - weight) * covariance + weight * floor * np.eye(n_codes))
    return centre, vectors / np.sqrt(values)


def _distance(x: Array, centre: NDArray[np.floating], factor: NDArray[np.floating]) -> NDArray[np.float64]:
    """In float64: where training cells are all alike, squares of other cells' distances leave float32."""
    length: NDArray[np.float64] = np.linalg.norm((x.astype(np.float64) - centre) @ factor, axis=1)
    return length
