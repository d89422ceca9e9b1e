"""How projections into a shared space become an estimator that matches: cosines, with a fitted density ratio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

import unisono as un
from unisono_bench.baselines.codes import Codes, InputCodes
from unisono_bench.baselines.pairs import MIN_HELD_OUT, MIN_PAIRED, hold_out, n_paired
from unisono_bench.data import paired_views
from unisono_bench.matching import DensityRatio, Groups

Pair = tuple[str, str]

Project = Callable[[Codes], NDArray[np.float32]]
"""Codes of cells to the shared space, cell x dimension; each cell on its own, lengths are ignored."""


Read = Callable[[InputCodes, un.View], Codes]


class PairedCodes(NamedTuple):
    """Standardised codes of both sides, row i of both the same cell."""

    left: Codes
    right: Codes


FitSpace = Callable[[PairedCodes, PairedCodes, int], tuple[Project, Project]]
"""From codes to learn from, codes held out and a seed to the projections of left and right."""


@final
@dataclass(frozen=True)
class Matcher:
    """An estimator that matches by the cosine of two projections, one pair of modalities at a time.

    Codes and projections are fitted on the training cells but 10 %, the density ratio on the vectors of those. Then
    codes and projections are fitted again on all training cells, unless the held-out ones ended the training.

    Attributes:
        name: what tables call it.
        n_codes: components of each side.
        fit_space: learns the projections.
        stops_early: the held-out cells decide when `fit_space` ends, so it is not run again on them.
        read: how codes are read off a view, with components of like scale.
    """

    name: str
    n_codes: int
    fit_space: FitSpace
    stops_early: bool
    read: Read = InputCodes.standardised

    def fit(self, training: un.Cells, seed: int) -> FittedMatcher:
        """Projections and density ratios for each pair of modalities with cells in common."""
        learning, held_out = hold_out(training, seed)
        pairs = [
            pair
            for pair in combinations(training.modalities, 2)
            if n_paired(learning, *pair) >= MIN_PAIRED and n_paired(held_out, *pair) >= MIN_HELD_OUT
        ]
        space = self._space(learning, held_out, pairs, seed)
        ratios = {pair: _density_ratio(space, held_out, pair) for pair in pairs}
        return FittedMatcher(space if self.stops_early else self._space(training, held_out, pairs, seed), ratios)

    def _space(self, learning: un.Cells, held_out: un.Cells, pairs: list[Pair], seed: int) -> Space:
        codes = {m: InputCodes.fit(learning.views[m], self.n_codes, seed) for m in learning.modalities}
        projections = {
            pair: self.fit_space(
                self._paired_codes(codes, learning, pair), self._paired_codes(codes, held_out, pair), seed
            )
            for pair in pairs
        }
        return Space(codes, projections, self.read)

    def _paired_codes(self, codes: Mapping[str, InputCodes], cells: un.Cells, pair: Pair) -> PairedCodes:
        left, right = paired_views(cells, *pair)
        return PairedCodes(self.read(codes[pair[0]], left), self.read(codes[pair[1]], right))


@final
@dataclass(frozen=True, eq=False)
class Space:
    """Frozen codes, and for each pair of modalities the projections of the two."""

    codes: Mapping[str, InputCodes]
    projections: Mapping[Pair, tuple[Project, Project]]
    read: Read

    def unit_vectors(self, view: un.View, pair: Pair) -> NDArray[np.float32]:
        """Cells as unit vectors in the space of the pair; a cell at the origin stays there."""
        project = self.projections[pair][pair.index(view.modality)]
        return unit_rows(project(self.read(self.codes[view.modality], view)))

    def log_depth(self, view: un.View) -> NDArray[np.float64]:
        """Log of 1 + total counts of each cell, over training features."""
        return self.codes[view.modality].log_depth(view)


@final
@dataclass(frozen=True, eq=False)
class FittedMatcher:
    """A shared space and a density ratio for each pair of modalities, in the order of the central dogma."""

    space: Space
    ratios: Mapping[Pair, DensityRatio]

    def predict(self, source: un.View, target: str) -> None:
        """None: a matcher does not predict."""

    def similarity(
        self, left: un.View, right: un.View, *, depth: bool, groups: Groups | None
    ) -> un.matching.Similarity | None:
        """Unit vectors of both sides, with depth appended if asked; None where training had too few cells with both."""
        first, second = un.modalities.in_order((left.modality, right.modality))
        pair = first, second
        if pair not in self.ratios:
            return None
        sides = self.space.unit_vectors(left, pair), self.space.unit_vectors(right, pair)
        log_depths = self.space.log_depth(left), self.space.log_depth(right)
        return self.ratios[pair].similarity(sides, log_depths, depth=depth, groups=groups)


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each row divided by its length; a row of zeros stays."""
    vectors = vectors.astype(np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))


def _density_ratio(space: Space, held_out: un.Cells, pair: Pair) -> DensityRatio:
    """Fitted within batches, as Unisono's are."""
    left, right = paired_views(held_out, *pair)
    vectors = space.unit_vectors(left, pair), space.unit_vectors(right, pair)
    return DensityRatio.fit(*vectors, space.log_depth(left), space.log_depth(right), left.batch)
