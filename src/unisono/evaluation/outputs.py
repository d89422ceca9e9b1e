"""What a fitted model predicts and matches on test cells, with the truth; partners score a match and never make it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.matching import Matching
from unisono.matching import Similarity
from unisono.metrics.arrays import Groups
from unisono.modalities import spec_of
from unisono.model.unisono import Unisono
from unisono.preprocessing.align import aligned_counts, aligned_measured
from unisono.types import Cells, MeasuredFeatures, Modality, Prediction, View

_VALUES_AT_A_TIME = 2**21
_SHUFFLE_SEED = 0


@dataclass(frozen=True, eq=False)
class Predicted:
    """One modality predicted from another as by `predict`, in average style, over the cells that have both.

    Attributes:
        source: what was predicted from.
        truth: measured values on the target's scale, over the features that test and model share.
        prediction: the same cells and features.
        measured: which of the values were measured.
        ridge: the same by a linear ridge of the model's codes, for comparison; None where the model has none.
    """

    source: View
    truth: sparse.csc_matrix
    prediction: Prediction
    measured: MeasuredFeatures
    ridge: Prediction | None = None

    @property
    def is_binary(self) -> bool:
        """Whether measured values are 0 or 1 and predicted ones probabilities."""
        return self.prediction.link == "logistic"


def blocks(prediction: Prediction) -> Iterator[NDArray[np.float32]]:
    """The predicted values of some features at a time."""
    n_cells, n_features = prediction.shape
    size = max(1, _VALUES_AT_A_TIME // n_cells)
    for start in range(0, n_features, size):
        yield prediction.take_features(slice(start, start + size)).dense()


@dataclass(frozen=True, eq=False)
class Matched:
    """One modality matched to another as by `match`, over the cells that have both, the right side shuffled.

    Attributes:
        left: left cells.
        right: right cells, in another order.
        partner: row of each left cell's partner among the right ones.
        similarity: by what cells were compared.
        soft: the matching by rule "soft".
        one_to_one: the matching by rule "one-to-one", from the same posterior.
        within: obs column of the groups inside which cells were matched; None for one group.
        groups: of left and of right cells; None for one group.
        depth: whether the agreement of total counts was used.
    """

    left: View
    right: View
    partner: NDArray[np.intp]
    similarity: Similarity
    soft: Matching
    one_to_one: Matching
    within: str | None
    groups: Groups | None
    depth: bool


def predictions(model: Unisono, cells: Cells, *, with_draws: bool = False) -> Iterator[Predicted]:
    """Every direction in which at least two cells have both ends.

    Args:
        model: fitted on other cells.
        cells: validated counts.
        with_draws: draw from the posterior where the model knows intervals, as they need.
    """
    for source, target in permutations(cells.modalities, 2):
        paired = _paired(cells, source, target)
        if paired is None:
            continue
        n_draws = model.config.uncertainty.n_draws if with_draws and (source, target) in model.fitted.intervals else 0
        prediction = model.fitted.predict(paired[0], target, n_draws=n_draws)
        truth, shared = over_shared_features(model, prediction, paired[1])
        measured = _measured(model, shared, paired[1])
        yield Predicted(paired[0], truth, shared, measured, _by_ridge(model, paired[0], shared))


def _by_ridge(model: Unisono, source: View, prediction: Prediction) -> Prediction | None:
    """The ridge of the model's codes, over the features of a prediction."""
    predictor = model.fitted.predictor
    ridge = predictor.predict_by_ridge(predictor.transform(source), prediction.target)
    if ridge is None:
        return None
    return ridge.take_features(pd.Index(ridge.features).get_indexer(pd.Index(prediction.features)))


def matchings(model: Unisono, cells: Cells) -> Iterator[Matched]:
    """Every pair of modalities that at least two cells have both of: over all cells and within batch, then with depth.

    The right cells stand in the order of `numpy.random.default_rng(0).permutation(n)`.
    """
    for pair in combinations(cells.modalities, 2):
        paired = _paired(cells, *pair)
        if paired is not None:
            yield from _matched(model, *paired)


def over_shared_features(model: Unisono, prediction: Prediction, target: View) -> tuple[sparse.csc_matrix, Prediction]:
    """Measured values and prediction over the features that both have, in the prediction's order.

    Features that no batch of the target measured are none of these.
    """
    projection = model.fitted.preprocessors[target.modality].projection
    alignment = projection.align(target)
    shared = np.flatnonzero(aligned_measured(target.measured, alignment).n_cells > 0)
    if alignment.weights is not None:
        counts = aligned_counts(target, alignment)
        measured = spec_of(target.modality).on_scale(counts, target.depth).tocsc()[:, shared]
    else:
        measured = projection.on_scale(target).tocsc()[:, alignment.columns[shared]]
    return measured, prediction.take_features(shared)


def _measured(model: Unisono, prediction: Prediction, target: View) -> MeasuredFeatures:
    """Which values of the target were measured, of the features of a prediction."""
    projection = model.fitted.preprocessors[target.modality].projection
    known = aligned_measured(target.measured, projection.align(target))
    return known.take_features(np.flatnonzero(np.isin(projection.features, prediction.features)))


def _paired(cells: Cells, a: Modality, b: Modality) -> tuple[View, View] | None:
    """The two views over the cells that have both, in the same order."""
    rows_a, rows_b = cells.paired(a, b)
    return (cells.views[a].take(rows_a), cells.views[b].take(rows_b)) if len(rows_a) > 1 else None


def _matched(model: Unisono, left: View, right: View) -> Iterator[Matched]:
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(right.n_cells)
    shuffled, partner = right.take(order), np.argsort(order)
    columns = (None,) if len(np.unique(left.batch)) == 1 else (None, model.record.batch_key)
    for depth, within in product((False, True), columns):
        groups = None if within is None else (left.batch, shuffled.batch)
        similarity, by_rule = model.match_by_rules(left, shuffled, ("soft", "one-to-one"), groups=groups, depth=depth)
        found = by_rule["soft"], by_rule["one-to-one"]
        yield Matched(left, shuffled, partner, similarity, *found, within, groups, depth)
