"""What every method is asked about the test cells, and the truth to score it by; runs no method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import unisono as un
from unisono_bench.data import paired_views
from unisono_bench.matching import Groups

_MIN_CELLS = 2


class Setting(NamedTuple):
    """One way to match: over all cells or within batches, by content alone or with depth."""

    within: Literal["batch"] | None
    depth: bool


@dataclass(frozen=True, eq=False)
class PredictionTask:
    """Predict the modality of `truth` from `source`; row i of both is the same cell."""

    source: un.View
    truth: un.View


@dataclass(frozen=True, eq=False)
class MatchingTask:
    """Match left to right cells, which stand in another order and under other names.

    Attributes:
        left: cells of one modality.
        right: cells of another.
        partner: for each left cell the row of its partner among the right ones; for scoring alone.
    """

    left: un.View
    right: un.View
    partner: NDArray[np.intp]

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The headline, over all cells by content alone, first; within batches too where there are several."""
        places: tuple[Literal["batch"] | None, ...] = (
            (None,) if len(np.unique(self.left.batch)) < 2 else (None, "batch")
        )
        return tuple(Setting(within, depth) for depth in (False, True) for within in places)

    def groups(self, setting: Setting) -> Groups | None:
        """The groups of both sides within which a setting matches."""
        return None if setting.within is None else (self.left.batch, self.right.batch)


@dataclass(frozen=True, eq=False)
class Tasks:
    """All that is asked about one set of test cells."""

    predictions: tuple[PredictionTask, ...]
    matchings: tuple[MatchingTask, ...]


def make_tasks(test: un.Cells, seed: int) -> Tasks:
    """Every ordered pair of modalities to predict and every pair to match, over the cells that have both.

    Args:
        test: cells that no method was fitted on.
        seed: of the order in which the right cells stand.

    Raises:
        ValueError: no two cells have the same two modalities.
    """
    rng = np.random.default_rng([seed, 43])
    ordered = [paired_views(test, a, b) for a, b in permutations(test.modalities, 2)]
    pairs = [paired_views(test, a, b) for a, b in combinations(test.modalities, 2)]
    predictions = tuple(PredictionTask(a, b) for a, b in ordered if a.n_cells >= _MIN_CELLS)
    matchings = tuple(_shuffled(a, b, rng) for a, b in pairs if a.n_cells >= _MIN_CELLS)
    if not predictions:
        raise ValueError(f"{len(test.names)} test cells, of which no {_MIN_CELLS} have the same two modalities")
    return Tasks(predictions, matchings)


def _shuffled(left: un.View, right: un.View, rng: np.random.Generator) -> MatchingTask:
    order = rng.permutation(right.n_cells)
    return MatchingTask(_renamed(left, "left"), _renamed(right.take(order), "right"), np.argsort(order))


def _renamed(view: un.View, side: str) -> un.View:
    """The same cells under names that say nothing of which cell is the partner of which."""
    return replace(view, cells=np.asarray([f"{side} {i}" for i in range(view.n_cells)]))
