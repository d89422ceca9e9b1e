"""Tables of the page: headline, scores with their chance level, provenance; words, no markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from unisono.evaluation.report_data import Direction, EvaluationReport, Pairing
from unisono.evaluation.score_table import Score
from unisono.modalities import spec_of
from unisono.report import words
from unisono.report.words import Meaning
from unisono.types import Modality

Row = Mapping[str, str | float]
_WITH_DEPTH = " With depth, total counts help too: right only if both sides come from the same physical cells."
_COUNT = "n_without_correlation"
"""The one metric that is a number of features."""


@dataclass(frozen=True)
class Key:
    """One number that a reader should take home: what it is of, the number, what to hold it against."""

    of: str
    value: str
    compared: tuple[str, ...]


@dataclass(frozen=True)
class KeyGroup:
    """Numbers of one task, with what they mean."""

    title: str
    meaning: str
    keys: tuple[Key, ...]


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


def headline(report: EvaluationReport) -> list[KeyGroup]:
    """A number for every direction and for every pair, with what it has to beat."""
    pairs = [each for each in report.pairings if each.is_content_alone]
    found = []
    if report.directions:
        meaning = "Correlation of predicted and measured, mean over features: 0 at chance, 1 perfect."
        if any(spec_of(each.target).is_binary for each in report.directions):
            meaning += " Of peaks the AUROC: 0.5 at chance."
        found.append(
            KeyGroup("Prediction", meaning, tuple(_prediction_key(report, each) for each in report.directions))
        )
    if pairs:
        counts = words.listed(list(dict.fromkeys(f"{each.n_cells:,}" for each in pairs)))
        meaning = f"Share of {counts} cells that lie closer than the true partner: 50 % at chance, 0 perfect."
        found.append(KeyGroup("Matching", meaning, tuple(_matching_key(report, each) for each in pairs)))
    return found


def _prediction_key(report: EvaluationReport, direction: Direction) -> Key:
    pair = direction.source, direction.target
    metric = "auroc" if report.scores.get(*pair, "auroc") else "pearson"
    ridge = report.scores.get(*pair, f"ridge_{metric}")
    compared = (f"ridge {ridge.value:.2f}",) if ridge else ()
    return Key(words.arrow(*pair), f"{report.scores.value(*pair, metric):.2f}", compared)


def _matching_key(report: EvaluationReport, pairing: Pairing) -> Key:
    pair = pairing.left, pairing.right
    compared = []
    for metric, name in (("label_transfer_accuracy", "right type"), ("recall_at_10", "partner in first 10")):
        score = report.scores.get(*pair, metric)
        if score is not None:
            chance = "" if score.chance is None else f" (chance {words.share(score.chance)})"
            compared.append(f"{name}: {words.share(score.value)}{chance}")
    return Key(words.tie(*pair), words.share(report.scores.value(*pair, "foscttm")), tuple(compared))


def figure_tables(report: EvaluationReport) -> list[FigureTable]:
    """All scores: the table of prediction, and those of matching."""
    return [*prediction_tables(report), *matching_tables(report)]


def prediction_tables(report: EvaluationReport) -> list[FigureTable]:
    """One table, a column for each direction; none without directions."""
    if not report.directions:
        return []
    outputs = [(each.source, each.target, None, False) for each in report.directions]
    columns = tuple(words.arrow(each.source, each.target) for each in report.directions)
    note = "Grey: what the average profile of the test cells would get, given to every cell."
    return [_table(report, "Prediction, all figures", note, columns, words.PREDICTION, outputs)]


def matching_tables(report: EvaluationReport) -> list[FigureTable]:
    """Settings side by side where there is one pair; else pairs side by side, a table for each setting.

    Settings of equal figures stand once, with a word why.
    """
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
            note += _WITH_DEPTH
        outputs = [(each.left, each.right, each.within, each.depth) for each in pairings]
        if report.pairings and all(each.within is None for each in report.pairings):
            note += " All test cells are of one batch, so that there is no other figure within batch."
        columns, is_more = by_setting if is_one else by_pair, not pairings[0].is_content_alone
        table = _table(report, title, note, columns, words.MATCHING, outputs, is_more)
        tables.append(_with_equal_settings_joined(table, pairings) if is_one else table)
    return tables if is_one else _without_equal_tables(tables, list(groups))


def _with_equal_settings_joined(table: FigureTable, pairings: Sequence[Pairing]) -> FigureTable:
    """Settings of equal figures as one column, the first, and a note why."""
    figures = [tuple(line.cells[place] for line in table.lines) for place in range(len(table.columns))]
    first = [figures.index(column) for column in figures]
    kept = [place for place in range(len(first)) if first[place] == place]
    joined = [(place, first[place]) for place in range(len(first)) if first[place] != place]
    lines = tuple(Line(line.meaning, tuple(line.cells[place] for place in kept)) for line in table.lines)
    notes = (_why_equal(table.columns[a], table.columns[b], pairings[a].depth != pairings[b].depth) for a, b in joined)
    note = table.note if any(pairings[place].depth for place in kept) else table.note.replace(_WITH_DEPTH, "")
    return replace(
        table, columns=tuple(table.columns[place] for place in kept), lines=lines, note=" ".join([note, *notes])
    )


def _without_equal_tables(tables: list[FigureTable], settings: Sequence[str | None]) -> list[FigureTable]:
    """Tables that say nothing new are left out, and the first of them says so."""
    figures = [tuple(line.cells for line in table.lines) for table in tables]
    found = list(tables)
    for place, own in enumerate(figures):
        first = figures.index(own)
        if first != place:
            a, b = (words.opening(str(settings[which])) for which in (place, first))
            is_depth = ("depth" in a) != ("depth" in b)
            found[first] = replace(found[first], note=f"{found[first].note} {_why_equal(a, b, is_depth)}")
    return [table for place, table in enumerate(found) if figures.index(figures[place]) == place]


def _why_equal(setting: str, other: str, is_depth: bool) -> str:
    why = "in this model the agreement of depths has no weight" if is_depth else "no cell is matched outside its batch"
    return f"{setting}: the same figures as {words.lower(other)}, as {why}."


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
    """Rows from elsewhere as text; a column for every key, in order of appearance; equal columns stand as one."""
    columns = tuple(dict.fromkeys(chain.from_iterable(rows)))
    text = {column: tuple(_probe(row.get(column, "")) for row in rows) for column in columns}
    names: dict[tuple[str, ...], list[str]] = {}
    for column, values in text.items():
        is_number = all(isinstance(row.get(column, 0.0), float) for row in rows)
        names.setdefault(values if is_number else (column, *values), []).append(column)
    kept = [group[0] for group in names.values()]
    joined = [group for group in names.values() if len(group) > 1]
    notes = " ".join(f"{words.opening(words.listed(group))} are equal{_why_codes(group)}." for group in joined)
    caption = f"Probes, by representation. {notes}".strip()
    heads = tuple(" = ".join(group) for group in names.values())
    return Plain(caption, heads, tuple(zip(*(text[column] for column in kept), strict=True)))


def _why_codes(columns: Sequence[str]) -> str:
    """Why columns of probes may be equal: codes differ from standardised ones by the offsets of batches."""
    return ", as one batch has no offset to take out" if set(columns) == {"codes", "standardised codes"} else ""


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
    if report.scores.label_key is not None:
        rows.append(("Cell types read from", f"obs column {report.scores.label_key}"))
    for each in record.unlabelled:
        rows.append(("Cells seen without labels", each.what))
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
