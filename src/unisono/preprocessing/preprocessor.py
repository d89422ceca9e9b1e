"""Preprocessor: from raw counts of one modality to standardised codes; fitted once, the same for any query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.preprocessing.align import Alignment
from unisono.preprocessing.composition import CodeClusters
from unisono.preprocessing.projection import Counts, Projection
from unisono.types import Modality, View

_PER_CELL = ("cells", "x", "offset", "depth", "relative_depth", "log_depth", "batch")


@dataclass(frozen=True, eq=False)
class StandardisedCodes:
    """A view as input of the networks.

    Attributes:
        modality: of the view.
        cells: name of each cell.
        x: cell x code, scaled and free of the batch's offset.
        offset: cell x code, the offset that was taken out.
        depth: standardised log depth.
        relative_depth: log depth about the mean of the cell's batch.
        log_depth: log(1 + total counts).
        batch: technical batch of each cell.
        alignment: how the view's features correspond to the model's.
    """

    modality: Modality
    cells: Shaped[np.ndarray, " cell"]
    x: Float32[np.ndarray, "cell code"]
    offset: Float32[np.ndarray, "cell code"]
    depth: Float32[np.ndarray, " cell"]
    relative_depth: Float32[np.ndarray, " cell"]
    log_depth: Float64[np.ndarray, " cell"]
    batch: Shaped[np.ndarray, " cell"]
    alignment: Alignment

    @property
    def scaled(self) -> Float32[np.ndarray, "cell code"]:
        """Scaled codes with the batch's offset still in them."""
        return np.asarray(self.x + self.offset, dtype=np.float32)

    def take(self, rows: NDArray[np.intp]) -> StandardisedCodes:
        """The same codes of some of the cells."""
        parts = {name: getattr(self, name)[rows] for name in _PER_CELL}
        return replace(self, **parts)


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """From counts to codes and from codes to standardised codes, both fitted to training cells and frozen."""

    projection: Projection
    standardisation: Standardisation

    @classmethod
    def fit(cls, view: View, config: FitConfig) -> Preprocessor:
        """Fit to training cells.

        Raises:
            BadInput: E046, fewer than two features with counts, or than three cells.
        """
        projection = Projection.fit(view, config)
        counts = projection.counts(view)
        codes, prior_cells = projection.codes(counts), config.preprocessing.batch_prior_cells
        return cls(projection, Standardisation.fit(codes, counts.batch, counts.log_depth, prior_cells))

    @property
    def modality(self) -> Modality:
        return self.projection.modality

    @property
    def signal(self) -> NDArray[np.float64]:
        """Fraction of the variance of the training codes that each feature carries, one per feature, adding up to 1."""
        scale = self.standardisation.scale
        variance = (scale**2 / scale.max()) ** 2
        carried = self.projection.basis.astype(np.float64) ** 2 @ variance
        signal = np.zeros(len(self.projection.features))
        signal[self.projection.selected] = carried / carried.sum()
        return signal

    def transform(self, view: View) -> StandardisedCodes:
        """The standardised codes of a view; nothing is refitted.

        Raises:
            ValueError: the view is of another modality or shares no feature with the model.
        """
        return self.transform_counts(self.projection.counts(view))

    def offset_shares(self, view: View, batches: Iterable[str]) -> dict[str, float]:
        """For each of some batches of a view, how much of its mean is taken for its offset."""
        codes = self.standardisation.scaled(self.projection.codes(self.projection.counts(view)))
        return {str(name): self.standardisation.offset_share(codes[view.batch == name]) for name in batches}

    def transform_counts(self, counts: Counts) -> StandardisedCodes:
        """As `transform`, from counts over the selected features."""
        scaled = self.standardisation.scaled(self.projection.codes(counts))
        offset = self.standardisation.offset_of(scaled, counts.batch)
        log_depth = counts.log_depth
        return StandardisedCodes(
            modality=self.modality,
            cells=counts.cells,
            x=scaled - offset,
            offset=offset,
            depth=self.standardisation.scaled_depth(log_depth),
            relative_depth=self.standardisation.relative_depth(log_depth, counts.batch),
            log_depth=log_depth,
            batch=counts.batch,
            alignment=counts.alignment,
        )

    def with_aliases(self, aliases: Mapping[str, str]) -> Preprocessor:
        """The same preprocessor, which also knows its features by other names: name in a query → its own name."""
        known = self.projection.known
        known = replace(known, aliases={**known.aliases, **aliases})
        return replace(self, projection=replace(self.projection, known=known))


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
        clusters: where training cells lie, by which the offset of a new batch is told from its composition; None takes
            the mean of a new batch for its offset.
    """

    mean: Float64[np.ndarray, " code"]
    scale: Float64[np.ndarray, " code"]
    batches: Shaped[np.ndarray, " batch"]
    offsets: Float32[np.ndarray, "batch code"]
    depth: Float64[np.ndarray, "statistic=2"]
    batch_depths: Float64[np.ndarray, " batch"]
    prior_cells: float
    clusters: CodeClusters | None = None

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

    def offset_share(self, scaled: Float[np.ndarray, "cell code"]) -> float:
        """How much of the mean of a new batch is its offset, 0 to 1; see `CodeClusters.share`."""
        return 1.0 if self.clusters is None else self.clusters.share(scaled, self.shrunken_mean(scaled))

    def new_offset(self, scaled: Float[np.ndarray, "cell code"]) -> Float32[np.ndarray, " code"]:
        """The offset of a new batch from its cells: the share of their shrunken mean that is not their composition."""
        return np.asarray(self.shrunken_mean(scaled) * np.float32(self.offset_share(scaled)))

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
        offsets = [self.new_offset(scaled[batch == name]) for name in new]
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
        return self._of_batches(self.offsets, scaled, batch, self.new_offset).astype(scaled.dtype)

    def scaled_depth(self, log_depth: Float64[np.ndarray, " cell"]) -> Float32[np.ndarray, " cell"]:
        """Log depth as standard score."""
        return np.asarray((log_depth - self.depth[0]) / self.depth[1], dtype=np.float32)

    def relative_depth(
        self, log_depth: Float64[np.ndarray, " cell"], batch: Shaped[np.ndarray, " cell"]
    ) -> Float32[np.ndarray, " cell"]:
        """Log depth about the mean of its batch: stored for a training batch, from these cells for a new one."""
        relative = log_depth - self.depth[0]
        shift = self._of_batches(self.batch_depths - self.depth[0], relative, batch, self.shrunken_mean)
        return np.asarray(relative - shift, dtype=np.float32)

    def _of_batches(
        self,
        stored: NDArray[np.floating],
        values: NDArray[np.floating],
        batch: Shaped[np.ndarray, " cell"],
        estimate: Callable[[NDArray[np.floating]], NDArray[np.floating]],
    ) -> NDArray[np.floating]:
        """For each cell what is stored of its batch, or what is estimated from these values where the batch is new."""
        result = np.empty_like(values)
        for name in np.unique(batch):
            rows, known = batch == name, np.flatnonzero(self.batches == name)
            result[rows] = stored[known[0]] if len(known) else estimate(values[rows])
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
