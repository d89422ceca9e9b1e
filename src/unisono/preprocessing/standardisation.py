"""Standardisation: codes about the mean of their batch, in units of their spread; fitted to training cells, frozen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped
from numpy.typing import NDArray

from unisono.limits import NOT_NEGATIVE, POSITIVE, UNIQUE
from unisono.preprocessing.composition import CodeClusters, Place

_MIN_DEVIATION = 1e-3
"""Of codes, which are sums of logs or of shares of cells: less is rounding, in units of which any cell would be far."""
_MIN_DEPTH_DEVIATION = 0.1
"""Of log depth: where cells have one depth, that of a thinned cell, log 5 below, is still some units away, no more."""


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Statistics of one modality's codes over the training cells.

    Attributes:
        mean: of all cells, one per component.
        scale: one per component: the geometric mean of its standard deviation and of the largest one, so that strong
            components stay strong and noise is not blown up; 1 where no component varies. Deviations are within
            batches, or, where each batch is one cell, over all cells.
        batches: names of the training batches.
        offsets: batch x component, how far the mean of a batch lies from `mean`, in units of `scale`; shrunk
            by as much as chance would make batches differ, see `shrinkage_factor`.
        factors: batch x component, by which deviations from the offset are multiplied so that batches deviate alike.
        powers: of such factors of a new batch, to select from.
        depth: mean and standard deviation of log total counts, 0.1 at least.
        batch_depths: mean log total counts of each batch.
        shifts: how unlike training each batch was measured, 0 for those of training; see `Preprocessor.shift`.
        prior_cells: a new batch's mean counts as much as this many cells at the modality's mean.
        clusters: where training cells lie, by which the offset of a new batch is told from its composition; None takes
            the mean of a new batch for its offset.
    """

    mean: Float64[np.ndarray, " code"]
    scale: Annotated[Float64[np.ndarray, " code"], POSITIVE]
    batches: Annotated[Shaped[np.ndarray, " batch"], UNIQUE]
    offsets: Float32[np.ndarray, "batch code"]
    factors: Annotated[Float32[np.ndarray, "batch code"], POSITIVE]
    powers: Annotated[tuple[float, ...], NOT_NEGATIVE]
    depth: Annotated[Float64[np.ndarray, "statistic=2"], POSITIVE]
    batch_depths: Float64[np.ndarray, " batch"]
    shifts: Annotated[Float32[np.ndarray, " batch"], NOT_NEGATIVE]
    prior_cells: Annotated[float, POSITIVE]
    clusters: CodeClusters | None = None

    @classmethod
    def fit(
        cls,
        codes: Float[np.ndarray, "cell code"],
        batch: Shaped[np.ndarray, " cell"],
        log_depth: Float64[np.ndarray, " cell"],
        prior_cells: float,
        powers: tuple[float, ...] = (0.0,),
    ) -> Standardisation:
        """Statistics of the codes of training cells; arguments as of the attributes."""
        mean = codes.mean(axis=0, dtype=np.float64)
        batches = np.unique(batch)
        means = np.stack([codes[batch == name].mean(axis=0, dtype=np.float64) for name in batches])
        residual = codes - (means[np.searchsorted(batches, batch)] if len(batches) < len(codes) else mean)
        deviation = np.maximum(residual.std(axis=0), _MIN_DEVIATION)
        scale = np.sqrt(deviation * deviation.max()) if (deviation > _MIN_DEVIATION).any() else np.ones(len(mean))
        depth = np.array([log_depth.mean(), max(float(log_depth.std()), _MIN_DEPTH_DEVIATION)])
        offsets = (means - mean) * shrinkage_factor(codes, batch) / scale
        batch_depths = np.array([log_depth[batch == name].mean() for name in batches])
        none = np.ones((len(batches), len(mean)), dtype=np.float32)
        no_shift = np.zeros(len(batches), dtype=np.float32)
        return cls(
            mean, scale, batches, offsets.astype(np.float32), none, powers, depth, batch_depths, no_shift, prior_cells
        )

    def with_factors(self, x: Float[np.ndarray, "cell code"], batch: Shaped[np.ndarray, " cell"]) -> Standardisation:
        """The same with factors of the training batches, less what is common to all of them.

        Args:
            x: codes of training cells without their batch's offset and factors.
            batch: of each cell.
        """
        if self.clusters is None or len(self.batches) < 2 or max(self.powers) == 0:
            return self
        parts = [x[batch == name] for name in self.batches]
        none = np.zeros(x.shape[1], dtype=np.float32)
        found = [self.clusters.place(part, none, self.prior_cells, self.powers).factor for part in parts]
        log_factors = np.log(np.stack(found))
        return replace(self, factors=np.exp(log_factors - log_factors.mean(axis=0)).astype(np.float32))

    def place(self, scaled: Float[np.ndarray, "cell code"]) -> Place:
        """How much of the mean and the deviations of a new batch is how it was measured; see `CodeClusters.place`."""
        if self.clusters is None:
            return Place(1.0, np.ones(scaled.shape[1]), 0.0)
        return self.clusters.place(scaled, self.shrunken_mean(scaled), self.prior_cells, self.powers)

    def new_batch(
        self, scaled: Float[np.ndarray, "cell code"]
    ) -> tuple[Float32[np.ndarray, " code"], Float32[np.ndarray, " code"]]:
        """Offset and factors of a new batch from its cells: of both, what is not their composition."""
        place = self.place(scaled)
        offset = np.asarray(self.shrunken_mean(scaled) * np.float32(place.share))
        return offset, place.factor.astype(np.float32)

    def with_batches(
        self,
        scaled: Float[np.ndarray, "cell code"],
        batch: Shaped[np.ndarray, " cell"],
        log_depth: Float64[np.ndarray, " cell"],
        shift: Float32[np.ndarray, " cell"],
    ) -> Standardisation:
        """The same statistics with those batches added that are new, with offsets estimated from these cells.

        Args:
            scaled: scaled codes of cells of the new batches; a batch that is known already stays as it is.
            batch: of each cell.
            log_depth: of each cell.
            shift: of the batch of each cell.
        """
        new = np.setdiff1d(batch, self.batches)
        found = [self.new_batch(scaled[batch == name]) for name in new]
        relative = [self.shrunken_mean(log_depth[batch == name] - self.depth[0]) for name in new]
        return replace(
            self,
            batches=np.concatenate([self.batches, new]),
            offsets=np.stack([*self.offsets, *(offset for offset, _ in found)]),
            factors=np.stack([*self.factors, *(factor for _, factor in found)]),
            batch_depths=np.concatenate([self.batch_depths, self.depth[0] + np.asarray(relative, dtype=np.float64)]),
            shifts=np.array([*self.shifts, *(shift[batch == name][0] for name in new)], dtype=np.float32),
        )

    def scaled(self, codes: Float[np.ndarray, "cell code"]) -> Float32[np.ndarray, "cell code"]:
        """Codes about the modality's mean, their batch's offset still in them."""
        return np.asarray((codes - self.mean) / self.scale, dtype=np.float32)

    def of_cells(
        self, scaled: Float[np.ndarray, "cell code"], batch: Shaped[np.ndarray, " cell"]
    ) -> tuple[Float32[np.ndarray, "cell code"], Float32[np.ndarray, "cell code"]]:
        """Offset and factors of each cell's batch: stored for a training batch, from these cells for a new one."""
        offset, factor = np.empty_like(scaled), np.empty_like(scaled)
        for name in np.unique(batch):
            rows, known = batch == name, np.flatnonzero(self.batches == name)
            stored = (self.offsets[known[0]], self.factors[known[0]]) if len(known) else self.new_batch(scaled[rows])
            offset[rows], factor[rows] = stored
        return offset, factor

    def scaled_depth(self, log_depth: Float64[np.ndarray, " cell"]) -> Float32[np.ndarray, " cell"]:
        """Log depth as standard score."""
        return np.asarray((log_depth - self.depth[0]) / self.depth[1], dtype=np.float32)

    def relative_depth(
        self, log_depth: Float64[np.ndarray, " cell"], batch: Shaped[np.ndarray, " cell"]
    ) -> Float32[np.ndarray, " cell"]:
        """Log depth about the mean of its batch: stored for a training batch, from these cells for a new one."""
        relative = log_depth - self.depth[0]
        for name in np.unique(batch):
            rows, known = batch == name, np.flatnonzero(self.batches == name)
            own = relative[rows]
            relative[rows] -= self.batch_depths[known[0]] - self.depth[0] if len(known) else self.shrunken_mean(own)
        return np.asarray(relative, dtype=np.float32)

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
