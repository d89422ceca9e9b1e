"""What baselines answer that were fitted to the cells of the same data sets on one footing; Unisono has no part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import unisono as un
from unisono_bench.baselines.codes import Codes
from unisono_bench.baselines.contrastive import fit_clip
from unisono_bench.baselines.kernel import kernel_ridge, scaled_per_cell
from unisono_bench.baselines.linear import fit_cca
from unisono_bench.baselines.matcher import FitSpace, PairedCodes, unit_rows
from unisono_bench.baselines.pairs import hold_out
from unisono_bench.baselines.regression import FitRegressor, fit_ridge, nearest
from unisono_bench.matching import DensityRatio
from unisono_bench.studies.left_out import figures
from unisono_bench.studies.left_out.footing import Footing, footings
from unisono_bench.studies.left_out.sets import PAIR, DataSets, Query
from unisono_bench.studies.report import Row

Footings = Mapping[str, Footing]

N_KERNEL_REPEATS, MAX_KERNEL_CELLS = 2, 4000
"""Of the kernel ridge, which is fitted anew for features that other cells measured: for the time."""

REGRESSIONS: dict[str, tuple[int, FitRegressor]] = {
    "ridge": (100, fit_ridge),
    "knn-25": (50, nearest(25)),
    "kernel-ridge": (300, kernel_ridge(scaled_per_cell, N_KERNEL_REPEATS, MAX_KERNEL_CELLS)),
}
"""Name → components of the source, and what learns one block of features."""

N_MATCHING_CODES = 50


def _as_they_are(sides: Footings) -> Footings:
    return sides


def _query_as_is(sides: Footings) -> Footings:
    return {m: side.query_as_is for m, side in sides.items()}


def _scaled_proteins(sides: Footings) -> Footings:
    return {m: side.scaled if m == "adt" else side for m, side in sides.items()}


MATCHERS: dict[str, tuple[Callable[[Footings], Footings], FitSpace, bool]] = {
    "cca": (_query_as_is, fit_cca, False),
    "cca-centred": (_scaled_proteins, fit_cca, False),
    "clip-mlp": (_as_they_are, fit_clip, True),
}
"""Name → footing, what learns the projections, and whether held-out cells end that."""


def answers(sets: DataSets, training: Sequence[str], held: str, seed: int) -> Iterator[Row]:
    """Every figure of every baseline about a data set that it has not seen."""
    query = sets.query(held)
    sides = footings(sets, training, query, seed)
    for name, (n_codes, fit_regressor) in REGRESSIONS.items():
        for source, target in (PAIR, PAIR[::-1]):
            subsets = {one: sets.features(one, target) for one in training}
            found = predicted(sides[source].codes(n_codes), sides[target], query, fit_regressor, seed)
            yield from ({"method": name, **row} for row in figures.of_prediction(query, source, found, subsets))
    cells = sets.cells(training)
    for name, (place, fit_space, stops_early) in MATCHERS.items():
        similarity = matched(place(sides), cells, query, fit_space, stops_early, seed)
        left, right = similarity.left, similarity.right[query.matching.partner]
        rows = [*figures.of_embedding(left, right), *figures.of_matching(query, similarity)]
        yield from ({"method": name, **row} for row in rows)


def predicted(
    source: tuple[Codes, Codes], target: Footing, query: Query, fit_regressor: FitRegressor, seed: int
) -> pd.DataFrame:
    """Cell x feature that training and query measured, each block of features from the cells that measured it.

    Values are not clipped to the scale, as the query's level is not that of training.

    Args:
        source: codes of the training cells and of the query.
        target: the training cells.
        query: the cells.
        fit_regressor: learns a block.
        seed: of the fit.
    """
    x, x_query = source
    view = target.view
    wanted = np.flatnonzero(np.isin(view.features, query.cells.views[view.modality].features))
    values = np.empty((len(x_query), len(wanted)), dtype=np.float32)
    rng = np.random.default_rng([seed, un.modalities.spec_of(view.modality).level])
    for cells, columns in view.measured.take_features(wanted).blocks():
        regressor = fit_regressor(x[cells], target.target(cells, wanted[columns]), rng)
        values[:, columns] = regressor(x_query)
    return pd.DataFrame(values, columns=view.features[wanted])


def matched(
    sides: Footings, training: un.Cells, query: Query, fit_space: FitSpace, stops_early: bool, seed: int
) -> un.matching.Similarity:
    """Of the two sides of the query's matching, as `Matcher` has it: a tenth of the training fits the temperature."""
    codes = {m: side.standardised(N_MATCHING_CODES) for m, side in sides.items()}
    learning, held_out = _rows(sides[PAIR[0]].view, training, seed)
    every = np.arange(len(codes[PAIR[0]][0]))

    def pairs(rows: NDArray[np.intp]) -> PairedCodes:
        return PairedCodes(*(codes[m][0][rows] for m in PAIR))

    space = fit_space(pairs(learning), pairs(held_out), seed)
    vectors = [unit_rows(project(side)) for project, side in zip(space, pairs(held_out), strict=True)]
    left_depth, right_depth = (np.log1p(sides[m].view.depth[held_out]) for m in PAIR)
    batch = sides[PAIR[0]].view.batch[held_out]
    ratio = DensityRatio.fit(vectors[0], vectors[1], left_depth, right_depth, batch)
    if not stops_early:
        space = fit_space(pairs(every), pairs(held_out), seed)
    left, right = (unit_rows(project(codes[m][1])) for m, project in zip(PAIR, space, strict=True))
    shuffled = np.empty_like(right)
    shuffled[query.matching.partner] = right
    return un.matching.Similarity(left, shuffled, ratio.beta)


def _rows(view: un.View, training: un.Cells, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of a view of paired cells to learn from, and rows held out."""
    place = pd.Index(view.cells)
    learning, held_out = (place.get_indexer(pd.Index(side.names)) for side in hold_out(training, seed))
    return learning[learning >= 0], held_out[held_out >= 0]
