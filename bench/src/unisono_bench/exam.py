"""What every method is asked about the test cells, with what is needed to judge the answers; asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unisono_bench.methods import Groups
from unisono.types import Cells, Modality, View

_MIN = 2


class Setting(NamedTuple):
    """One way to match: with or without depth, over all cells or within groups."""

    depth: bool
    groups: Groups | None

    @property
    def suffix(self) -> str:
        """What follows the names of the modalities in a task's name; empty for the headline."""
        return f"{'' if self.groups is None else ' within batch'}{' with depth' if self.depth else ''}"


@dataclass(frozen=True, eq=False)
class ToPredict:
    """Predict the modality of `truth` from `source`; row i of both is the same cell."""

    source: View
    truth: View

    @property
    def task(self) -> str:
        return f"{self.source.modality}->{self.truth.modality}"


@dataclass(frozen=True, eq=False)
class ToMatch:
    """Match left to right cells, which stand in another order and under other names.

    Attributes:
        partner: for each left cell the row of its partner among the right ones; only the judge may look.
    """

    left: View
    right: View
    partner: NDArray[np.intp]

    @property
    def task(self) -> str:
        return f"{self.left.modality}~{self.right.modality}"

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The headline first; within batches too where there are several."""
        groups = self.left.batch, self.right.batch
        within: tuple[Groups | None, ...] = (None,) if len(np.unique(groups[0])) < 2 else (None, groups)
        return tuple(Setting(depth, inside) for depth in (False, True) for inside in within)


@dataclass(frozen=True, eq=False)
class Exam:
    """All questions about one set of test cells."""

    predictions: tuple[ToPredict, ...]
    matchings: tuple[ToMatch, ...]


def exam(test: Cells, seed: int) -> Exam:
    """Every ordered pair of modalities to predict and every pair to match, over the cells that have both.

    Args:
        test: cells that no method was fitted on.
        seed: of the order in which the right cells stand.

    Raises:
        ValueError: no two cells have the same two modalities.
    """
    rng = np.random.default_rng([seed, 43])
    predictions = tuple(ToPredict(*both) for a, b in permutations(test.modalities, 2) if (both := _paired(test, a, b)))
    matchings = tuple(
        _shuffled(*both, rng) for a, b in combinations(test.modalities, 2) if (both := _paired(test, a, b))
    )
    if not predictions:
        raise ValueError(f"{len(test.names)} test cells, of which no {_MIN} have the same two modalities")
    return Exam(predictions, matchings)


def _paired(cells: Cells, a: Modality, b: Modality) -> tuple[View, View] | None:
    both = (cells.rows[a] >= 0) & (cells.rows[b] >= 0)
    if both.sum() < _MIN:
        return None
    return cells.views[a].take(cells.rows[a][both]), cells.views[b].take(cells.rows[b][both])


def _shuffled(left: View, right: View, rng: np.random.Generator) -> ToMatch:
    order = rng.permutation(right.n_cells)
    return ToMatch(_renamed(left, "left"), _renamed(right.take(order), "right"), np.argsort(order))


def _renamed(view: View, side: str) -> View:
    """The same cells under names that say nothing of whose partner they are."""
    return replace(view, cells=np.asarray([f"{side} {i}" for i in range(view.n_cells)]))
