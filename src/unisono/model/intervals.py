"""Intervals: conformal widths for every prediction of a model, from cells that it has not seen; changes no weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from unisono.messages import bad_input
from unisono.modalities import spec_of
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import on_scale
from unisono.types import Bounds, Cells, Modality, Pair, Prediction, View
from unisono.uncertainty.conformal import Conformal

DRAWS = 16
"""Draws behind the spread of an interval: as many when widths are learnt as when they are used."""

_MIN_CELLS = 10

Predict = Callable[[View, Modality], Prediction]


def calibrated(
    predict: Predict,
    preprocessors: Mapping[Modality, Preprocessor],
    cells: Cells,
    groups: Mapping[Modality, NDArray[np.str_]],
    fewest: int,
    by: str | None = None,
) -> dict[Pair, Conformal]:
    """Widths for every direction that enough of the cells have both ends of.

    Chromatin as target has none: what is measured of a peak is 0 or 1, and an interval about a probability would not
    hold it.

    Args:
        predict: a prediction with draws, of every feature.
        voices: by modality, for the names of features.
        cells: unseen by the model.
        groups: by modality, of each cell of its view.
        fewest: cells from which on a group gets widths of its own.
        by: the obs column that named the groups; None for that of the batch.
    """
    found: dict[Pair, Conformal] = {}
    for source, target in permutations(cells.modalities, 2):
        both = (cells.rows[source] >= 0) & (cells.rows[target] >= 0)
        if spec_of(target).is_binary or both.sum() < _MIN_CELLS:
            continue
        rows = cells.rows[source][both]
        prediction = predict(cells.views[source].take(rows), target)
        measured = cells.views[target].take(cells.rows[target][both])
        learnt = _learnt(prediction, preprocessors[target], measured, groups[source][rows], fewest)
        found[source, target] = replace(learnt, by=by)
    return found


def bounds_of(
    intervals: Mapping[Pair, Conformal], source: Modality, target: Modality, interval: float, groups: NDArray[np.str_]
) -> Bounds:
    """The widths of intervals of coverage `interval`, of cells of these groups.

    Raises:
        BadInput: E053, the coverage is out of range, or there are no widths in this direction.
    """
    if not 0 < interval < 1:
        raise bad_input("E053", "predict", f"interval={interval} is no coverage.", "say a number between 0 and 1")
    if spec_of(target).is_binary:
        what = f"{target} is measured as 0 or 1, which an interval about a probability would not hold."
        raise bad_input("E053", "predict", what, f"leave interval out for {target}")
    if (source, target) not in intervals:
        what = f"no intervals are known from {source} to {target}: too few cells were held out in the fit."
        raise bad_input("E053", "predict", what, "call model.calibrate with cells that it has not seen")
    return intervals[source, target].bounds(interval, groups)


def _learnt(
    prediction: Prediction, preprocessor: Preprocessor, measured: View, groups: NDArray[np.str_], fewest: int
) -> Conformal:
    """Widths of one direction; features that were not measured have infinite ones."""
    columns = preprocessor.projection.align(measured).columns
    is_there = columns >= 0
    truth = on_scale(measured).tocsc()[:, columns[is_there]].toarray()
    error = np.full(prediction.shape, np.inf, dtype=np.float32)
    error[:, is_there] = truth - prediction.dense()[:, is_there]
    return Conformal.fit(error, prediction.spread(), groups, fewest)
