"""How projections into a shared space become a method that matches: cosines, with a fitted temperature and depth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from unisono_bench.baselines.codes import Codes, InputCodes
from unisono_bench.baselines.pairs import MIN_HELD_OUT, MIN_PAIRED, n_paired, paired, split
from unisono_bench.methods import Groups, Matched
from unisono.matching import DepthTerm, Similarity, fit_beta, fit_beta_and_depth_weight
from unisono.types import MODALITIES, Cells, Modality, Pair, View

_MAX_PAIRS = 1500
"""Held-out pairs a temperature is fitted on, as for Unisono."""

Project = Callable[[Codes], NDArray[np.float32]]
"""Codes of cells to the shared space, cell x dimension; each cell on its own, lengths are of no account."""


class PairedCodes(NamedTuple):
    """Standardised codes of both sides, row i of both the same cell."""

    left: Codes
    right: Codes


FitSpace = Callable[[PairedCodes, PairedCodes, int], tuple[Project, Project]]
"""From codes to learn from, codes held out and a seed to the projections of left and right."""


@final
@dataclass(frozen=True)
class Matcher:
    """A method that matches by the cosine of two projections, one pair of modalities at a time.

    Codes and projections are fitted on the training cells but 10 %, the temperature and the weight of depth on the
    vectors of those. Then codes and projections are fitted again on all training cells, unless the held-out ones
    ended the training.

    Attributes:
        name: what tables call it.
        n_codes: components of each side.
        fit_space: learns the projections.
        stops_early: the held-out cells decide when `fit_space` ends, so it is not run again on them.
    """

    name: str
    n_codes: int
    fit_space: FitSpace
    stops_early: bool

    def fit(self, training: Cells, seed: int) -> FittedMatcher:
        """Projections, temperatures and weights of depth for each pair of modalities with cells in common."""
        learning, held_out = split(training, seed)
        pairs = [
            pair
            for pair in combinations(training.modalities, 2)
            if n_paired(learning, *pair) >= MIN_PAIRED and n_paired(held_out, *pair) >= MIN_HELD_OUT
        ]
        space = self._space(learning, held_out, pairs, seed)
        terms = {pair: _terms(space, held_out, pair) for pair in pairs}
        return FittedMatcher(space if self.stops_early else self._space(training, held_out, pairs, seed), terms)

    def _space(self, learning: Cells, held_out: Cells, pairs: list[Pair], seed: int) -> Space:
        codes = {m: InputCodes.fit(learning.views[m], self.n_codes, seed) for m in learning.modalities}
        projections = {
            pair: self.fit_space(_paired_codes(codes, learning, pair), _paired_codes(codes, held_out, pair), seed)
            for pair in pairs
        }
        return Space(codes, projections)


@final
@dataclass(frozen=True, eq=False)
class Space:
    """Frozen codes, and for each pair of modalities the projections of the two."""

    codes: Mapping[Modality, InputCodes]
    projections: Mapping[Pair, tuple[Project, Project]]

    def unit_vectors(self, view: View, pair: Pair) -> NDArray[np.float32]:
        """Cells as unit vectors in the space of the pair; a cell at the origin stays there."""
        project = self.projections[pair][pair.index(view.modality)]
        vectors = project(self.codes[view.modality].standardised(view)).astype(np.float32)
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))

    def log_depth(self, view: View) -> NDArray[np.float64]:
        """Log of 1 + total counts of each cell, over training features."""
        return self.codes[view.modality].log_depth(view)


class Terms(NamedTuple):
    """What turns cosines into log density ratios: the inverse temperature, and the terms with depth."""

    beta: float
    with_depth: DepthTerm


@final
@dataclass(frozen=True, eq=False)
class FittedMatcher:
    """A shared space for each pair of modalities, in the order of the central dogma, and the terms of each."""

    space: Space
    terms: Mapping[Pair, Terms]

    def predict(self, source: View, target: Modality) -> None:
        """None: a matcher does not predict."""

    def vectors(self, left: View, right: View, *, depth: bool, groups: Groups | None) -> Matched | None:
        """Unit vectors of both sides, with depth appended if asked; None where training had too few cells with both."""
        first, second = sorted((left.modality, right.modality), key=MODALITIES.index)
        pair = first, second
        if pair not in self.terms:
            return None
        beta, term = self.terms[pair]
        similarity = Similarity(self.space.unit_vectors(left, pair), self.space.unit_vectors(right, pair), beta)
        if depth:
            log_depths = self.space.log_depth(left), self.space.log_depth(right)
            similarity = similarity.with_depth(term, log_depths, groups)
        return Matched(*similarity.vectors, similarity.beta)


def _paired_codes(codes: Mapping[Modality, InputCodes], cells: Cells, pair: Pair) -> PairedCodes:
    left, right = paired(cells, *pair)
    return PairedCodes(codes[pair[0]].standardised(left), codes[pair[1]].standardised(right))


def _terms(space: Space, held_out: Cells, pair: Pair) -> Terms:
    """Fitted within batches, as Unisono's are."""
    left, right = (view.take(np.arange(min(view.n_cells, _MAX_PAIRS))) for view in paired(held_out, *pair))
    vectors = space.unit_vectors(left, pair), space.unit_vectors(right, pair)
    depths = space.log_depth(left), space.log_depth(right)
    beta = fit_beta(*vectors, within=left.batch)
    return Terms(beta, fit_beta_and_depth_weight(*vectors, *depths, within=left.batch, beta=beta))
