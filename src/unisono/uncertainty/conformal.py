"""Split-conformal intervals: how wide they have to be, from errors on unseen cells; knows arrays, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from unisono.config import UncertaintyConfig
from unisono.limits import MANY, Float32, Limits
from unisono.types import Bounds

Array = NDArray[np.float32]

_DEFAULTS = UncertaintyConfig()

N_LEVELS = 200
"""Order statistics of the scores are kept at 1/200, 2/200, …, 1: an interval is at most half a point too wide."""


@dataclass(frozen=True, eq=False)
class Conformal:
    """Widths of intervals, feature by feature, in units of how unsure a prediction is.

    The score of a measured value is |y − ŷ| / u, with u² = spread² + scale²: the model's own spread for that cell and
    feature, and the feature's typical error, which keeps u away from zero. An interval of coverage c is ŷ ± q u, with q
    the ⌈(n + 1) c⌉-th smallest of n scores. If new cells are exchangeable with these, it covers a share of at least c
    of them, whatever the distribution of errors.

    Attributes:
        scale: root mean square error of each feature.
        groups: names of groups of cells with widths of their own.
        n_cells: cells behind the widths: of all, then of each group.
        scores: group x level x feature, order statistics of the scores; the first row is of all cells.
        by: the obs column whose values the groups are; None for that of the batch.

    References:
        Lei et al., "Distribution-free predictive inference for regression", 2018 (locally weighted split conformal).
        Vovk, "Conditional validity of inductive conformal predictors", 2012 (groups).
    """

    scale: Annotated[Float32[np.ndarray, " feature"], Limits(ge=0, may_be=("inf",))]
    groups: tuple[str, ...]
    n_cells: Annotated[tuple[int, ...], Limits(ge=1, le=MANY)]
    scores: Annotated[Float32[np.ndarray, "group level feature"], Limits(ge=0, may_be=("inf",))]
    by: str | None = None

    @classmethod
    def fit(
        cls,
        error: Array,
        spread: Array,
        groups: NDArray[np.str_] | None = None,
        min_cells: int = _DEFAULTS.min_batch_cells,
    ) -> Conformal:
        """Learn widths from unseen cells.

        Args:
            error: measured minus predicted, cell x feature; NaN where it was not measured.
            spread: the model's own, cell x feature, 0 or more.
            groups: of each cell.
            min_cells: cells that a group needs to have widths of its own.

        Raises:
            ValueError: no cell, or shapes disagree.
        """
        if error.shape != spread.shape or not len(error) or (groups is not None and len(groups) != len(error)):
            raise ValueError(f"errors are {error.shape}, spreads {spread.shape}: expected the same cells, 1 or more")
        scale = np.asarray(np.maximum(_root_mean_square(error), 1e-6), dtype=np.float32)
        scores = np.asarray(np.abs(error) / np.hypot(spread, scale), dtype=np.float32)
        rows = [np.ones(len(error), dtype=bool)]
        names: list[str] = []
        if groups is not None:
            found, sizes = np.unique(groups, return_counts=True)
            names = [str(name) for name, size in zip(found, sizes, strict=True) if size >= min_cells]
            rows += [groups == name for name in names]
        kept = np.stack([_order_statistics(scores[mask]) for mask in rows])
        return cls(scale, tuple(names), tuple(int(mask.sum()) for mask in rows), kept)

    @classmethod
    def joined(cls, parts: Sequence[Conformal]) -> Conformal:
        """The widths of all features from those of consecutive ones, learned from the same cells."""
        scale = np.concatenate([part.scale for part in parts])
        return replace(parts[0], scale=scale, scores=np.concatenate([part.scores for part in parts], axis=2))

    def bounds(self, coverage: float, groups: NDArray[np.str_]) -> Bounds:
        """The widths of intervals of some cells.

        Infinite where too few cells are behind them to promise the coverage: fewer than coverage / (1 − coverage).

        Args:
            coverage: above 0 and below 1.
            groups: of each cell; one that has no widths of its own takes those of all cells.

        Raises:
            ValueError: a coverage out of range.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage is {coverage}, expected a number between 0 and 1")
        factors = np.stack([self._factor(row, coverage) for row in range(len(self.scores))])
        place = {name: row for row, name in enumerate(self.groups, start=1)}
        return Bounds(
            coverage, factors, np.array([place.get(str(name), 0) for name in groups], dtype=np.intp), self.scale
        )

    def thinned(self, n_levels: int) -> Conformal:
        """The same with fewer order statistics, `N_LEVELS` divided by a whole number: intervals a little too wide."""
        return replace(self, scores=self.scores[:, N_LEVELS // n_levels - 1 :: N_LEVELS // n_levels])

    def _factor(self, row: int, coverage: float) -> Array:
        """The ⌈(n + 1) c⌉-th smallest score of each feature, rounded up to the levels that were kept."""
        n_cells = self.n_cells[row]
        rank = int(np.ceil((n_cells + 1) * coverage - 1e-9))
        if rank > n_cells:
            return np.full(self.scores.shape[2], np.inf, dtype=np.float32)
        factor: Array = self.scores[row, (rank - 1) * self.scores.shape[1] // n_cells]
        return factor


def _root_mean_square(error: Array) -> NDArray[np.float64]:
    """Of each feature over the cells that measured it, infinite where none did."""
    n_missing = np.isnan(error).sum(axis=0)
    if not n_missing.any():
        return np.asarray(np.sqrt(np.square(error, dtype=np.float64).mean(axis=0)))
    n_cells = len(error) - n_missing
    mean = np.nansum(np.square(error, dtype=np.float64), axis=0) / np.maximum(n_cells, 1)
    return np.asarray(np.where(n_cells > 0, np.sqrt(mean), np.inf))


def _order_statistics(scores: Array) -> Array:
    """The ⌈n k / 200⌉-th smallest score of each feature, level x feature.

    Of a feature that m of the n cells measured, the r-th of n becomes the ⌈r (m + 1) / (n + 1)⌉-th of m, infinite
    where there are not so many, so that the ⌈(n + 1) c⌉-th covers a share of at least c.
    """
    n_cells = len(scores)
    ranks = np.ceil(np.arange(1, N_LEVELS + 1) / N_LEVELS * n_cells - 1e-9).astype(int)
    ordered: Array = np.sort(scores, axis=0)  # NaN last
    n_missing = np.isnan(scores).sum(axis=0)
    kept: Array = ordered[ranks - 1]
    for m in np.unique(n_cells - n_missing[n_missing > 0]):
        features = np.flatnonzero(n_cells - n_missing == m)
        of_m = np.ceil(ranks * (m + 1) / (n_cells + 1) - 1e-9).astype(int)
        known = ordered[np.minimum(of_m, max(m, 1)) - 1][:, features]
        kept[:, features] = np.where((of_m <= m)[:, None], known, np.inf)
    return kept
