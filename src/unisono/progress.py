"""Progress of a fit on stderr: one line of what was decided, and a bar in a terminal or a notebook; knows no data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from unisono.messages import visible

if TYPE_CHECKING:
    from unisono.training.loop import Epoch, OnEpoch


def is_watched() -> bool:
    """Whether somebody looks on: stderr is a terminal, or this is a notebook."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.is_terminal or console.is_jupyter


@contextmanager
def shown(line: str, max_epochs: int, on_epoch: OnEpoch | None = None) -> Iterator[OnEpoch]:
    """Print the line, and keep a bar with the two validation scores for as long as epochs come.

    Args:
        line: what was decided.
        max_epochs: at most as many will come.
        on_epoch: called after each one as well.
    """
    from rich.console import Console

    print(visible(line), file=sys.stderr)  # noqa: T201
    console = Console(stderr=True)
    has_bar = console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)  # else rich warns
    bar = _bar(console, max_epochs) if has_bar else None

    def report(epoch: Epoch) -> None:
        if bar is not None:
            bar.start()
            bar.update(bar.task_ids[0], completed=epoch.number, **_scores(epoch))
        if on_epoch is not None:
            on_epoch(epoch)

    try:
        yield report
    finally:
        if bar is not None and bar.live.is_started:
            bar.stop()


def _bar(console: Any, max_epochs: int) -> Any:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("epoch {task.completed:>3.0f}/{task.total:.0f}"),
        BarColumn(bar_width=12),
        TimeElapsedColumn(),
        TextColumn("validation: correlation {task.fields[correlation]} · FOSCTTM {task.fields[foscttm]}"),
    )
    bar = Progress(*columns, console=console, transient=True)
    bar.add_task("fit", total=max_epochs, correlation="–", foscttm="–")
    return bar


def _scores(epoch: Epoch) -> dict[str, str]:
    if epoch.scores is None:
        return {}
    return {"correlation": f"{epoch.scores.correlation:.3f}", "foscttm": f"{epoch.scores.foscttm:.3f}"}
