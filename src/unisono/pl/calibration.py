"""How far the probabilities of a matching hold: share of right matches over stated probability; matches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unisono import metrics
from unisono.pl.canvas import FAINT, INK, axes_or_new, finished

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from unisono.io.matching import Matching


def calibration(
    matching: Matching,
    partners: Mapping[str, str] | None = None,
    *,
    bins: int = 10,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the reliability of the likeliest matches, in bins of as many cells each; on the diagonal where they hold.

    Args:
        matching: what `model.match` gave.
        partners: left cell → right cell; equal names are partners by default.
        bins: points of the curve, each with bars of one binomial standard error.
        ax: where to draw; a new figure by default.
        show: whether to show the picture.
        save: file to write.

    Raises:
        ValueError: no left cell has a partner among the right ones.
    """
    wanted = matching.left if partners is None else np.array([partners.get(str(name), "") for name in matching.left])
    partner = pd.Index(matching.right).get_indexer(pd.Index(wanted))
    known = np.flatnonzero(partner >= 0)
    if not len(known):
        raise ValueError("no left cell has a partner among the right ones; name the partner of each in partners")
    correct, stated = metrics.top_match(matching.match_posterior.probabilities[known], partner[known])
    curve = metrics.reliability(stated, correct, bins)
    error = np.sqrt(curve.y * (1 - curve.y) / curve.n)
    ax = axes_or_new(ax, 4.0, 3.8)
    most = 1.05 * float(max(curve.x.max(), (curve.y + error).max()))
    ax.plot([0, most], [0, most], color=FAINT, linewidth=1, linestyle="--", label="as stated")
    ax.errorbar(curve.x, curve.y, yerr=error, color=INK, marker="o", markersize=4, linewidth=1.2, label="found")
    ax.set_xlim(0, most)
    ax.set_ylim(0, most)
    ax.set_xlabel("stated probability of the likeliest partner")
    ax.set_ylabel("share that is right")
    names = f"{matching.left_modality} to {matching.right_modality}"
    ax.set_title(f"{names}, {len(known):,} cells", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    return finished(ax, show=show, save=save)
