"""Of a fit that reads its cells by rows: for how much of its epochs the networks learn, and for how much they wait."""

from __future__ import annotations

import cProfile
import pstats
import time
from functools import partial
from pathlib import Path

import unisono as un
from unisono_bench.studies.report import Preset, Row
from unisono_bench.subprocesses import Failed, run_in_subprocess

_EPOCHS = 6
_WHOLE, _WAITING = ("loop.py", "_train_epoch"), ("stream.py", "epoch")
"""File and function that a pass over the cells of an epoch is, and that gives its mini-batches."""


def share(n_cells: int, data: Path, preset: Preset) -> Row:
    """Wall seconds of a few epochs that wait for mini-batches, and that learn from them."""
    done = run_in_subprocess(partial(seconds_of_epochs, data, un.FitConfig.preset(preset)), data.with_suffix(".log"))
    if isinstance(done, Failed):
        raise ChildProcessError(f"{n_cells:,} cells: {done.reason}")
    waited, learned = done
    return {"n_cells": n_cells, "waited": round(waited, 2), "learned": round(learned, 2)}


def seconds_of_epochs(data: Path, config: un.FitConfig) -> tuple[float, float]:
    """Sums over the epochs, the first of which nothing was read ahead for."""
    short = config.model_copy(update={"max_epochs": _EPOCHS, "refit_below": 0})
    profiler = cProfile.Profile(time.perf_counter)
    profiler.runcall(un.fit, un.open(data), batch_key="batch", config=short, progress=False)
    waited, whole = (_seconds(pstats.Stats(profiler), place) for place in (_WAITING, _WHOLE))
    return waited, whole - waited


def _seconds(found: pstats.Stats, place: tuple[str, str]) -> float:
    """That a function took with all that it calls.

    Raises:
        KeyError: it was not called.
    """
    times = {(Path(file).name, name): row[3] for (file, _, name), row in found.stats.items()}  # type: ignore[attr-defined]
    return float(times[place])


def text(rows: list[Row]) -> str:
    """A section of the page; nothing without a row."""
    lines = [
        f"Of {row['n_cells']:,} cells {_EPOCHS} epochs wait {row['waited']:.1f} s for their mini-batches, reading and "
        f"preparing them, and learn from them for {row['learned']:.1f} s: "
        f"{row['learned'] / (row['waited'] + row['learned']):.0%} of the time."
        for row in rows
    ]
    return "\n".join(["", "## Loader", "", *lines]) + "\n" if rows else ""
