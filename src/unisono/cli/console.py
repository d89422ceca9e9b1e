"""Console: lines and warnings on stderr, tables on stdout; draws no progress."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from unisono.messages import InputWarning

if TYPE_CHECKING:
    from unisono.evaluation.scores import Scores

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
    """Print one row per score, its chance level empty where that is unknown."""
    rows = [
        (
            row.task,
            row.source,
            row.target,
            row.within or "",
            "depth" if row.depth else "",
            row.metric,
            f"{row.value:.4f}",
            "" if row.chance is None else f"{row.chance:.4f}",
        )
        for row in scores.rows
    ]
    print_table([("task", "source", "target", "within", "depth", "metric", "value", "chance"), *rows])


def styled(text: str, is_best: bool) -> str:
    """A cell of a table, bold where it is the best of its column."""
    from rich.markup import escape

    return f"[bold]{escape(text)}[/bold]" if is_best else escape(text)
