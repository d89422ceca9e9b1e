"""One feature as predicted in one style after another: the same cells, each time in another style."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unisono.modalities import spec_of
from unisono.palette import ACCENT, FAINT, INK
from unisono.pl.canvas import axes_or_new, finished

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from mudata import MuData

    from unisono.model.unisono import Unisono
    from unisono.types import Modality

_LONG = 36
"""Letters, were all names as long as the longest, from which on names stand aslant."""


def style_swap(
    model: Unisono,
    query: MuData | AnnData,
    source: Modality,
    target: Modality,
    feature: str,
    *,
    styles: Sequence[str] | None = None,
    ax: Axes | None = None,
    show: bool = False,
    save: str | Path | None = None,
) -> Axes:
    """Draw the distribution of one predicted feature over the query cells, one violin per style, a line at its mean.

    Args:
        model: a fitted model.
        query: raw counts that have `source`.
        source: modality to predict from.
        target: modality to predict.
        feature: of the target, by the name that the model knows it by.
        styles: "average" or training batches; the average and all batches by default.
        ax: where to draw; a new figure by default.
        show: whether to show the picture.
        save: file to write.

    Raises:
        BadInput: the query cannot be read, or a style is not known.
        ValueError: the model does not predict the feature, or knows one batch alone and no styles are named.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> ax = un.pl.style_swap(model, mdata, "rna", "adt", mdata["adt"].var_names[0])
        >>> [label.get_text() for label in ax.get_xticklabels()]
        ['average', 'b1', 'b2']
    """
    known = (
        model.fitted.preprocessors[target].projection.features
        if target in model.fitted.preprocessors
        else np.empty(0, dtype=str)
    )
    columns = np.flatnonzero(known == feature)
    if not len(columns):
        first = ", ".join(str(name) for name in known[:3])
        raise ValueError(f"{target}: no feature {feature!r} (there are {first}, …)")
    names = list(styles) if styles is not None else _all_styles(model, target)
    values = [
        model.prediction(query, source, target, name).take_features(columns).dense().ravel().astype(np.float64)
        for name in names
    ]
    ax = axes_or_new(ax, max(3.0, 1.2 + 0.6 * len(names)))
    places = np.arange(len(names))
    drawn: dict[str, Any] = ax.violinplot(values, positions=places, showmeans=True, showextrema=False, widths=0.85)
    for name, body in zip(names, drawn["bodies"], strict=True):
        body.set_facecolor(FAINT if name == "average" else spec_of(target).colour)
        body.set_alpha(0.6)
    drawn["cmeans"].set_color(INK)
    if "average" in names:
        ax.axhline(float(values[names.index("average")].mean()), color=ACCENT, linewidth=1, linestyle="--")
    is_long = len(names) * max(len(name) for name in names) > _LONG
    ax.set_xticks(places, names, rotation=45 if is_long else 0, ha="right" if is_long else "center")
    ax.set_xlabel("style")
    ax.set_ylabel(f"{feature}, {spec_of(target).unit}")
    ax.set_title(f"{source} to {target}, {len(values[0]):,} cells", fontsize=10)
    return finished(ax, show=show, save=save)


def _all_styles(model: Unisono, target: Modality) -> list[str]:
    """The average and every batch; of one batch alone the two are the same, and a picture would show nothing."""
    batches = [str(name) for name in model.fitted.predictor.styles[target].batches]
    if len(batches) < 2:
        raise ValueError(
            f"{target}: the model knows one batch ({batches[0]!r}), so there is no style to swap; "
            "fit it to several batches with batch_key, or teach it another with model.adapt"
        )
    return ["average", *batches]
