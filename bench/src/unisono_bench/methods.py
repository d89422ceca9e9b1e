"""The interface of the benchmark: what a method must offer to be compared, ours and others alike; holds no method."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from unisono.matching import Rule, Similarity, match_cells
from unisono.types import Cells, MatchPosterior, Modality, View

Groups = tuple[NDArray[np.str_], NDArray[np.str_]]
"""The group of each left and of each right cell; nobody is matched out of its group."""

MAX_PARTNERS = 1000
"""Entries a row of a match may have, for every method alike: what a matching file may hold."""


class Matched(NamedTuple):
    """Cells of both sides, cell x dimension, and the inverse temperature of their inner products."""

    left: NDArray[np.float32]
    right: NDArray[np.float32]
    beta: float


class Fitted(Protocol):
    """A method after training; it is given views of other cells, one modality at a time, so no pairing can leak."""

    def predict(self, source: View, target: Modality) -> NDArray[np.float32] | None:
        """The target modality of each source cell.

        Returns:
            Cell x feature of the training view of `target`, in its order and on its documented scale (see
            `unisono.preprocessing.projection.on_scale`); None where the method does not predict `target` from this source.
        """
        ...

    def vectors(self, left: View, right: View, *, depth: bool, groups: Groups | None) -> Matched | None:
        """Vectors whose inner products are similarities of left and right cells.

        Args:
            left: cells of one modality.
            right: cells of another, in any order, as many or not.
            depth: add the agreement of log total counts, standardised within the groups.
            groups: labels of left and of right cells.

        Returns:
            None where the method does not match these two modalities.
        """
        ...


class Method(Protocol):
    """A way to predict, to match, or both."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def fit(self, training: Cells, seed: int) -> Fitted:
        """Learn from training cells alone; equal seeds give equal results."""
        ...


def posterior(matched: Matched, rule: Rule, groups: Groups | None = None) -> MatchPosterior:
    """Match probabilities by the same candidates, Sinkhorn scaling and rule for every method."""
    return match_cells(Similarity(*matched), rule=rule, max_partners=MAX_PARTNERS, within=groups)
