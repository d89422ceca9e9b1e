"""Training cells of one modality with their fitted preprocessor, ready to be thinned and projected; trains nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.preprocessing.preprocessor import Preprocessor, StandardisedCodes
from unisono.preprocessing.projection import Counts
from unisono.types import Cells, Modality


@dataclass(frozen=True, eq=False)
class TrainingView:
    """One modality of the training cells.

    Attributes:
        preprocessor: fitted to these cells.
        counts: of the cells that have the modality.
        codes: of the full counts, the same cells.
        rows: row in `counts` of every training cell, -1 where it lacks the modality.
        loo_shrinkage: fraction of each code that a cell owes to having been in the projection's fit.
    """

    preprocessor: Preprocessor
    counts: Counts
    codes: StandardisedCodes
    rows: NDArray[np.intp]
    loo_shrinkage: NDArray[np.float32]

    @classmethod
    def fit(cls, cells: Cells, modality: Modality, config: FitConfig) -> TrainingView:
        """Fit the preprocessor of a modality to training cells.

        Raises:
            BadInput: E046, fewer than two features with counts, or than three cells.
        """
        return cls.of(Preprocessor.fit(cells.views[modality], config), cells, config)

    @classmethod
    def of(cls, preprocessor: Preprocessor, cells: Cells, config: FitConfig) -> TrainingView:
        """The view of cells by a preprocessor that was fitted before."""
        counts = preprocessor.projection.counts(cells.views[preprocessor.modality])
        codes = preprocessor.transform_counts(counts)
        shrinkage = preprocessor.projection.loo_shrinkage(counts, config.preprocessing.max_loo_shrinkage)
        return cls(preprocessor, counts, codes, cells.rows[preprocessor.modality], shrinkage)

    @property
    def has(self) -> NDArray[np.bool_]:
        """Whether each training cell has the modality."""
        return self.rows >= 0

    def scatter(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values of this view's cells in the order of all training cells, zero where one lacks the modality."""
        result = np.zeros((len(self.rows), *values.shape[1:]), dtype=np.float32)
        result[self.has] = values[self.rows[self.has]]
        return result

    @cached_property
    def leave_one_out_codes(self) -> NDArray[np.float32]:
        """Codes of the cells as the networks would read them if each had been left out of the projection's fit."""
        return self.codes.x * (1.0 - self.loo_shrinkage)

    @cached_property
    def code_weight(self) -> NDArray[np.float32]:
        """Weights under which squared errors of scaled codes add up to 1 for the mean of all cells."""
        scale = self.preprocessor.standardisation.scale
        variance = (self.codes.scaled.astype(np.float64) ** 2).mean(axis=0)
        return np.asarray(scale**2 / (scale**2 * variance).sum(), dtype=np.float32)

    @cached_property
    def n_seen(self) -> NDArray[np.float32]:
        """Training cells in which each feature of a binary modality was seen, from its fitted mean."""
        projection, mean = self.preprocessor.projection, self.preprocessor.standardisation.mean
        fraction = projection.intercept + projection.loadings @ mean
        return np.asarray(len(self.codes.x) * np.clip(fraction, 1e-4, 1.0), dtype=np.float32)


Views = Mapping[Modality, TrainingView]


def paired_rows(views: Views, a: Modality, b: Modality) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the training cells that have both modalities, in each of the two views."""
    both = views[a].has & views[b].has
    return views[a].rows[both], views[b].rows[both]


def evenly_spread(n: int, at_most: int) -> NDArray[np.intp]:
    """Positions among n, all or as many as allowed, evenly spread."""
    return np.unique(np.linspace(0, n - 1, at_most).astype(np.intp))
