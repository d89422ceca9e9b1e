"""How well each feature is predicted, best first; computes figures by those of the evaluation, no others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from unisono import metrics
from unisono.modalities import spec_of
from unisono.pl.canvas import ACCENT, FAINT, axes_or_new, finished
from unisono.pl.measured import measured_with

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

Figure = Literal["pearson", "spearman", "auroc"]
_MAX_BARS = 40
_CHANCE: dict[Figure, float] = {"pearson": 0.0, "spearman": 0.0, "auroc": 0.5}
_NAMES: dict[Figure, str] = {"pearson": "Pearson correlation", "spearman": "Spearman correlation", "auroc": "AUROC"}


def features(
    predicted: AnnData,
    measured: MuData | AnnData,
    *,
    figure: Figure = "pearson",
    n_named: int = 5,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the accuracy of every feature over cells, sorted; up to 40 as named bars, more as a curve.

    Args:
        predicted: what `model.predict` gave.
        measured: raw counts of the same cells, paired by name.
        figure: over cells, feature by feature. Features without one (constant, or for AUROC open in fewer than 10
            cells or closed in fewer) are left out and counted in the title.
        n_named: best and worst features of a curve that are named.
        ax: where to draw; a new figure by default.
        show: whether to show the picture.
        save: file to write.

    Raises:
        ValueError: prediction and measurement do not meet, or no feature has the figure.
    """
    found = measured_with(predicted, measured)
    values = np.asarray(predicted.X[found.rows][:, found.columns], dtype=np.float64)
    scores = _scores(found.truth, values, figure)
    kept = np.flatnonzero(np.isfinite(scores))
    if not len(kept):
        raise ValueError(f"no feature has a {figure}: give more cells, or another figure")
    order = kept[np.argsort(-scores[kept], kind="stable")]
    names, scores = predicted.var_names.to_numpy()[found.columns][order], scores[order]
    colour = spec_of(found.modality).colour
    if len(order) <= _MAX_BARS:
        ax = axes_or_new(ax, 4.5, 1.2 + 0.19 * len(order))
        ax.barh(np.arange(len(order)), scores, color=colour)
        ax.set_yticks(np.arange(len(order)), names, fontsize=8)
        ax.set_ylim(len(order) - 0.4, -0.6)
        ax.set_xlabel(_NAMES[figure])
        ax.axvline(_CHANCE[figure], color=FAINT, linewidth=1)
        ax.axvline(float(scores.mean()), color=ACCENT, linewidth=1, linestyle="--")
    else:
        ax = axes_or_new(ax)
        ax.plot(np.arange(1, len(order) + 1), scores, color=colour)
        ax.axhline(_CHANCE[figure], color=FAINT, linewidth=1)
        ax.axhline(float(scores.mean()), color=ACCENT, linewidth=1, linestyle="--")
        _name(ax, names, n_named)
        ax.set_xlabel("features, best first")
        ax.set_ylabel(_NAMES[figure])
    missing = len(found.columns) - len(order)
    left_out = f", {missing:,} without" if missing else ""
    ax.set_title(f"{found.modality}: {len(order):,} features{left_out}, mean {scores.mean():.3f}", fontsize=10)
    return finished(ax, show=show, save=save)


def _scores(truth: np.ndarray, values: np.ndarray, figure: Figure) -> np.ndarray:
    """One per feature, not a number where there is none."""
    if figure == "auroc":
        return np.asarray(metrics.auroc_per_feature(truth, values))
    varies = (truth.std(axis=0) > 0) & (values.std(axis=0) > 0)
    of = metrics.spearman_per_feature if figure == "spearman" else metrics.pearson_per_feature
    return np.where(varies, np.asarray(of(truth, values)), np.nan)


def _name(ax: Axes, names: np.ndarray, n_named: int) -> None:
    """The best in the upper right corner and the worst in the lower left, where a falling curve leaves room."""
    n = min(n_named, len(names))
    if n == 0:
        return
    best, worst = "\n".join(map(str, names[:n])), "\n".join(map(str, names[len(names) - n :]))
    for x, side, end, text in ((0.98, "right", "top", f"best\n{best}"), (0.02, "left", "bottom", f"worst\n{worst}")):
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}  # so that no line runs through a name
        ax.text(x, x, text, transform=ax.transAxes, ha=side, va=end, fontsize=7, bbox=box)
