"""How far intervals hold: share of measured values inside over the coverage promised, for several at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unisono.modalities import spec_of
from unisono.pl.canvas import FAINT, axes_or_new, finished
from unisono.pl.measured import measured_with

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

    from unisono.model.unisono import Unisono
    from unisono.types import Modality

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def coverage(
    model: Unisono,
    test: MuData,
    source: Modality,
    target: Modality,
    *,
    levels: Sequence[float] = LEVELS,
    style: str = "average",
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the share of measured values that intervals hold, with the middle half of the features around it.

    Args:
        model: a fitted model whose intervals are known.
        test: raw counts of cells with both modalities that the model has not seen.
        source: modality to predict from.
        target: modality to predict, rna or adt.
        levels: coverages to ask for, between 0 and 1.
        style: as in `model.predict`.
        ax: where to draw; a new figure by default.
        show: whether to show the picture.
        save: file to write.

    Raises:
        BadInput: the test cannot be read, or the model knows no intervals for this prediction.
    """
    found = []
    for level in levels:
        predicted = model.predict(test, source, target, style, interval=level)
        pair = measured_with(predicted, test)
        lower, upper = (predicted.layers[end][pair.rows][:, pair.columns] for end in ("lower", "upper"))
        inside = (pair.truth >= lower) & (pair.truth <= upper)
        found.append(inside.mean(axis=0))
    shares = np.array(found)
    low, high = np.quantile(shares, (0.25, 0.75), axis=1)
    ax = axes_or_new(ax, 4.0, 3.8)
    start = min(min(levels), float(low.min())) - 0.03
    ax.plot([start, 1], [start, 1], color=FAINT, linewidth=1, linestyle="--", label="as promised")
    ax.fill_between(
        levels, low, high, color=spec_of(target).colour, alpha=0.2, linewidth=0, label="half of the features"
    )
    ax.plot(levels, shares.mean(axis=1), "o-", color=spec_of(target).colour, markersize=4, label="all values")
    ax.set_xlim(start, 1)
    ax.set_ylim(start, 1.01)
    ax.set_xlabel("coverage promised")
    ax.set_ylabel("share of measured values inside")
    ax.set_title(f"{source} to {target}, {len(pair.rows):,} cells", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    return finished(ax, show=show, save=save)
