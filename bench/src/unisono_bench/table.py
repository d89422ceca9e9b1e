"""Tables of a benchmark as text in cells, with what is best; knows no file and no terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from unisono_bench.record import Run, figure_names, tasks

REFERENCE = "unisono"
"""The method that others are compared with."""

LOWER_IS_BETTER = frozenset(
    {"rmse", "mae", "foscttm", "foscttm of posterior", "calibration error", "features without correlation"}
)
NOTHING = "–"
_HEADLINE = {"prediction": ("pearson", "auroc"), "matching": ("foscttm", "foscttm of posterior", "match probability")}


class Cell(NamedTuple):
    """One entry, and whether it is the best of its column."""

    text: str
    is_best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of methods, columns of figures; each row has a cell a column."""

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
        is_merit: counts in the comparison with the reference; time and memory do not.
        form: how a value is printed.
    """

    title: str
    read: Callable[[Run], float | None]
    is_lower_better: bool = False
    is_merit: bool = True
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


def figure_column(task: str, name: str, title: str | None = None) -> Column:
    """A figure of a task as a column, headed by its name unless told."""
    return Column(title or name, lambda run: run.figure(task, name), is_lower_better=name in LOWER_IS_BETTER)


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
    """One figure or a few of each task, those with depth left out."""
    found = []
    for task in tasks(runs):
        wanted = _HEADLINE["matching" if "~" in task else "prediction"]
        if not task.endswith("with depth"):
            found += [figure_column(task, n, f"{task} {n}") for n in wanted if n in figure_names(runs, task)]
    return tuple(found)


def overviews(runs: Sequence[Run]) -> tuple[Table, ...]:
    """The headline figures of prediction and of matching, each with wall time, CPU time and peak memory."""
    columns = headline_columns(runs)
    spent = [column for column in cost_columns() if column.title in ("wall s", "CPU s", "peak GB")]
    kinds = {
        title: [c for c in columns if sign in c.title] for title, sign in (("Prediction", "->"), ("Matching", "~"))
    }
    return tuple(compared(title, _doing(runs, own), (*own, *spent)) for title, own in kinds.items() if own) or (
        compared("Overview", runs, spent),
    )


def task_tables(runs: Sequence[Run]) -> tuple[Table, ...]:
    """All figures, a table a task; methods that do not do it are left out."""
    return tuple(
        compared(
            task,
            _doing(runs, columns := tuple(figure_column(task, name) for name in figure_names(runs, task))),
            columns,
        )
        for task in tasks(runs)
    )


def cost_table(runs: Sequence[Run]) -> Table:
    """What the runs took."""
    return compared("Costs", runs, cost_columns())


def compared(title: str, runs: Sequence[Run], columns: Sequence[Column]) -> Table:
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
            m: {c.title: s.median for c in columns if c.is_merit and (s := spreads[m, c.title]) is not None}
            for m in ranked
        }
        cells.append(Cell(_remark(method, own, medians, columns)))
        rows.append(tuple(cells))
    return Table(title, ("method", "runs", *(column.title for column in columns), "remark"), tuple(rows))


def _doing(runs: Sequence[Run], columns: Sequence[Column]) -> list[Run]:
    """The runs of methods that have a figure here, or that failed, so that none disappears."""
    doing = {run.method for run in runs if run.failure or any(column.read(run) is not None for column in columns)}
    return [run for run in runs if run.method in doing]


def _cost(title: str, read: Callable[[Run], float | None], form: str = ".1f") -> Column:
    return replace(Column(title, read, is_lower_better=True, is_merit=False), form=form)


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
    return f"LOSES in: {', '.join(lost)}" if lost else "best in every figure"


def _titles_ahead(theirs: dict[str, float], ours: dict[str, float], columns: Sequence[Column]) -> list[str]:
    shared = [column for column in columns if column.title in theirs and column.title in ours]
    return [column.title for column in shared if column.is_ahead(theirs[column.title], ours[column.title])]
