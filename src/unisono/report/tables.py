"""Tables of the page: headline, scores with their chance level, provenance; words, no markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from unisono.evaluation.report_data import Direction, EvaluationReport, Pairing
from unisono.evaluation.scores import Score
from unisono.modalities import spec_of
from unisono.report import words
from unisono.report.words import Meaning
from unisono.types import Modality

Row = Mapping[str, str | float]
_COUNT = "n_without_correlation"
"""The one metric that is a number of features."""


@dataclass(frozen=True)
class Key:
    """One number that a reader should take home: what it is of, the number, what it says."""

    of: str
    value: str
    sentence: str


@dataclass(frozen=True)
class Line:
    """One metric in every column: value and chance level as text, '' where there is none."""

    meaning: Meaning
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FigureTable:
    """Scores of one task; `is_more` where a reader may do without."""

    title: str
    note: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    is_more: bool = False


@dataclass(frozen=True)
class Plain:
    """A table of text, for reading instead of a figure."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def headline(report: EvaluationReport) -> list[Key]:
    """A number for every direction and for every pair."""
    keys = []
    for each in report.directions:
        auroc = report.scores.get(each.source, each.target, "auroc")
        of = words.arrow(each.source, each.target)
        if auroc is not None:
            what = "open cells are ranked above closed ones (AUROC, mean over peaks); 0.5 at chance, 1 is perfect"
            keys.append(Key(of, f"{auroc.value:.2f}", what))
        else:
            feature = spec_of(each.target).features
            what = f"correlation of predicted and measured, mean over {feature}; 0 at chance, 1 is perfect"
            value = report.scores.value(each.source, each.target, "pearson")
            keys.append(Key(of, f"{value:.2f}", what))
    for pair in (pairing for pairing in report.pairings if pairing.is_content_alone):
        value = report.scores.value(pair.left, pair.right, "foscttm")
        what = (
            f"of the other cells lie closer than the true partner, among {pair.n_cells:,} cells; "
            "50 % at chance, 0 is perfect"
        )
        keys.append(Key(words.tie(pair.left, pair.right), words.share(value), what))
    return keys


def figure_tables(report: EvaluationReport) -> list[FigureTable]:
    """One table of prediction, one for each pair of matching."""
    tables = []
    if report.directions:
        outputs = [(each.source, each.target, None, False) for each in report.directions]
        columns = tuple(words.arrow(each.source, each.target) for each in report.directions)
        note = "Grey: what the average profile of the test cells would get, given to every cell."
        tables.append(_table(report, "Prediction", note, columns, words.PREDICTION, outputs))
    return [*tables, *_matching_tables(report)]


def _matching_tables(report: EvaluationReport) -> list[FigureTable]:
    """Settings side by side where there is one pair; else pairs side by side, a table for each setting."""
    groups: dict[str | None, list[Pairing]] = {}
    is_one = len({(each.left, each.right) for each in report.pairings}) == 1
    for each in report.pairings:
        groups.setdefault(None if is_one else words.setting(each.within, each.depth), []).append(each)
    tables = []
    for setting, pairings in groups.items():
        by_setting = tuple(words.opening(words.setting(each.within, each.depth)) for each in pairings)
        by_pair = tuple(words.tie(each.left, each.right) for each in pairings)
        title = f"Matching, {by_pair[0]}" if is_one else f"Matching {setting}"
        counts = words.listed(list(dict.fromkeys(f"{each.n_cells:,}" for each in pairings)))
        note = f"Among {counts} cells on either side. Grey: what guessing would get."
        if any(each.depth for each in pairings):
            note += " With depth, total counts help too: right only if both sides come from the same physical cells."
        outputs = [(each.left, each.right, each.within, each.depth) for each in pairings]
        columns, is_more = by_setting if is_one else by_pair, not pairings[0].is_content_alone
        tables.append(_table(report, title, note, columns, words.MATCHING, outputs, is_more))
    return tables


def _table(
    report: EvaluationReport,
    title: str,
    note: str,
    columns: tuple[str, ...],
    meanings: Mapping[str, Meaning],
    outputs: Sequence[tuple[Modality, Modality, str | None, bool]],
    is_more: bool = False,
) -> FigureTable:
    lines = []
    for metric, meaning in meanings.items():
        found = [
            report.scores.get(source, target, metric, within=within, depth=depth)
            for source, target, within, depth in outputs
        ]
        if any(found):
            lines.append(Line(meaning, tuple((_value(score), _chance(score)) for score in found)))
    return FigureTable(title, note, columns, tuple(lines), is_more)


