"""Collects evidence: asks a fitted model once about test cells and keeps scores, curves and samples; draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.evaluation import reference
from unisono.evaluation.answers import Matched, Predicted, matchings, predictions
from unisono.evaluation.figures import JudgedPrediction
from unisono.evaluation.labels import labels_of
from unisono.evaluation.report_data import Direction, EvaluationReport, Pairing, Sample, Space
from unisono.evaluation.scores import judged, matching_scores, named, seen, without_pairs
from unisono.io.check import check
from unisono.io.fingerprint import fingerprint
from unisono.messages import Finding
from unisono.metrics import Curve, abstention, reliability, top_answers
from unisono.metrics.arrays import Rows, Scores
from unisono.model.query import batch_key_of, kinds, new_batches, query_cells, warn
from unisono.model.unisono import Unisono
from unisono.types import Cells, Modality

if TYPE_CHECKING:
    from mudata import MuData

Numbers = Mapping[str, Mapping[Modality, NDArray[np.floating]]]
"""What they are called → modality → one number for each of its cells, such as how new a cell is to the model."""

MAX_POINTS = 20_000
MAX_CELLS = 2_000
MAX_FEATURES = 150
_EACH = 20
_MIN_CELLS = 10
"""Cells that a feature of a large panel has to be found in: what is seen in one or two is predicted by luck."""

COVERAGES = (0.5, 0.8, 0.9, 0.95)
_CELLS_A_BIN = 20
"""Cells behind a point of the reliability, where there are enough for several points."""

_VALUES_AT_A_TIME = 2**21
_DRAW = 0
"""Seed of which cells are shown."""


def collect(
    model: Unisono,
    test: MuData,
    *,
    source_name: str = "test",
    force: bool = False,
    numbers: Numbers | None = None,
) -> EvaluationReport:
    """As `evaluate`, with what a reader needs beside the figures; `scores` are those of `evaluate`.

    Args:
        model: fitted on other cells.
        test: raw counts, at least two of the model's modalities over shared cell names.
        source_name: what messages call the data.
        force: go on even where the test cells hold less than a tenth of what the model reads.
        numbers: further numbers of cells to show in the shared space, beside their novelty.

    Raises:
        BadInput: the cells cannot be read by the model, or no cell has two modalities.
    """
    cells = query_cells(test, model.fitted.preprocessors, model.record, source_name, force=force)
    transductive = seen(model.record.unlabelled, cells, source_name)
    warn(transductive)
    scores: dict[str, float] = {}
    chance: dict[str, float] = {}
    directions: list[Direction] = []
    for predicted in predictions(model, cells, with_draws=True):
        result = judged(predicted)
        scores |= named(predicted, result.figures)
        chance |= named(predicted, reference.of_the_mean_profile(predicted.truth))
        groups = model.interval_groups(test, predicted.source, predicted.prediction.target, source_name)
        directions.append(_direction(model, predicted, result, groups))
    pairings: list[Pairing] = []
    for matched in matchings(model, cells):
        scores |= named(matched, matching_scores(matched))
        chance |= named(matched, reference.of_a_blind_match(matched.left.n_cells, matched.groups))
        pairings.append(_pairing(model, matched))
    if not scores:
        raise without_pairs(source_name)
    return EvaluationReport(
        source_name,
        fingerprint(cells),
        {m: cells.views[m].n_cells for m in cells.modalities},
        scores,
        {name: figure for name, figure in chance.items() if name in scores},
        _space(model, test, cells, _novelty(model, cells) | dict(numbers or {})),
        tuple(directions),
        tuple(sorted(pairings, key=lambda pairing: pairing.setting != "")),
        tuple(dict.fromkeys([*transductive, *_findings(model, test, cells, source_name)])),
        model.record,
        model.config,
    )


def _direction(model: Unisono, answer: Predicted, result: JudgedPrediction, groups: NDArray[np.str_]) -> Direction:
    prediction = answer.prediction
    accuracy = {"correlation": result.pearson}
    if np.isfinite(result.auroc).any():
        accuracy["AUROC"] = result.auroc
    rows = _drawn(answer.source.n_cells, MAX_CELLS)
    columns, why = _select_examples(answer, result.pearson)
    shown = prediction.take_features(columns)
    sample = Sample(
        columns,
        why,
        answer.truth.tocsr()[rows][:, columns].toarray().astype(np.float32),
        replace(shown, cells=shown.cells[rows], codes=shown.codes[rows], draws=None).dense(),
    )
    return Direction(
        prediction.source,
        prediction.target,
        answer.source.n_cells,
        prediction.features,
        accuracy,
        sample,
        _coverage(model, answer, rows, groups),
    )


def _select_examples(answer: Predicted, accuracy: Scores) -> tuple[Rows, NDArray[np.str_]]:
    """All features of a small panel; of a large one the most and least accurate and the most variable that vary."""
    n_features = len(accuracy)
    if n_features <= MAX_FEATURES:
        return np.arange(n_features), np.full(n_features, "", dtype=object)
    x = answer.truth.tocsc().astype(np.float64)
    variance = np.asarray(x.multiply(x).mean(axis=0)).ravel() - np.asarray(x.mean(axis=0)).ravel() ** 2
    n_cells, n_measured = x.shape[0], np.asarray(x.astype(bool).sum(axis=0)).ravel()
    informative = np.flatnonzero((variance > 0) & (n_measured >= min(_MIN_CELLS, n_cells // 4)))
    varying = informative if len(informative) >= 3 * _EACH else np.flatnonzero(variance > 0)
    best = varying[np.argsort(-accuracy[varying], kind="stable")]
    kinds_of = {
        "most accurate": best[:_EACH],
        "most variable": varying[np.argsort(-variance[varying], kind="stable")],
        "least accurate": best[::-1],
    }
    chosen: dict[int, str] = {}
    for kind, ranked in kinds_of.items():
        free = [int(column) for column in ranked if int(column) not in chosen]
        chosen |= dict.fromkeys(free[:_EACH], kind)
    return np.fromiter(chosen, dtype=np.intp), np.array(list(chosen.values()), dtype=object)


def _coverage(model: Unisono, answer: Predicted, rows: Rows, groups: NDArray[np.str_]) -> Curve | None:
    """Share of measured values inside their intervals at each promised share, over some cells and all features."""
    prediction = answer.prediction
    widths = model.fitted.intervals.get((prediction.source, prediction.target))
    if widths is None or prediction.draws is None:
        return None
    known = pd.Index(model.fitted.preprocessors[prediction.target].projection.features)
    columns = known.get_indexer(pd.Index(prediction.features))
    truth = answer.truth.tocsr()
    held = np.zeros(len(COVERAGES))
    for part in np.array_split(rows, max(1, len(rows) * len(columns) // _VALUES_AT_A_TIME)):
        some = replace(
            prediction,
            cells=prediction.cells[part],
            codes=prediction.codes[part],
            draws=prediction.draws[:, part],
        )
        gap, spread = np.abs(truth[part].toarray() - some.dense()), some.spread()
        for place, promised in enumerate(COVERAGES):
            bounds = widths.bounds(promised, groups[part]).take_features(columns)
            held[place] += float((gap <= bounds.half_width(spread)).sum())
    n_values = len(rows) * len(columns)
    return Curve(np.array(COVERAGES), held / n_values, np.full(len(COVERAGES), n_values, dtype=np.intp))


def _pairing(model: Unisono, answer: Matched) -> Pairing:
    correct, stated = top_answers(answer.soft, answer.partner)
    stated = np.minimum(stated, 1.0)
    left, right = model.fitted.embedding(answer.left), model.fitted.embedding(answer.right)
    return Pairing(
        answer.left.modality,
        answer.right.modality,
        answer.setting,
        answer.left.n_cells,
        reliability(stated, correct, bins=int(np.clip(len(stated) // _CELLS_A_BIN, 3, 15))),
        abstention(stated, correct),
        float(np.einsum("ij,ij->i", left, right[answer.partner]).mean()),
        float(left.mean(axis=0) @ right.mean(axis=0)),
    )


def _novelty(model: Unisono, cells: Cells) -> dict[str, Mapping[Modality, NDArray[np.floating]]]:
    return {"novelty": {m: model.fitted.novelty(cells.views[m]) for m in cells.modalities}}


def _space(model: Unisono, test: MuData, cells: Cells, numbers: Numbers) -> Space:
    rows = cells.rows
    n_points = sum(view.n_cells for view in cells.views.values())
    n_shown = len(cells.names) if n_points <= MAX_POINTS else int(MAX_POINTS / n_points * len(cells.names))
    drawn = _drawn(len(cells.names), n_shown)
    own = {m: rows[m][drawn][rows[m][drawn] >= 0] for m in cells.modalities}
    labels = labels_of(test, cells, model.record)
    return Space(
        np.concatenate([model.fitted.embedding(cells.views[m])[own[m]] for m in cells.modalities]),
        np.concatenate([np.full(len(own[m]), m, dtype=object) for m in cells.modalities]),
        np.concatenate([np.flatnonzero(rows[m][drawn] >= 0) for m in cells.modalities]),
        cells.names[drawn],
        {name: np.concatenate([column[m][own[m]] for m in cells.modalities]) for name, column in labels.items()},
        {
            name: np.concatenate(
                [
                    np.asarray(by[m], dtype=np.float64)[own[m]] if m in by else np.full(len(own[m]), np.nan)
                    for m in cells.modalities
                ]
            )
            for name, by in numbers.items()
        },
        len(cells.names),
    )


def _drawn(n: int, most: int) -> Rows:
    """Which of n are shown, in order: all, or as many as there is room for."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(_DRAW).permutation(n)[:most])


def _findings(model: Unisono, test: MuData, cells: Cells, source_name: str) -> list[Finding]:
    """What was noticed about the test data, against the model, from the gravest to the least."""
    names = {name: kind for name, kind in kinds(test, model.record).items() if kind in model.fitted.preprocessors}
    found: list[Finding] = []
    keys: list[str | None] = []
    for name, modality in names.items():
        key, without = batch_key_of(test, model.record, [name], source_name)
        keys.append(key)
        found += [
            *without,
            *new_batches(cells.views[modality], model.fitted.preprocessors[modality], f"{source_name}, {modality}"),
        ]
    key = None if None in keys else model.record.batch_key
    report = check(
        test, batch_key=key, modalities=names, source_name=source_name, preprocessors=model.fitted.preprocessors
    )
    return sorted([*found, *report.findings], key=lambda each: "EWI".index(each.code[0]))
