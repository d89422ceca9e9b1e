"""How far the probabilities of a matching hold: share of right matches over stated probability."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unisono import metrics
from unisono.palette import FAINT, INK
from unisono.pl.canvas import axes_or_new, finished, legend_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

    from unisono.model.unisono import Unisono
    from unisono.types import Modality


def calibration(
    model: Unisono,
    test: MuData,
    left: Modality,
    right: Modality,
    *,
    within: str | None = None,
    depth: bool = False,
    bins: int = 10,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the reliability of the likeliest matches, in bins of as many cells each; on the diagonal where they hold.

    Args:
        model: a fitted model.
        test: raw counts of cells with both modalities that the model has not seen; equal names are partners.
        left: modality whose cells are matched.
        right: modality of their partners.
        within: as in `model.match`.
        depth: as in `model.match`.
        bins: points of the curve, each with bars of one binomial standard error.
        ax: where to draw; a new figure by default.
        show: whether to show the picture.
        save: file to write.

    Raises:
        BadInput: the test cannot be read.
        ValueError: no left cell has a partner among the right ones.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> train, test = un.splits.random_split(mdata).take(mdata)
        >>> model = un.fit(train, batch_key="batch", preset="fast", progress=False)
        >>> ax = un.pl.calibration(model, test, "rna", "adt", bins=4)
        >>> ax.get_title(), ax.get_xlabel()
        ('rna to adt, 24 cells', 'stated probability of the likeliest partner')
    """
    matching = model.match(test, test, between=(left, right), within=within, depth=depth)
    partner = pd.Index(matching.right).get_indexer(pd.Index(matching.left))
    known = np.flatnonzero(partner >= 0)
    if not len(known):
        raise ValueError(f"no cell has both {left} and {right}: partners are told by equal names")
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
    ax.set_title(f"{left} to {right}, {len(known):,} cells", fontsize=10)
    legend_below(ax, 2)
    return finished(ax, show=show, save=save)
