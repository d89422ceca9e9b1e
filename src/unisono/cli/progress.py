"""Progress: the bar that moves while a model is fitted; says the device once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from unisono.cli.console import say

if TYPE_CHECKING:
    from unisono.training.loop import Epoch


@contextmanager
def progress(max_epochs: int, device: str) -> Iterator[Any]:
    """A bar on stderr with the two numbers that a user understands; it appears, with the device, at the first epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("epoch {task.completed:>3.0f}/{task.total:.0f}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("validation: correlation {task.fields[correlation]} · FOSCTTM {task.fields[foscttm]}"),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("fit", total=max_epochs, correlation="–", foscttm="–")

    def on_epoch(epoch: Epoch) -> None:
        if not bar.live.is_started:
            from unisono.device import choose_device

            say(f"device: {choose_device(device)}{' (chosen by auto)' if device == 'auto' else ''}")
            bar.start()
        bar.update(task, completed=epoch.number)
        if epoch.scores:
            scores = epoch.scores
            bar.update(task, correlation=f"{scores.correlation:.3f}", foscttm=f"{scores.foscttm:.3f}")

    try:
        yield on_epoch
    finally:
        if bar.live.is_started:
            bar.stop()
