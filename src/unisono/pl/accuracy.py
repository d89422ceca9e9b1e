"""How well features are predicted and how far intervals hold, against measured values of the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono import metrics
from unisono.io.naming import kind_of
from unisono.io.read import cells_from_mudata
from unisono.modalities import spec_of
from unisono.palette import ACCENT, FAINT
from unisono.pl.canvas import axes_or_new, finished, legend_below
from unisono.preprocessing.projection import on_scale
from unisono.types import Modality

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from unisono.model.unisono import Unisono
    from unisono.types import Modality


class MeasuredPair(NamedTuple):
    """Prediction and truth of the same cells and features.

    Attributes:
        rows: of the predicted table.
        columns: of the predicted table.
        truth: cell x feature, on the scale of the modality.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    truth: NDArray[np.float64]


def measured_with(predicted: AnnData, test: MuData, target: Modality) -> MeasuredPair:
    """Measured values of predicted cells, paired by name.

    Args:
        predicted: what `model.predict` gave.
        test: raw counts of the same cells, with the predicted modality.
        target: the predicted modality.

    Raises:
        ValueError: the test lacks the modality, or prediction and measurement share no cell or no feature.
        BadInput: the counts cannot be used.
    """
    named = [name for name in test.mod if kind_of(name) == target]
    if not named:
        raise ValueError(f"test has {', '.join(test.mod)}, expected {target}")
    cells, _ = cells_from_mudata(test, batch_key=None, modalities={named[0]: target})
    view = cells.views[target]
    rows = pd.Index(view.cells).get_indexer(predicted.obs_names.astype(str))
    columns = pd.Index(view.features).get_indexer(predicted.var_names.astype(str))
    if (rows < 0).all() or (columns < 0).all():
        raise ValueError(f"{target}: prediction and measurement share no cell, or no feature")
    truth = on_scale(view)[rows[rows >= 0]][:, columns[columns >= 0]].toarray().astype(np.float64)
    return MeasuredPair(np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0), truth)


Figure = Literal["pearson", "spearman", "auroc"]
_MAX_BARS = 40
_CHANCE: dict[Figure, float] = {"pearson": 0.0, "spearman": 0.0, "auroc": 0.5}
_NAMES: dict[Figure, str] = {"pearson": "Pearson correlation", "spearman": "Spearman correlation", "auroc": "AUROC"}


def features(
    model: Unisono,
    test: MuData,
    source: Modality,
    target: Modality,
    *,
    style: str = "average",
    figure: Figure = "pearson",
    n_named: int = 5,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the accuracy of every feature over cells, sorted; up to 40 as named bars, more as a curve.

    Args:
        model: a fitted model.
        test: raw counts of cells with both modalities that the model has not seen.
        source: modality to predict from.
        target: modality to predict.
        style: as in `model.predict`.
        figure: over cells, feature by feature. Features without one (constant, or for AUROC open in fewer than 10
            cells or closed in fewer) are left out and counted in the title.
        n_named: best and worst features of a curve that are named.
        ax: where to draw; a new figure by default.
        show: whether to show the picture.
        save: file to write.

    Raises:
        BadInput: the test cannot be read.
        ValueError: no cell has both modalities, or no feature has the figure.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> train, test = un.splits.random_split(mdata).take(mdata)
        >>> model = un.fit(train, batch_key="batch", preset="fast", progress=False)
        >>> ax = un.pl.features(model, test, "rna", "adt")
        >>> ax.get_xlabel(), len(ax.patches)  # a bar for each protein
        ('Pearson correlation', 8)
    """
    predicted = model.predict(test, source, target, style)
    found = measured_with(predicted, test, target)
    values = np.asarray(predicted.X[found.rows][:, found.columns], dtype=np.float64)
    scores = _scores(found.truth, values, figure)
    kept = np.flatnonzero(np.isfinite(scores))
    if not len(kept):
        raise ValueError(f"no feature has a {figure}: give more cells, or another figure")
    order = kept[np.argsort(-scores[kept], kind="stable")]
    names, scores = predicted.var_names.to_numpy()[found.columns][order], scores[order]
    colour = spec_of(target).colour
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
    ax.set_title(f"{target} from {source}: {len(order):,} features{left_out}, mean {scores.mean():.3f}", fontsize=10)
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

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> train, test = un.splits.random_split(mdata).take(mdata)
        >>> model = un.fit(train, batch_key="batch", preset="fast", progress=False)
        >>> ax = un.pl.coverage(model, test, "rna", "adt", levels=(0.5, 0.8))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['as promised', 'half of the features', 'all values']
    """
    found = []
    for level in levels:
        predicted = model.predict(test, source, target, style, interval=level)
        pair = measured_with(predicted, test, target)
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
    legend_below(ax, 3)
    return finished(ax, show=show, save=save)
