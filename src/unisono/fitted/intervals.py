"""Intervals: conformal widths for every prediction of a model, from cells that it has not seen; changes no weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from unisono.transforms.transform import on_scale
from unisono.transforms.voice import Voice
from unisono.types import Cells, Modality, Pair, Prediction, View
from unisono.uncertainty.conformal import Conformal

DRAWS = 16
"""Draws behind the spread of an interval: as many when widths are learnt as when they are used."""

_FEWEST_CELLS = 10

Predict = Callable[[View, Modality], Prediction]


def calibrated(
    predict: Predict,
    voices: Mapping[Modality, Voice],
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
        if target == "atac" or both.sum() < _FEWEST_CELLS:
            continue
        rows = cells.rows[source][both]
        prediction = predict(cells.views[source].take(rows), target)
        measured = cells.views[target].take(cells.rows[target][both])
        learnt = _learnt(prediction, voices[target], measured, groups[source][rows], fewest)
        found[source, target] = replace(learnt, by=by)
    return found


def _learnt(prediction: Prediction, voice: Voice, measured: View, groups: NDArray[np.str_], fewest: int) -> Conformal:
    """Widths of one direction; features that were not measured have infinite ones."""
    columns = voice.transform.align(measured).columns
    is_there = columns >= 0
    truth = on_scale(measured).tocsc()[:, columns[is_there]].toarray()
    error = np.full(prediction.shape, np.inf, dtype=np.float32)
    error[:, is_there] = truth - prediction.dense()[:, is_there]
    return Conformal.fit(error, prediction.spread(), groups, fewest)
