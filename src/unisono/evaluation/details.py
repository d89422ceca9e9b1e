"""The evaluation report: scores of a model with the curves and samples behind them, in one pass; draws nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.evaluation.labels import cell_labels
from unisono.evaluation.outputs import Matched, Predicted, matchings, predictions
from unisono.evaluation.report_data import Direction, EvaluationReport, Numbers, Pairing, Sample, sampled, space_of
from unisono.evaluation.score_table import Score
from unisono.evaluation.scores import details_of, matching_rows, prediction_rows, read_test, table_of
from unisono.io.checks.report import check
from unisono.io.fingerprint import fingerprint
from unisono.io.places import Layer
from unisono.messages import Finding
from unisono.metrics import Curve, PredictionDetails, abstention, reliability, top_match
from unisono.metrics.arrays import Floats, Rows
from unisono.model.query import QueryOptions, batch_key_of, kinds, new_batches, read_options
from unisono.model.unisono import Unisono
from unisono.types import Cells

if TYPE_CHECKING:
    from mudata import MuData

MAX_CELLS = 2_000
MAX_FEATURES = 150
_EACH = 20
_MIN_CELLS = 10
"""Cells that a feature of a large panel has to be found in: one seen in one or two is predicted by chance."""

COVERAGES = (0.5, 0.8, 0.9, 0.95)
_CELLS_A_BIN = 40
"""Cells behind a point of the reliability, where there are enough for several points."""

_VALUES_AT_A_TIME = 2**21


def evaluation_report(
    model: Unisono,
    test: MuData,
    *,
    label_key: str | None = None,
    source_name: str = "test",
    force: bool = False,
    layer: Layer | None = None,
    round_counts: bool | None = None,
    numbers: Numbers | None = None,
) -> EvaluationReport:
    """As `evaluate`, in the same pass with what a reader needs to see how the scores come about.

    Args:
        model: fitted on other cells.
        test: raw counts, at least two of the model's modalities over shared cell names.
        label_key: as of `evaluate`.
        source_name: what messages call the data.
        force: continue even where the test cells hold less than a tenth of what the model reads.
        layer: as of `evaluate`.
        round_counts: as of `evaluate`.
        numbers: further numbers of cells to show in the shared space, in addition to their novelty.

    Raises:
        BadInput: the cells cannot be read by the model, no cell has two modalities, or no column is called `label_key`.
    """
    asked = QueryOptions(force, layer, round_counts)
    cells, transductive = read_test(model, test, source_name, asked)
    labels = cell_labels(model, test, cells, label_key, source_name)
    rows: list[Score] = []
    directions: list[Direction] = []
    for predicted in predictions(model, cells, with_draws=True):
        details = details_of(predicted)
        rows += prediction_rows(predicted, details)
        groups = model.interval_groups(test, predicted.source, predicted.prediction.target, source_name)
        directions.append(_direction(model, predicted, details, groups))
    pairings: list[Pairing] = []
    for matched in matchings(model, cells):
        rows += matching_rows(matched, labels)
        pairings.append(_pairing(model, matched))
    scores = table_of(rows, source_name, labels)
    novelty = {"novelty": {m: model.fitted.novelty(view) for m, view in cells.views.items()}}
    return EvaluationReport(
        source_name,
        fingerprint(cells),
        {m: cells.views[m].n_cells for m in cells.modalities},
        scores,
        space_of(model, test, cells, novelty | dict(numbers or {})),
        tuple(directions),
        tuple(sorted(pairings, key=lambda pairing: not pairing.is_content_alone)),
        tuple(dict.fromkeys([*transductive, *_findings(model, test, cells, source_name, asked)])),
        model.record,
        model.config,
    )


def _direction(model: Unisono, output: Predicted, details: PredictionDetails, groups: NDArray[np.str_]) -> Direction:
    prediction = output.prediction
    accuracy = {"correlation": details.pearson}
    if np.isfinite(details.auroc).any():
        accuracy["AUROC"] = details.auroc
    rows = sampled(output.source.n_cells, MAX_CELLS)
    columns, why = _select_examples(output, details.pearson)
    shown = prediction.take_features(columns)
    sample = Sample(
        columns,
        why,
        output.truth.tocsr()[rows][:, columns].toarray().astype(np.float32),
        replace(shown, cells=shown.cells[rows], codes=shown.codes[rows], draws=None).dense(),
    )
    return Direction(
        prediction.source,
        prediction.target,
        output.source.n_cells,
        prediction.features,
        accuracy,
        sample,
        _coverage(model, output, rows, groups),
    )


def _select_examples(output: Predicted, accuracy: Floats) -> tuple[Rows, NDArray[np.str_]]:
    """All features of a small panel; of a large one the most and least accurate and the most variable that vary."""
    n_features = len(accuracy)
    if n_features <= MAX_FEATURES:
        return np.arange(n_features), np.full(n_features, "", dtype=object)
    x = output.truth.tocsc().astype(np.float64)
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


def _coverage(model: Unisono, output: Predicted, rows: Rows, groups: NDArray[np.str_]) -> Curve | None:
    """Share of measured values inside their intervals at each promised share, over some cells and all features."""
    prediction = output.prediction
    widths = model.fitted.intervals.get((prediction.source, prediction.target))
    if widths is None or prediction.draws is None:
        return None
    known = pd.Index(model.fitted.preprocessors[prediction.target].projection.features)
    columns = known.get_indexer(pd.Index(prediction.features))
    truth, measured, n_values = output.truth.tocsr(), output.measured, 0
    held = np.zeros(len(COVERAGES))
    for part in np.array_split(rows, max(1, len(rows) * len(columns) // _VALUES_AT_A_TIME)):
        some = replace(
            prediction,
            cells=prediction.cells[part],
            codes=prediction.codes[part],
            draws=prediction.draws[:, part],
        )
        gap, spread = np.abs(truth[part].toarray() - some.dense()), some.spread()
        is_measured = measured.rows[measured.row_of[part]]
        n_values += int(is_measured.sum())
        for place, promised in enumerate(COVERAGES):
            bounds = widths.bounds(promised, groups[part]).take_features(columns)
            held[place] += float((is_measured & (gap <= bounds.half_width(spread))).sum())
    return Curve(np.array(COVERAGES), held / n_values, np.full(len(COVERAGES), n_values, dtype=np.intp))


def _pairing(model: Unisono, output: Matched) -> Pairing:
    posterior = output.soft.match_posterior
    correct, best = top_match(posterior.probabilities, output.partner)
    stated = np.minimum(best * posterior.listed, 1.0)
    left, right = model.fitted.embedding(output.left), model.fitted.embedding(output.right)
    return Pairing(
        output.left.modality,
        output.right.modality,
        output.within,
        output.depth,
        output.left.n_cells,
        reliability(stated, correct, bins=int(np.clip(len(stated) // _CELLS_A_BIN, 3, 15))),
        abstention(stated, correct),
        float(np.einsum("ij,ij->i", left, right[output.partner]).mean()),
        float(left.mean(axis=0) @ right.mean(axis=0)),
    )


def _findings(model: Unisono, test: MuData, cells: Cells, source_name: str, asked: QueryOptions) -> list[Finding]:
    """What was noticed about the test data, against the model, the gravest first."""
    names = {name: kind for name, kind in kinds(test, model.record).items() if kind in model.fitted.preprocessors}
    found: list[Finding] = []
    keys: list[str | None] = []
    for name, modality in names.items():
        key, without = batch_key_of(test, model.record, [name], source_name)
        keys.append(key)
        found += [
            *without,
            *new_batches(
                cells.views[modality], model.fitted.preprocessors[modality], f"{source_name}, {modality}", model.record
            ),
        ]
    key = None if None in keys else model.record.batch_key
    options = read_options(model.record, key, names, asked)
    report = check(test, options, source_name, preprocessors=model.fitted.preprocessors)
    return sorted([*found, *report.findings], key=lambda each: "EWI".index(each.code[0]))
