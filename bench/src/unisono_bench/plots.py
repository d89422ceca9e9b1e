"""Pictures of a benchmark, one per task: a point for each run of each method; matplotlib is loaded only here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unisono_bench.records import Run
from unisono_bench.tables import Column, headline_columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _OTHERS = "#c0392b", "#34495e"


def draw_benchmark(runs: Sequence[Run], folder: Path) -> tuple[Path, ...]:
    """Write prediction.png and matching.png, those of tasks that a method did."""
    columns = headline_columns(runs)
    tasks = {
        task: [c for c in columns if c.question and c.question.task == task] for task in ("prediction", "matching")
    }
    return tuple(_draw(runs, own, folder / f"{task}.png") for task, own in tasks.items() if own)


def _draw(runs: Sequence[Run], columns: Sequence[Column], path: Path) -> Path:
    from matplotlib.figure import Figure

    methods = [
        method
        for method in dict.fromkeys(run.method for run in runs)
        if any(_values(runs, method, column) for column in columns)
    ]
    n_across = min(3, len(columns))
    n_down = -(-len(columns) // n_across)
    figure = Figure(figsize=(4.2 * n_across, (0.9 + 0.28 * len(methods)) * n_down), layout="constrained")
    panels = figure.subplots(n_down, n_across, squeeze=False).ravel()
    for panel, column in zip(panels, columns, strict=False):
        _panel(panel, runs, methods, column)
    for panel in panels[len(columns) :]:
        panel.set_axis_off()

    return written(figure, path)


def written(figure: Figure, path: Path) -> Path:
    """Write a picture under a temporary name first: whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    unfinished = path.with_name(f".{path.name}.tmp")
    figure.savefig(unfinished, format="png", dpi=150)
    unfinished.replace(path)
    return path


def _panel(panel: Axes, runs: Sequence[Run], methods: Sequence[str], column: Column) -> None:
    """Methods from the top down, a point a run, a bar at the median."""
    for row, method in enumerate(methods):
        values = _values(runs, method, column)
        colour = _OURS if method == "unisono" else _OTHERS
        panel.plot(values, [row] * len(values), "o", color=colour, markersize=4, alpha=0.7)
        if values:
            panel.plot([float(np.median(values))], [row], "|", color=colour, markersize=14)
    panel.set_yticks(range(len(methods)), methods, fontsize=8)
    panel.set_ylim(len(methods) - 0.5, -0.5)
    panel.tick_params(axis="x", labelsize=8)
    panel.locator_params(axis="x", nbins=5)
    panel.grid(axis="x", alpha=0.3)
    better = "lower" if column.is_lower_better else "higher"
    panel.set_title(f"{column.title} ({better} is better)", fontsize=9)


def _values(runs: Sequence[Run], method: str, column: Column) -> list[float]:
    return [value for run in runs if run.method == method and (value := column.read(run)) is not None]
