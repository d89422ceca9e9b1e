"""The mean of the training cells as prediction for every cell: what knowing nothing of a cell scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from unisono_bench.methods import Groups
from unisono.preprocessing.projection import on_scale
from unisono.types import Cells, Modality, View


@final
@dataclass(frozen=True)
class Mean:
    """Predicts the training mean of each feature, whatever the source."""

    name: str = "mean"

    def fit(self, training: Cells, seed: int) -> FittedMean:
        """The mean over all training cells that have the modality, on its scale; the seed is of no use here."""
        return FittedMean(
            {m: np.asarray(on_scale(view).mean(axis=0), dtype=np.float32).ravel() for m, view in training.views.items()}
        )


@final
@dataclass(frozen=True, eq=False)
class FittedMean:
    """One value a feature."""

    means: Mapping[Modality, NDArray[np.float32]]

    def predict(self, source: View, target: Modality) -> NDArray[np.float32] | None:
        """The same row for each source cell; None for an unknown target or the source itself."""
        if target not in self.means or target == source.modality:
            return None
        return np.tile(self.means[target], (source.n_cells, 1))

    def vectors(self, left: View, right: View, *, depth: bool, groups: Groups | None) -> None:
        """None: a mean does not match."""
