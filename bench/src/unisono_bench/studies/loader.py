"""Of a fit that reads its cells by rows: for how much of an epoch the networks learn, and for how much they wait."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np

from unisono.config import FitConfig, Preset
from unisono_bench.studies.report import Row
from unisono_bench.subprocesses import Failed, run_in_subprocess

_EPOCHS = 5


def share(n_cells: int, data: Path, preset: Preset) -> Row:
    """Median wall seconds of an epoch that wait for mini-batches, and that learn from them."""
    done = run_in_subprocess(partial(seconds_of_epochs, data, FitConfig.preset(preset)), data.with_suffix(".log"))
    if isinstance(done, Failed):
        raise ChildProcessError(f"{n_cells:,} cells: {done.reason}")
    waited, learned = done
    return {"n_cells": n_cells, "waited": round(waited, 2), "learned": round(learned, 2)}


def seconds_of_epochs(data: Path, config: FitConfig) -> tuple[float, float]:
    """Medians over the epochs after the first, which nothing was read ahead for."""
    import unisono
    from unisono.training.stream import StreamedMiniBatches

    waited: list[float] = []
    whole: list[float] = []
    epoch = StreamedMiniBatches.epoch

    def timed(self: StreamedMiniBatches, number: int) -> Iterator[Any]:
        began, waiting = perf_counter(), 0.0
        batches = epoch(self, number)
        while True:
            asked = perf_counter()
            batch = next(batches, None)
            waiting += perf_counter() - asked
            if batch is None:
                break
            yield batch
        waited.append(waiting)
        whole.append(perf_counter() - began)

    with patch.object(StreamedMiniBatches, "epoch", timed):
        short = config.model_copy(update={"max_epochs": _EPOCHS, "refit_below": 0})
        unisono.fit(unisono.open(data), batch_key="batch", config=short, progress=False)
    waiting = float(np.median(waited[1:]))
    return waiting, float(np.median(whole[1:])) - waiting


def text(rows: list[Row]) -> str:
    """A section of the page; nothing without a row."""
    lines = [
        f"Of {row['n_cells']:,} cells an epoch waits {row['waited']:.1f} s for its mini-batches, reading and preparing "
        f"them, and learns from them for {row['learned']:.1f} s: "
        f"{row['learned'] / (row['waited'] + row['learned']):.0%} of the time."
        for row in rows
    ]
    return "\n".join(["", "## Loader", "", *lines]) + "\n" if rows else ""
