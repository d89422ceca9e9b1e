"""Intervals for cells of other laboratories: errors on each data set of a model of all the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.fitted_model import FittedModel
from unisono.inference.predictor import Predictor
from unisono.preprocessing.projection import on_scale
from unisono.preprocessing.subset import evenly_spread
from unisono.types import Cells, Modality, Pair, View
from unisono.uncertainty.conformal import Conformal

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Errors:
    """Measured minus predicted, and the spread of the prediction: cell x feature, NaN where not known."""

    error: Array
    spread: Array


def intervals_across(
    model: FittedModel,
    cells: Cells,
    data_set: NDArray[np.str_],
    config: FitConfig,
    fit: Callable[[Cells], FittedModel],
) -> dict[Pair, Conformal]:
    """Widths of intervals from errors on each data set, as its own laboratory reports it, of a model of the others.

    Every data set has the same number of cells at most. A feature that only one data set measured has the widths of
    its own laboratory, times what the widths of the other features grow by in the median.

    Args:
        model: of all data sets, with the widths of its own laboratories.
        cells: of all data sets.
        data_set: of each of `cells.names`.
        config: of the fit.
        fit: a model of some cells.
    """
    found: dict[Pair, list[Errors]] = {}
    for name in np.unique(data_set):
        others = fit(with_measured_features(cells.take(np.flatnonzero(data_set != name))))
        rows = np.flatnonzero(data_set == name)
        rows = rows[evenly_spread(len(rows), config.uncertainty.n_cells_of_data_set)]
        held = with_measured_features(cells.take(rows))
        for pair in permutations(held.modalities, 2):
            if pair in model.intervals and set(pair) <= set(others.modalities):
                own = model.preprocessors[pair[1]].projection.features
                found.setdefault(pair, []).append(errors_of(others.predictor, held, pair, own, config))
    joined = {
        pair: Conformal.fit(np.concatenate([e.error for e in parts]), np.concatenate([e.spread for e in parts]))
        for pair, parts in found.items()
    }
    return {pair: completed(joined[pair], own) if pair in joined else own for pair, own in model.intervals.items()}


def with_measured_features(cells: Cells) -> Cells:
    """The same cells over the features that some of them were measured for; those of the others are forgotten."""
    views: dict[Modality, View] = {}
    for modality, view in cells.views.items():
        kept = np.flatnonzero(view.measured.n_cells > 0)
        lacking = {name: mask[kept] for name, mask in view.unmeasured.items() if (view.batch == name).any()}
        views[modality] = replace(
            view,
            counts=view.counts[:, kept],
            features=view.features[kept],
            ids=None if view.ids is None else view.ids[kept],
            unmeasured={name: mask for name, mask in lacking.items() if mask.any()},
        )
    return Cells(views)


def errors_of(predictor: Predictor, held: Cells, pair: Pair, features: NDArray[np.str_], config: FitConfig) -> Errors:
    """Errors about cells of a laboratory that a model does not know, in the order of some features."""
    source, target = pair
    rows, rows_target = held.paired(source, target)
    query = held.views[source].take(rows).in_one_batch("held out")
    prediction = predictor.predict(predictor.transform(query), target, n_draws=config.uncertainty.n_draws)
    measured = held.views[target].take(rows_target)
    truth = on_scale(measured).toarray()
    truth[~measured.measured.rows[measured.measured.row_of]] = np.nan
    place = {str(name): i for i, name in enumerate(predictor.preprocessors[target].projection.features)}
    known = np.array([place.get(str(name), -1) for name in measured.features])
    is_known = known >= 0
    order = {str(name): i for i, name in enumerate(features)}
    columns = np.array([order[str(name)] for name in measured.features[is_known]], dtype=np.intp)
    found = Errors(*(np.full((len(rows), len(features)), fill, dtype=np.float32) for fill in (np.nan, 0.0)))
    found.error[:, columns] = truth[:, is_known] - prediction.dense()[:, known[is_known]]
    found.spread[:, columns] = prediction.spread()[:, known[is_known]]
    return found


def completed(across: Conformal, within: Conformal) -> Conformal:
    """Widths across laboratories, where there are none those within, times the median of what the others grow by."""
    is_known = np.isfinite(across.scale) & np.isfinite(within.scale)
    if is_known.all() or not is_known.any():
        return across
    outer, inner = across.scores[0] * across.scale, within.scores[0] * within.scale
    with np.errstate(invalid="ignore"):
        growth = np.nanmedian(outer[:, is_known] / inner[:, is_known], axis=1)
    scale, scores = across.scale.copy(), across.scores.copy()
    rest = ~np.isfinite(across.scale)
    scale[rest] = within.scale[rest]
    scores[0][:, rest] = within.scores[0][:, rest] * growth[:, None]
    return replace(across, scale=scale, scores=scores)
