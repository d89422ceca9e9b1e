"""Preprocessor: from raw counts of one modality to standardised codes; fitted once, the same for any query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.preprocessing.align import Alignment
from unisono.preprocessing.projection import Counts, Projection
from unisono.preprocessing.standardisation import Standardisation
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
    cells: NDArray[np.str_]
    x: NDArray[np.float32]
    offset: NDArray[np.float32]
    depth: NDArray[np.float32]
    relative_depth: NDArray[np.float32]
    log_depth: NDArray[np.float64]
    batch: NDArray[np.str_]
    alignment: Alignment

    @property
    def scaled(self) -> NDArray[np.float32]:
        """Scaled codes with the batch's offset still in them."""
        return self.x + self.offset

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
