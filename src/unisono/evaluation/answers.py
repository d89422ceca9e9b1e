"""Answers of a fitted model about test cells, each beside the truth; partners are used to judge, never to match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.matching import Rule, Similarity, match_cells
from unisono.metrics.arrays import Groups
from unisono.model.unisono import Unisono
from unisono.preprocessing.align import aligned_counts
from unisono.preprocessing.projection import on_scale
from unisono.types import Cells, Modality, Prediction, View

_VALUES_AT_A_TIME = 2**21
_SHUFFLE_SEED = 0
_RULES: tuple[Rule, Rule] = ("soft", "one-to-one")
_TOP = 1000


@dataclass(frozen=True, eq=False)
class Predicted:
    """One modality predicted from another in average style, over the cells that have both.

    Attributes:
        source: what was predicted from.
        truth: measured values on the target's scale, over the features that test and model share.
        prediction: the same cells and features.
        setting: as of `Matched`; there is one alone.
    """

    source: View
    truth: sparse.csc_matrix
    prediction: Prediction
    setting: str = ""

    @property
    def name(self) -> str:
        return f"{self.prediction.source}->{self.prediction.target}"

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The predicted values of some features at a time."""
        n_cells, n_features = self.prediction.shape
        size = max(1, _VALUES_AT_A_TIME // n_cells)
        for start in range(0, n_features, size):
            yield self.prediction.take_features(slice(start, start + size)).dense()


@dataclass(frozen=True, eq=False)
class Matched:
    """One modality matched to another over the cells that have both, the right side shuffled.

    Attributes:
        left: left cells.
        right: right cells, in another order.
        partner: row of each left cell's partner among the right ones.
        similarity: by what cells were compared.
        soft: left x right, probabilities.
        one_to_one: left x right, one entry a row.
        groups: within which cells were matched; None for all.
        setting: how, as it stands at the end of a figure's name: "", "within batch", "with depth" or both.
    """

    left: View
    right: View
    partner: NDArray[np.intp]
    similarity: Similarity
    soft: sparse.csr_matrix
    one_to_one: sparse.csr_matrix
    groups: Groups | None
    setting: str

    @property
    def name(self) -> str:
        return f"{self.left.modality}~{self.right.modality}"


def predictions(model: Unisono, cells: Cells, *, with_draws: bool = False) -> Iterator[Predicted]:
    """Every direction in which at least two cells have both ends.

    Args:
        model: fitted on other cells.
        cells: counts that are known to be sound.
        with_draws: draw from the posterior where the model knows intervals, as they need.
    """
    for source, target in permutations(cells.modalities, 2):
        paired = _paired(cells, source, target)
        if paired is None:
            continue
        n_draws = model.config.uncertainty.n_draws if with_draws and (source, target) in model.fitted.intervals else 0
        prediction = model.fitted.predict(paired[0], target, n_draws=n_draws)
        yield Predicted(paired[0], *over_shared_features(model, prediction, paired[1]))


def matchings(model: Unisono, cells: Cells) -> Iterator[Matched]:
    """Every pair of modalities that at least two cells have both of, in every setting, content alone first."""
    for left, right in combinations(cells.modalities, 2):
        paired = _paired(cells, left, right)
        if paired is not None:
            yield from _matched(model, *paired)


def _paired(cells: Cells, a: Modality, b: Modality) -> tuple[View, View] | None:
    """The two views over the cells that have both, in the same order."""
    both = (cells.rows[a] >= 0) & (cells.rows[b] >= 0)
    if both.sum() < 2:
        return None
    return cells.views[a].take(cells.rows[a][both]), cells.views[b].take(cells.rows[b][both])


def over_shared_features(model: Unisono, prediction: Prediction, target: View) -> tuple[sparse.csc_matrix, Prediction]:
    """Measured values and prediction over the features that both have, in the prediction's order."""
    alignment = model.fitted.preprocessors[target.modality].projection.align(target)
    shared = np.flatnonzero(alignment.is_present)
    if alignment.weights is not None:
        measured = (aligned_counts(target, alignment) > 0).astype(np.float32).tocsc()[:, shared]
    else:
        measured = on_scale(target).tocsc()[:, alignment.columns[shared]]
    return measured, prediction.take_features(shared)


def _matched(model: Unisono, left: View, right: View) -> Iterator[Matched]:
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(right.n_cells)
    shuffled, partner = right.take(order), np.argsort(order)
    within: dict[str, Groups | None] = {"": None}
    if len(np.unique(left.batch)) > 1:
        within["within batch"] = (left.batch, left.batch[order])
    for depth, (place, groups) in product((False, True), within.items()):
        similarity = model.fitted.similarity(left, shuffled, depth=depth, groups=groups)
        soft, one_to_one = (
            match_cells(similarity, rule=rule, max_partners=_TOP, within=groups).probabilities for rule in _RULES
        )
        setting = " ".join(filter(None, (place, "with depth" if depth else "")))
        yield Matched(left, shuffled, partner, similarity, soft, one_to_one, groups, setting)