def _chance(score: Score | None) -> str:
    return "" if score is None or score.chance is None else words.level(score.chance)


def _value(score: Score | None) -> str:
    if score is None or not np.isfinite(score.value):
        return ""
    return f"{score.value:,.0f}" if score.metric == _COUNT else words.figure(score.value)


def extremes(direction: Direction, measure: str, n: int = 10) -> Plain:
    """The best and the worst features of a direction."""
    scores = direction.accuracy[measure]
    order = np.argsort(-scores, kind="stable")
    order = order[np.isfinite(scores[order])]
    shown = list(order) if len(order) <= 2 * n else [*order[:n], *order[-n:]]
    place = {int(column): rank for rank, column in enumerate(order, start=1)}
    rows = tuple((str(place[int(i)]), str(direction.features[i]), f"{scores[i]:.3f}") for i in shown)
    caption = f"{words.arrow(direction.source, direction.target)}: {measure} of "
    which = "all" if len(rows) == len(order) else f"the {n} best and {n} worst of"
    caption += f"{which} {len(order):,} features"
    return Plain(caption, ("rank", "feature", measure), rows)


def curve_table(pairings: Sequence[Pairing], kind: str) -> Plain:
    """Points of the curves of matching by content alone; at most ten of a curve."""
    rows: list[tuple[str, ...]] = []
    for pairing in pairings:
        curve = pairing.reliability if kind == "reliability" else pairing.abstention
        for i in np.unique(np.linspace(0, len(curve.x) - 1, min(10, len(curve.x))).astype(int)):
            x, y = words.share(float(curve.x[i])), words.share(float(curve.y[i]))
            rows.append((words.tie(pairing.left, pairing.right), x, y, f"{curve.n[i]:,}"))
    columns = {
        "reliability": ("pair", "stated probability", "right answers", "cells"),
        "abstention": ("pair", "share of cells matched", "right answers", "cells"),
    }
    return Plain("Matching by content alone", columns[kind], tuple(rows))


def coverage_table(directions: Sequence[Direction]) -> Plain:
    """Promised and measured coverage of intervals."""
    rows = [
        (words.arrow(each.source, each.target), words.share(float(x)), words.share(float(y)))
        for each in directions
        if each.coverage is not None
        for x, y in zip(each.coverage.x, each.coverage.y, strict=True)
    ]
    return Plain("Coverage of intervals", ("direction", "promised", "measured"), tuple(rows))


def probe_table(rows: Sequence[Row]) -> Plain:
    """Rows from elsewhere as text; a column for every key, in order of appearance."""
    columns = tuple(dict.fromkeys(chain.from_iterable(rows)))
    cells = tuple(tuple(_probe(row.get(column, "")) for column in columns) for row in rows)
    return Plain("Probes, by representation", columns, cells)


def _probe(value: str | float) -> str:
    return value if isinstance(value, str) else words.figure(value)


def provenance(report: EvaluationReport) -> list[tuple[str, str]]:
    """Where model and test come from, as name and value."""
    record = report.record
    rows = [
        ("Test data", report.test),
        ("Test cells", _counts(report.n_cells)),
        ("Fingerprint of the test cells", report.fingerprint),
        ("Training cells", _counts(record.n_cells)),
        ("Training cells held out", f"{record.n_validation:,}, to stop, to scale and to calibrate"),
        ("Fingerprint of the training cells", record.fingerprint),
        ("Batches named by", record.batch_key or "no column: all cells were one batch"),
        ("Seed", str(report.config.seed)),
        ("Fitted on", f"{record.device}, in {record.seconds:,.0f} s"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
    ]
    for each in record.unlabelled:
        rows.append(("Cells seen without labels", f"{_counts(each.n_cells)} ({each.how})"))
    return rows


def choices(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A configuration as name and value, inner names after a point."""
    rows: list[tuple[str, str]] = []
    for name, value in document.items():
        if isinstance(value, Mapping):
            rows += choices(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows


def _counts(n_cells: Mapping[Any, int]) -> str:
    return ", ".join(f"{n:,} {spec_of(m).label}" for m, n in n_cells.items())
