"""Tables of a benchmark as text in cells, with what is best, and as Markdown; knows no file and no terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unisono_bench.records import Run, metrics_of, questions
from unisono_bench.scores import Question

REFERENCE = "unisono"
"""The method that others are compared with."""

LOWER_IS_BETTER = frozenset(
    {"rmse", "mae", "foscttm", "foscttm_of_posterior", "calibration_error", "n_without_correlation"}
)
NOTHING = "–"
_DIGITS = 4
_HEADLINE: dict[str, tuple[str, ...]] = {
    "prediction": ("pearson", "auroc"),
    "matching": ("foscttm", "foscttm_of_posterior", "match_probability"),
}


class Cell(NamedTuple):
    """One entry, and whether it is the best of its column."""

    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of methods, columns of figures; each row has one cell per column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Column:
    """A figure as a column.

    Attributes:
        title: its head.
        read: its value in a run, None where there is none.
        is_lower_better: else higher is.
        question: of a score; None for time and memory, which do not count in the comparison with the reference.
        form: how a value is printed.
    """

    title: str
    read: Callable[[Run], float | None]
    is_lower_better: bool = False
    question: Question | None = None
    form: str = ".4f"

    def is_ahead(self, value: float, other: float) -> bool:
        """Whether one value is better than another."""
        return value < other if self.is_lower_better else value > other


@dataclass(frozen=True)
class Spread:
    """Median and interval of a figure over runs."""

    median: float
    least: float
    most: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(float(np.median(values)), float(min(values)), float(max(values)), len(values))

    def text(self, form: str, dash: str = "–") -> str:
        """`median (least–most)`, the median alone of a single value."""
        middle = format(self.median, form)
        if self.n == 1:
            return middle
        return f"{middle} ({format(self.least, form)}{dash}{format(self.most, form)})"


def score_column(question: Question, metric: str, title: str) -> Column:
    """A score as a column."""
    return Column(title, lambda run: run.value(question, metric), metric in LOWER_IS_BETTER, question)


def cost_columns() -> tuple[Column, ...]:
    """Seconds and memory of a run."""
    return (
        _cost("fit s", lambda run: run.costs.fit.seconds if run.costs and run.costs.fit else None),
        _cost("answer s", lambda run: run.costs.answer.seconds if run.costs and run.costs.answer else None),
        _cost("wall s", lambda run: run.costs.total.seconds if run.costs else None),
        _cost("fit CPU s", lambda run: run.costs.fit.cpu_seconds if run.costs and run.costs.fit else None),
        _cost("answer CPU s", lambda run: run.costs.answer.cpu_seconds if run.costs and run.costs.answer else None),
        _cost("CPU s", lambda run: run.costs.total.cpu_seconds if run.costs else None),
        _cost("peak GB", lambda run: run.costs.peak_bytes / 2**30 if run.costs else None, ".2f"),
    )


def headline_columns(runs: Sequence[Run]) -> tuple[Column, ...]:
    """One score or a few of each question, those with depth left out."""
    found = []
    for question in questions(runs):
        metrics = [name for name in _HEADLINE[question.task] if name in metrics_of(runs, question)]
        if not question.depth:
            found += [score_column(question, name, f"{question.title} {name}") for name in metrics]
    return tuple(found)


def overviews(runs: Sequence[Run]) -> tuple[Table, ...]:
    """The headline scores of prediction and of matching, each with wall time, CPU time and peak memory."""
    spent = [column for column in cost_columns() if column.title in ("wall s", "CPU s", "peak GB")]
    tasks = {task: [c for c in headline_columns(runs) if c.question and c.question.task == task] for task in _HEADLINE}
    tables = [comparison(task.capitalize(), _doing(runs, own), (*own, *spent)) for task, own in tasks.items() if own]
    return tuple(tables) or (comparison("Overview", runs, spent),)


def score_tables(runs: Sequence[Run]) -> tuple[Table, ...]:
    """All scores, a table for each question; methods that do not answer it are left out."""
    columns = {q: [score_column(q, name, name) for name in metrics_of(runs, q)] for q in questions(runs)}
    return tuple(comparison(q.title, _doing(runs, own), own) for q, own in columns.items())


def cost_table(runs: Sequence[Run]) -> Table:
    """What the runs took."""
    return comparison("Costs", runs, cost_columns())


def comparison(title: str, runs: Sequence[Run], columns: Sequence[Column]) -> Table:
    """A row a method: median (least–most) over its runs, the best median bold, and who is ahead of the reference.

    A method of which a run failed is not compared with others, since its median is over other runs than theirs.
    """
    methods = tuple(dict.fromkeys(run.method for run in runs))
    spreads = {(m, c.title): _spread([run for run in runs if run.method == m], c) for m in methods for c in columns}
    ranked = [m for m in methods if not any(run.failure for run in runs if run.method == m)]
    best = {column.title: _best(column, [spreads[m, column.title] for m in ranked]) for column in columns}
    rows = []
    for method in methods:
        own = [run for run in runs if run.method == method]
        cells = [Cell(method), Cell(_n_runs(own))]
        for column in columns:
            spread = spreads[method, column.title]
            text = NOTHING if spread is None else spread.text(column.form)
            is_best = method in ranked and spread is not None and spread.median == best[column.title]
            cells.append(Cell(text, is_best))
        medians = {
            m: {c.title: s.median for c in columns if c.question and (s := spreads[m, c.title]) is not None}
            for m in ranked
        }
        cells.append(Cell(_remark(method, own, medians, columns)))
        rows.append(tuple(cells))
    return Table(title, ("method", "runs", *(column.title for column in columns), "remark"), tuple(rows))


def ablation_table(runs: Sequence[Run]) -> Table:
    """Differences to the full model on the same split with the same seed: median (least to most), 4 digits.

    Bold only where it is worse in every run: there the part earns its place. `better without` names the figures
    whose median is better without the part.

    Args:
        runs: of the reference and of its ablations.
    """
    columns = headline_columns(runs)
    full = {run.fold: run for run in runs if run.method == REFERENCE}
    methods = tuple(dict.fromkeys(run.method for run in runs if run.method != REFERENCE))
    rows = []
    for method in methods:
        own = [run for run in runs if run.method == method]
        pairs = [(run, full[run.fold]) for run in own if run.failure is None and run.fold in full]
        found = [(column, _differences(column, pairs)) for column in columns]
        cells = [Cell(_difference_text(values), _is_always_worse(column, values)) for column, values in found]
        rows.append((Cell(method), Cell(str(len(pairs))), *cells, Cell(_ablation_remark(own, found))))
    heads = ("part", "runs", *(column.title for column in columns), "remark")
    return Table(f"Ablation: difference to {REFERENCE}", heads, tuple(rows))


def markdown(tables: Sequence[Table]) -> str:
    """Each table under a heading of its own; the best of a column is bold."""
    return "\n".join(_table_markdown(table) for table in tables)


def _doing(runs: Sequence[Run], columns: Sequence[Column]) -> list[Run]:
    """The runs of methods that have a figure here, or that failed, so that none disappears."""
    doing = {run.method for run in runs if run.failure or any(column.read(run) is not None for column in columns)}
    return [run for run in runs if run.method in doing]


def _cost(title: str, read: Callable[[Run], float | None], form: str = ".1f") -> Column:
    return Column(title, read, is_lower_better=True, form=form)


def _spread(own: Sequence[Run], column: Column) -> Spread | None:
    values = [value for run in own if (value := column.read(run)) is not None]
    return Spread.of(values) if values else None


def _best(column: Column, spreads: Sequence[Spread | None]) -> float | None:
    medians = [spread.median for spread in spreads if spread is not None]
    if not medians:
        return None
    return min(medians) if column.is_lower_better else max(medians)


def _n_runs(own: Sequence[Run]) -> str:
    n_done = sum(run.failure is None for run in own)
    return str(n_done) if n_done == len(own) else f"{n_done} of {len(own)}"


def _remark(method: str, own: Sequence[Run], medians: dict[str, dict[str, float]], columns: Sequence[Column]) -> str:
    """Why runs failed; of the reference where it is behind, of another where it is ahead of it."""
    failed = [run for run in own if run.failure]
    if failed:
        return f"failed ({failed[0].split}, seed {failed[0].seed}): {failed[0].failure}"
    ours = medians.get(REFERENCE)
    if not ours:
        return ""
    ahead = {m: _titles_ahead(theirs, ours, columns) for m, theirs in medians.items() if m != REFERENCE}
    if method != REFERENCE:
        return f"ahead of {REFERENCE} in: {', '.join(ahead[method])}" if ahead[method] else ""
    if not any(theirs.keys() & ours.keys() for other, theirs in medians.items() if other != REFERENCE):
        return ""
    lost = [column.title for column in columns if any(column.title in titles for titles in ahead.values())]
    return f"is outperformed on: {', '.join(lost)}" if lost else "best in every figure"


def _titles_ahead(theirs: dict[str, float], ours: dict[str, float], columns: Sequence[Column]) -> list[str]:
    shared = [column for column in columns if column.title in theirs and column.title in ours]
    return [column.title for column in shared if column.is_ahead(theirs[column.title], ours[column.title])]


def _differences(column: Column, pairs: Sequence[tuple[Run, Run]]) -> list[float]:
    values = [(column.read(run), column.read(full)) for run, full in pairs]
    return [
        round(without - full, _DIGITS) + 0.0 for without, full in values if without is not None and full is not None
    ]


def _difference_text(differences: Sequence[float]) -> str:
    return Spread.of(differences).text(f"+.{_DIGITS}f", " to ") if differences else NOTHING


def _is_always_worse(column: Column, differences: Sequence[float]) -> bool:
    return bool(differences) and all(column.is_ahead(0.0, difference) for difference in differences)


def _ablation_remark(own: Sequence[Run], found: Sequence[tuple[Column, list[float]]]) -> str:
    failed = [run.failure for run in own if run.failure]
    if failed:
        return f"failed: {failed[0]}"
    better = [c.title for c, values in found if values and c.is_ahead(Spread.of(values).median, 0.0)]
    return f"better without in: {', '.join(better)}" if better else ""


def _table_markdown(table: Table) -> str:
    lines = [f"## {table.title}", "", _markdown_row(table.columns), _markdown_row(["---"] * len(table.columns))]
    lines += [_markdown_row([_markdown_text(cell) for cell in row]) for row in table.rows]
    return "\n".join(lines) + "\n"


def _markdown_row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _markdown_text(cell: Cell) -> str:
    text = " ".join(cell.text.replace("|", "\\|").split())
    return f"**{text}**" if cell.is_best else text
