"""Codes made comparable: a batch's offset taken out, one scale a component; sees codes and batch names alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Statistics of one modality's codes over the training cells.

    Attributes:
        mean: of all cells, one per component.
        scale: one per component: the geometric mean of its standard deviation and of the largest one, so that strong
            components stay strong and noise is not blown up.
        batches: names of the training batches.
        offsets: batch x component, how far the mean of a batch lies from `mean`, in units of `scale`; shrunk
            by as much as chance would make batches differ, see `shrinkage_factor`.
        depth: mean and standard deviation of log total counts.
        batch_depths: mean log total counts of each batch.
        prior_cells: a new batch's mean counts as much as this many cells at the modality's mean.
    """

    mean: Float64[np.ndarray, " code"]
    scale: Float64[np.ndarray, " code"]
    batches: Shaped[np.ndarray, " batch"]
    offsets: Float32[np.ndarray, "batch code"]
    depth: Float64[np.ndarray, "statistic=2"]
    batch_depths: Float64[np.ndarray, " batch"]
    prior_cells: float

    @classmethod
    def fit(
        cls,
        codes: Float[np.ndarray, "cell code"],
        batch: Shaped[np.ndarray, " cell"],
        log_depth: Float64[np.ndarray, " cell"],
        prior_cells: float,
    ) -> Standardisation:
        """Statistics of the codes of training cells; arguments as of the attributes."""
        mean = codes.mean(axis=0, dtype=np.float64)
        batches = np.unique(batch)
        means = np.stack([codes[batch == name].mean(axis=0, dtype=np.float64) for name in batches])
        residual = codes - means[np.searchsorted(batches, batch)]
        deviation = np.maximum(residual.std(axis=0), 1e-6)
        scale = np.sqrt(deviation * deviation.max())
        depth = np.array([log_depth.mean(), max(float(log_depth.std()), 1e-6)])
        offsets = (means - mean) * shrinkage_factor(codes, batch) / scale
        batch_depths = np.array([log_depth[batch == name].mean() for name in batches])
        return cls(mean, scale, batches, offsets.astype(np.float32), depth, batch_depths, prior_cells)

    def with_batches(
        self,
        scaled: Float[np.ndarray, "cell code"],
        batch: Shaped[np.ndarray, " cell"],
        log_depth: Float64[np.ndarray, " cell"],
    ) -> Standardisation:
        """The same statistics with those batches added that are new, with offsets estimated from these cells.

        Args:
            scaled: scaled codes of cells of the new batches; a batch that is known already stays as it is.
            batch: of each cell.
            log_depth: of each cell.
        """
        new = np.setdiff1d(batch, self.batches)
        offsets = [self.shrunken_mean(scaled[batch == name]) for name in new]
        relative = [self.shrunken_mean(log_depth[batch == name] - self.depth[0]) for name in new]
        return replace(
            self,
            batches=np.concatenate([self.batches, new]),
            offsets=np.stack([*self.offsets, *offsets]),
            batch_depths=np.concatenate([self.batch_depths, self.depth[0] + np.asarray(relative, dtype=np.float64)]),
        )

    def scaled(self, codes: Float[np.ndarray, "cell code"]) -> Float32[np.ndarray, "cell code"]:
        """Codes about the modality's mean, their batch's offset still in them."""
        return np.asarray((codes - self.mean) / self.scale, dtype=np.float32)

    def offset_of(
        self, scaled: Float[np.ndarray, "cell code"], batch: Shaped[np.ndarray, " cell"]
    ) -> Float32[np.ndarray, "cell code"]:
        """The offset of each cell's batch: stored for a training batch, estimated from these cells for a new one."""
        return self._of_batches(self.offsets, scaled, batch).astype(scaled.dtype)

    def scaled_depth(self, log_depth: Float64[np.ndarray, " cell"]) -> Float32[np.ndarray, " cell"]:
        """Log depth as standard score."""
        return np.asarray((log_depth - self.depth[0]) / self.depth[1], dtype=np.float32)

    def relative_depth(
        self, log_depth: Float64[np.ndarray, " cell"], batch: Shaped[np.ndarray, " cell"]
    ) -> Float32[np.ndarray, " cell"]:
        """Log depth about the mean of its batch: stored for a training batch, from these cells for a new one."""
        relative = log_depth - self.depth[0]
        shift = self._of_batches(self.batch_depths - self.depth[0], relative, batch)
        return np.asarray(relative - shift, dtype=np.float32)

    def _of_batches(
        self, stored: NDArray[np.floating], values: NDArray[np.floating], batch: Shaped[np.ndarray, " cell"]
    ) -> NDArray[np.floating]:
        """For each cell what is stored of its batch, or the shrunken mean of these values where the batch is new."""
        result = np.empty_like(values)
        for name in np.unique(batch):
            rows, known = batch == name, np.flatnonzero(self.batches == name)
            result[rows] = stored[known[0]] if len(known) else self.shrunken_mean(values[rows])
        return result

    def shrunken_mean(self, scaled: NDArray[np.floating]) -> NDArray[np.float32]:
        """Mean over cells of a new batch, shrunk towards zero (the modality's mean) where cells are few."""
        return np.asarray(scaled.sum(axis=0, dtype=np.float64) / (len(scaled) + self.prior_cells), dtype=np.float32)


def shrinkage_factor(
    codes: Float[np.ndarray, "cell code"], batch: Shaped[np.ndarray, " cell"]
) -> Float64[np.ndarray, " code"]:
    """Of each component, the James–Stein factor of the differences of its batch means: max(0, 1 − 1 / F), 0 to 1.

    F is the variance between batch means over that expected by chance. Subtracted in full, an offset by
    chance would mark all later cells of its batch: with 250 cells per library of cortex chromatin, the library could
    be told from codes with offsets subtracted (balanced accuracy 0.55), and not before (0.13).

    References:
        Efron & Morris, "Stein's estimation rule and its competitors: an empirical Bayes approach", 1973.
    """
    names, index, n_cells = np.unique(batch, return_inverse=True, return_counts=True)
    if len(names) == 1 or len(codes) == len(names):
        return np.zeros(codes.shape[1])
    means = np.stack([codes[batch == name].mean(axis=0, dtype=np.float64) for name in names])
    gaps = means - codes.mean(axis=0, dtype=np.float64)
    between = (n_cells[:, None] * gaps**2).sum(axis=0) / (len(names) - 1)
    within = ((codes - means[index]) ** 2).sum(axis=0) / (len(codes) - len(names))
    return np.asarray(np.maximum(0.0, 1.0 - within / np.maximum(between, 1e-12)))
