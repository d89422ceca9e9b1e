"""Console: lines and warnings on stderr, tables on stdout, and the words that were typed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisono.messages import InputWarning, visible

if TYPE_CHECKING:
    from unisono.evaluation.score_table import Scores

PIPED_WIDTH = 180
"""Columns of a wide table where the output is no terminal."""


def say(line: str) -> None:
    """Print a line for the user on stderr, if that takes it."""
    if sys.stderr is not None:
        with suppress(OSError):
            print(visible(line), file=sys.stderr, flush=True)  # noqa: T201


def one_line(text: str) -> str:
    """The text without its ends of lines and runs of spaces."""
    return " ".join(text.split())


def warnings_said_once() -> Callable[..., None]:
    """What stands in for `warnings.showwarning`: one line for each, without the place in our code, and none twice."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        line = str(message) if issubclass(category, InputWarning) else one_line(f"{category.__name__}: {message}")
        if line not in said:
            said.add(line)
            say(line)

    return show


def print_table(rows: list[tuple[str, ...]], title: str | None = None, width: int | None = None) -> None:
    """Print rows under the first as head; `width` is for an output that is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*rows[0], box=SIMPLE_HEAD, title=title)
    for row in rows[1:]:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console = Console()
    if width is not None and not console.is_terminal:
        console = Console(width=width)
    console.print(table)


def print_scores(scores: Scores) -> None:
    """Print a line for each direction and each pair, with what chance would get; the rest is in metrics.json."""
    from unisono.evaluation.score_table import headlines

    for line in headlines(scores):
        print(visible(line))  # noqa: T201


def command_line() -> list[str]:
    """The program and its arguments, paths without the folders of this machine."""
    return ["unisono", *map(_without_folder, sys.argv[1:])]


def _without_folder(word: str) -> str:
    """The last part of an absolute path; any other word as it is."""
    return Path(word).name if Path(word).is_absolute() else word
