"""Console: lines and warnings on stderr, tables on stdout, and the words that were typed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisono.messages import InputWarning

if TYPE_CHECKING:
    from unisono.evaluation.score_table import Scores

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
    from unisono.evaluation.score_table import headlines

    for line in headlines(scores):
        print(line)  # noqa: T201


def command_line() -> list[str]:
    """The program and its arguments, paths without the folders of this machine."""
    return ["unisono", *map(_without_folder, sys.argv[1:])]


def _without_folder(word: str) -> str:
    """The last part of an absolute path; any other word as it is."""
    return Path(word).name if Path(word).is_absolute() else word
