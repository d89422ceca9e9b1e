"""The frozen way of one modality from raw counts to standardised codes; the same for any query."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from unisono.preprocessing.align import Alignment
from unisono.preprocessing.projection import Counts, Projection
from unisono.preprocessing.standardisation import Standardisation
from unisono.types import Modality, View

_OF_CELLS = ("x", "offset", "depth", "relative_depth", "log_depth", "batch")


@dataclass(frozen=True, eq=False)
class StandardisedCodes:
    """A view as the networks read it.

    Attributes:
        x: cell x code, scaled and free of the batch's offset.
        offset: cell x code, the offset that was taken out.
        depth: standardised log depth.
        relative_depth: log depth about the mean of the cell's batch.
        log_depth: log(1 + total counts).
        batch: technical batch of each cell.
        alignment: how the view's features met the model's.
    """

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
        """The same reading of some of its cells."""
        parts = {name: getattr(self, name)[rows] for name in _OF_CELLS}
        return replace(self, **parts)


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """The frozen way of one modality from counts to codes and from codes to standardised codes."""

    projection: Projection
    standardisation: Standardisation

    @property
    def modality(self) -> Modality:
        return self.projection.modality

    @property
    def signal(self) -> NDArray[np.float64]:
        """Share of the variance of the training codes that each feature carries, one a feature, adding up to 1."""
        scale = self.standardisation.scale
        variance = (scale**2 / scale.max()) ** 2
        carried = self.projection.basis.astype(np.float64) ** 2 @ variance
        signal = np.zeros(len(self.projection.features))
        signal[self.projection.selected] = carried / carried.sum()
        return signal

    def transform(self, view: View) -> StandardisedCodes:
        """The view in this voice's order and units; nothing is refitted.

        Raises:
            ValueError: the view is of another modality or shares no feature with the model.
        """
        return self.transform_counts(self.projection.counts(view))

    def transform_counts(self, counts: Counts) -> StandardisedCodes:
        """As `read`, from counts that stand in this voice's order already."""
        scaled = self.standardisation.scaled(self.projection.codes(counts))
        offset = self.standardisation.offset_of(scaled, counts.batch)
        log_depth = counts.log_depth
        depth = self.standardisation.scaled_depth(log_depth)
        relative = self.standardisation.relative_depth(log_depth, counts.batch)
        return StandardisedCodes(scaled - offset, offset, depth, relative, log_depth, counts.batch, counts.alignment)
