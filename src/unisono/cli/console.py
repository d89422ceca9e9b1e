"""Console: lines and warnings on stderr, tables on stdout, and the words that were typed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisono.messages import InputWarning

if TYPE_CHECKING:
    from unisono.evaluation.scores import Score, Scores

PIPED_WIDTH = 180
"""Columns of a wide table where the output is no terminal."""


def say(line: str) -> None:
    """Print a line for the user, on stderr."""
    print(line, file=sys.stderr)  # noqa: T201


def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Stand in for `warnings.showwarning`: one line, without the place in our code."""
    say(str(message) if issubclass(category, InputWarning) else f"{category.__name__}: {message}")


def print_table(rows: list[tuple[str, ...]], title: str | None = None, width: int | None = None) -> None:
    """Print rows under the first as head; `width` is for an output that is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=SIMPLE_HEAD, title=title)
    for row in rows[1:]:
        table.add_row(*row)
    console = Console()
    if width is not None and not console.is_terminal:
        console = Console(width=width)
    console.print(table)


def print_scores(scores: Scores) -> None:
    """Print a line for each direction and each pair, with what chance would get; the rest is in metrics.json."""
    for line in score_lines(scores):
        print(line)  # noqa: T201


def score_lines(scores: Scores) -> list[str]:
    """The headline figures in lines of at most 80 columns: nine and two heads of three modalities."""
    tables: list[list[list[str]]] = []
    for task, names, metrics in _HEADLINES:
        pairs = dict.fromkeys((row.source, row.target) for row in scores.rows if row.task == task)
        head = [name.replace(_LABEL, f"same {scores.label_key}"[:20]) for name in names]
        rows = [
            [f"{a} {_TIES[task]} {b}", *(_figure(scores.get(a, b, metric)) for metric in metrics)] for a, b in pairs
        ]
        if rows:
            tables.append([head, *rows])
    width = max((len(row[0]) for rows in tables for row in rows), default=0)
    return [line for rows in tables for line in _aligned(rows, width)]


_LABEL = "same label"
_TIES = {"prediction": "->", "matching": "~"}
_HEADLINES = (
    ("prediction", ("prediction (chance)", "correlation", "ridge, same codes"), ("pearson", "ridge_pearson")),
    (
        "matching",
        ("matching (chance)", "FOSCTTM", "among first 10", _LABEL),
        ("foscttm", "recall_at_10", "label_transfer_accuracy"),
    ),
)


def _figure(score: Score | None) -> str:
    """A value and its chance level, "" where there is none."""
    if score is None:
        return ""
    return f"{score.value:.3f}" if score.chance is None else f"{score.value:.3f} ({score.chance:.2g})"


def _aligned(rows: list[list[str]], width: int) -> list[str]:
    """The rows as lines, the first column of so many letters, without columns that have nothing but a head."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [width, *(max(map(len, column)) for column in columns[1:])]
    lines = zip(*columns, strict=True)
    return ["  ".join(text.ljust(n) for text, n in zip(line, widths, strict=True)).rstrip() for line in lines]


def command_line() -> list[str]:
    """The program and its arguments, paths without the folders of this machine."""
    return ["unisono", *map(_without_folder, sys.argv[1:])]


def _without_folder(word: str) -> str:
    """The last part of an absolute path; any other word as it is."""
    return Path(word).name if Path(word).is_absolute() else word
