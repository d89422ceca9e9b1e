"""Scores: a fitted model on test cells whose partners are known; the partners are used to judge, never to match."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.evaluation import metrics
from unisono.findings import refuse
from unisono.fitted.query import kinds, query_view
from unisono.fitted.unisono import Unisono
from unisono.match import Rule
from unisono.transforms.transform import on_scale
from unisono.types import Cells, Modality, Prediction, View

if TYPE_CHECKING:
    from mudata import MuData

_FEATURES_AT_A_TIME = 2000
_SHUFFLE_SEED = 0


def evaluate(model: Unisono, test: MuData, *, where: str = "test") -> dict[str, float]:
    """Both tasks on cells that the model has not seen, paired by name.

    Args:
        model: fitted on other cells.
        test: raw counts, at least two of the model's modalities over shared cell names.
        where: what messages call the data.

    Returns:
        task → figure. Prediction in average style, `rna->adt pearson` and so on: mean over features of the Pearson
        correlation (a constant feature scores 0), `rmse` over all values, for atac `auroc` over peaks with 10 open
        and 10 closed cells. Matching with the right side shuffled, `rna~adt foscttm` and so on (see
        `unisono.evaluation.metrics`): `foscttm`, `recall@10`, `match probability` (soft), `one-to-one accuracy`.
        Matching by content alone, and `... with depth`; where the test cells come from several batches also
        `... within batch`.

    Raises:
        BadInput: the cells cannot be read by the model, or no cell has two modalities.
    """
    modalities = [m for m in model.modalities if m in kinds(test, model.record).values()]
    cells = Cells({m: query_view(test, m, model.voices, model.record, where) for m in modalities})
    scores: dict[str, float] = {}
    for source, target in permutations(modalities, 2):
        paired = _paired(cells, source, target)
        if paired is not None:
            scores |= _prediction_scores(model, *paired)
    for left, right in combinations(modalities, 2):
        paired = _paired(cells, left, right)
        if paired is not None:
            scores |= _matching_scores(model, *paired)
    if not scores:
        raise refuse("E027", where, "no cell has two modalities of this model.", "give cells measured in both")
    return scores


def _paired(cells: Cells, a: Modality, b: Modality) -> tuple[View, View] | None:
    """The two views over the cells that have both, in the same order."""
    both = (cells.rows[a] >= 0) & (cells.rows[b] >= 0)
    if both.sum() < 2:
        return None
    return cells.views[a].take(cells.rows[a][both]), cells.views[b].take(cells.rows[b][both])


def _prediction_scores(model: Unisono, source: View, target: View) -> dict[str, float]:
    prediction = model.prediction_of(source, target.modality)
    task = f"{source.modality}->{target.modality}"
    truth, prediction = _over_shared_features(prediction, target)
    pearson, squares, auroc = [], 0.0, []
    for start in range(0, len(prediction.features), _FEATURES_AT_A_TIME):
        columns = slice(start, start + _FEATURES_AT_A_TIME)
        predicted, measured = prediction.take_features(columns).dense(), truth[:, columns]
        dense = measured.toarray()
        pearson.append(metrics.pearson_per_feature(dense, predicted))
        squares += float(((dense.astype(np.float64) - predicted) ** 2).sum())
        if target.modality == "atac":
            auroc.append(metrics.auroc_per_feature(measured.tocsr(), predicted))
    scores = {
        f"{task} pearson": float(np.concatenate(pearson).mean()),
        f"{task} rmse": float(np.sqrt(squares / (truth.shape[0] * truth.shape[1]))),
    }
    per_peak = np.concatenate(auroc) if auroc else np.empty(0)
    if np.isfinite(per_peak).any():
        scores[f"{task} auroc"] = float(np.nanmean(per_peak))
    return scores


def _over_shared_features(prediction: Prediction, target: View) -> tuple[sparse.csc_matrix, Prediction]:
    """Measured values and prediction over the features that both have, in the prediction's order."""
    place = {name: column for column, name in enumerate(target.features)}
    shared = np.array([i for i, name in enumerate(prediction.features) if name in place], dtype=np.intp)
    columns = np.array([place[prediction.features[i]] for i in shared], dtype=np.intp)
    return on_scale(target).tocsc()[:, columns], prediction.take_features(shared)


def _matching_scores(model: Unisono, left: View, right: View) -> dict[str, float]:
    task = f"{left.modality}~{right.modality}"
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(right.n_cells)
    shuffled, partner = right.take(order), np.argsort(order)
    batches = left.batch
    groupings: list[tuple[str, NDArray[np.str_] | None]] = [("", None)]
    if len(np.unique(batches)) > 1:
        groupings.append((" within batch", batches))
    scores = {}
    for depth in (False, True):
        for suffix, groups in groupings:
            suffix = f"{suffix}{' with depth' if depth else ''}"
            pair = None if groups is None else (groups, groups[order])
            vectors = model.match_vectors(left, shuffled, depth=depth, groups=pair)
            ordered = vectors.left, vectors.right[partner]
            scores[f"{task} foscttm{suffix}"] = metrics.foscttm(*ordered, groups=groups)
            scores[f"{task} recall@10{suffix}"] = metrics.recall_at(*ordered, ks=(10,), groups=groups)[10]
            figures: tuple[tuple[str, Rule], ...] = (
                ("match probability", "soft"),
                ("one-to-one accuracy", "one-to-one"),
            )
            for name, rule in figures:
                found = model.match_views(left, shuffled, groups=pair, rule=rule, depth=depth, top=1000)
                scores[f"{task} {name}{suffix}"] = metrics.match_probability(found.coupling.posterior, partner)
    return scores
