"""Intervals: conformal widths for every direction of a model, from cells it was not trained on; changes no weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.predictor import Predictor
from unisono.modalities import spec_of
from unisono.preprocessing.projection import on_scale
from unisono.types import Cells, Modality, Pair, Prediction, View
from unisono.uncertainty.conformal import Conformal


def fit_intervals(
    predictor: Predictor,
    cells: Cells,
    config: FitConfig,
    *,
    groups: Mapping[Modality, NDArray[np.str_]] | None = None,
    by: str | None = None,
) -> dict[Pair, Conformal]:
    """Widths for every direction in which enough of the cells are paired.

    A binary target has none: what is measured is 0 or 1, which no interval about a probability would hold.

    Args:
        predictor: not trained on the cells.
        cells: to learn from.
        config: of the fit.
        groups: by modality, of each cell of its view; those with enough cells have widths of their own. The batches by
            default.
        by: the obs column that named the groups; None for that of the batch.
    """
    choice = config.uncertainty
    min_cells = choice.min_batch_cells if groups is None else choice.min_group_cells
    groups = groups if groups is not None else {m: view.batch for m, view in cells.views.items()}
    intervals: dict[Pair, Conformal] = {}
    for source, target in permutations(cells.modalities, 2):
        rows, rows_target = cells.paired(source, target)
        if spec_of(target).is_binary or len(rows) < choice.min_interval_cells:
            continue
        codes = predictor.transform(cells.views[source].take(rows))
        prediction = predictor.predict(codes, target, n_draws=choice.n_draws)
        widths = _widths(predictor, prediction, cells.views[target].take(rows_target), groups[source][rows], min_cells)
        intervals[source, target] = replace(widths, by=by)
    return intervals


def _widths(
    predictor: Predictor, prediction: Prediction, measured: View, groups: NDArray[np.str_], min_cells: int
) -> Conformal:
    """Widths of one direction; features that were not measured have infinite ones."""
    columns = predictor.preprocessors[measured.modality].projection.align(measured).columns
    is_there = columns >= 0
    truth = on_scale(measured).tocsc()[:, columns[is_there]].toarray()
    error = np.full(prediction.shape, np.inf, dtype=np.float32)
    error[:, is_there] = truth - prediction.dense()[:, is_there]
    return Conformal.fit(error, prediction.spread(), groups, min_cells)
