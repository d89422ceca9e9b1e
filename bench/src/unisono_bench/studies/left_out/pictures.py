"""Two pictures of the study: figures by the number of data sets, and methods by held-out set; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import unisono as un
from unisono_bench.plots import written
from unisono_bench.studies.left_out.page import FIGURES, MEAN, SINGLE, curve_rows, method_rows
from unisono_bench.studies.report import Row, Settings, grouped
from unisono_bench.unisono_method import NAME

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = ("RNA→ADT", "FOSCTTM")
DOTS = ("RNA→ADT", "ADT→RNA", "FOSCTTM", "cell type")


def draw(results: Mapping[str, list[Row]], settings: Settings, folder: Path) -> None:
    """Write number_of_sets.png and methods.png."""
    draw_curves(curve_rows(results["rows"]), folder / "number_of_sets.png")
    draw_methods(method_rows(results["rows"]), folder / "methods.png")


def draw_curves(rows: Sequence[Row], path: Path) -> Path:
    """A line for each held-out set over the number of data sets in training, and their mean."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.2 * len(CURVES) + 1.8, 3.4), layout="constrained")
    panels = figure.subplots(1, len(CURVES), squeeze=False).ravel()
    held = [name for name in dict.fromkeys(row["held out"] for row in rows) if name != MEAN]
    colours = dict(zip(held, un.palette.class_colours(len(held)), strict=True))
    for panel, title in zip(panels, CURVES, strict=True):
        for name in (*held, MEAN):
            x, y = _line([row for row in rows if (row["held out"], row["figure"]) == (name, title)])
            style = {"color": un.palette.ACCENT, "linewidth": 2.5} if name == MEAN else {"color": colours[name]}
            panel.plot(x, y, "o-", markersize=4, label=name, **style)
        panel.set_xlabel("data sets in training", fontsize=9)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        _named(panel, title)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return written(figure, path)


def draw_methods(rows: Sequence[Row], path: Path) -> Path:
    """Held-out sets from the top down, a point for each method at its mean over seeds; ours on top."""
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(row["method"] for row in rows))
    held = list(dict.fromkeys(row["held out"] for row in rows))
    figure = Figure(figsize=(2 * 4.2 + 1.8, 2 * (0.9 + 0.3 * len(held))), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    others = [name for name in methods if not name.startswith(NAME)]
    colours = dict(zip(others, un.palette.class_colours(len(others)), strict=True))
    for panel, title in zip(panels, DOTS, strict=True):
        for method in reversed(methods):
            own = [row for row in rows if (row["method"], row["figure"]) == (method, title)]
            by_held = grouped(own, lambda row: (row["held out"],))
            x = [float(np.mean([row["value"] for row in some])) for some in by_held.values()]
            y = [held.index(name) for (name,) in by_held]
            colour = un.palette.ACCENT if method.startswith(NAME) else colours[method]
            is_single = method.endswith(SINGLE)
            face = "none" if is_single else colour
            panel.plot(
                x, y, "o", color=colour, markerfacecolor=face, markersize=7 if method == NAME else 5, label=method
            )
        panel.set_yticks(range(len(held)), held, fontsize=8)
        panel.set_ylim(len(held) - 0.5, -0.5)
        _named(panel, title)
    handles = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    shown = [name for name in methods if name in handles]
    figure.legend([handles[name] for name in shown], shown, loc="outside right upper", fontsize=8, frameon=False)
    return written(figure, path)


def _line(rows: Sequence[Row]) -> tuple[list[int], list[float]]:
    by_number = grouped(rows, lambda row: (str(row["sets"]),))
    return [int(n) for (n,) in by_number], [float(np.mean([r["value"] for r in some])) for some in by_number.values()]


def _named(panel: Axes, title: str) -> None:
    figure = next(f for f in FIGURES if f.title == title)
    what = "mean Pearson, " if figure.name == "pearson" else ""
    panel.set_title(f"{what}{title} ({'higher' if figure.best else 'lower'} is better)", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(axis="both", alpha=0.3)
