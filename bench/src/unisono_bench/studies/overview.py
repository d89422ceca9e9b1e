"""The picture of the README, from pbmc10k_cite: types of matched cells, prediction against ridge, ranks of partners."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import unisono as un
from unisono_bench.baselines import BASELINES
from unisono_bench.data import paired_views
from unisono_bench.studies.cells import read
from unisono_bench.unisono_method import FittedUnisono

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, REFERENCE = "#1c1f23", "#c6ccd3", "#8a929b"


def draw(path: Path) -> None:
    """Fit once at the default preset and draw three panels."""
    training, test = un.splits.random_split(mdata := read("pbmc10k_cite")).take(mdata)
    learning, tested = un.read_cells(training), un.read_cells(test)
    model = un.fit(training)
    rna, adt = paired_views(tested, "rna", "adt")
    compared = FittedUnisono(model).similarity(rna, adt, depth=False, groups=None)
    ridge = BASELINES["ridge"].fit(learning, 0).predict(rna, "adt")
    if compared is None or ridge is None:
        raise ValueError("the model does not know rna and adt")
    links = model.match(test["rna"], test["adt"], rule="one-to-one")
    truth = un.preprocessing.on_scale(adt).toarray()
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "text.color": INK}):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        FigureCanvasAgg(figure)
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.1, 1.3, 1.0))
        draw_types(left, links, test["rna"].obs["cell_type"].astype(str))
        draw_prediction(middle, truth, np.asarray(model.predict(test, "rna", "adt").X), ridge, adt.features)
        draw_ranks(right, compared, un.metrics.foscttm(*compared.vectors))
        figure.savefig(path, dpi=110)


def _legend_below(axes: Axes) -> None:
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)


def draw_types(axes: Axes, links: un.Matching, type_of: pd.Series) -> None:
    """Cell type of each RNA cell against that of the protein cell it is matched to, rows summing to 1."""
    best = links.pairs.drop_duplicates("left")
    table = pd.crosstab(type_of[best["left"]].to_numpy(), type_of[best["right"]].to_numpy(), normalize="index").reindex(
        columns=sorted(type_of.unique()), index=sorted(type_of.unique()), fill_value=0.0
    )
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), fraction in np.ndenumerate(table.to_numpy()):
        if fraction >= 0.05:
            colour = "w" if fraction > 0.6 else INK
            axes.text(column, row, f"{fraction:.2f}", ha="center", va="center", color=colour, size=7)
    right = (type_of[best["left"]].to_numpy() == type_of[best["right"]].to_numpy()).mean()
    axes.set(title=f"Type of the matched cell: {right:.0%} right", xlabel="protein cell", ylabel="RNA cell")
    axes.set_xticks(range(len(table)), table.columns, rotation=45, ha="right")
    axes.set_yticks(range(len(table)), table.index)
    axes.spines[:].set_visible(False)


def draw_prediction(axes: Axes, truth: np.ndarray, ours: np.ndarray, ridge: np.ndarray, proteins: np.ndarray) -> None:
    """Correlation of each protein, sorted."""
    scores, base = un.metrics.pearson_per_feature(truth, ours), un.metrics.pearson_per_feature(truth, ridge)
    order = np.argsort(scores)
    place = np.arange(len(order))
    axes.hlines(place, base[order], scores[order], color=FAINT, zorder=0)
    axes.scatter(base[order], place, s=22, c=REFERENCE, label=f"ridge, mean {base.mean():.3f}")
    axes.scatter(
        scores[order], place, s=22, c=un.modalities.spec_of("adt").colour, label=f"Unisono, mean {scores.mean():.3f}"
    )
    axes.set(title="Protein from RNA", xlabel="Pearson correlation, unseen cells", yticks=place)
    axes.set_yticklabels(proteins[order])
    _legend_below(axes)


def draw_ranks(axes: Axes, similarity: un.matching.Similarity, foscttm: float) -> None:
    """Share of cells whose partner is among the k most alike."""
    n_cells = len(similarity.left)
    ks = np.unique(np.geomspace(1, n_cells, 40).astype(int))
    recall = un.metrics.recall_at(*similarity.vectors, ks=tuple(int(k) for k in ks))
    axes.plot(
        ks,
        [recall[int(k)] for k in ks],
        color=un.modalities.spec_of("rna").colour,
        label=f"Unisono, FOSCTTM {foscttm:.3f}",
    )
    axes.plot(ks, ks / n_cells, color=REFERENCE, ls=":", label="chance")
    axes.set(title="RNA matched to protein", xscale="log", ylim=(0, 1.02))
    axes.set(xlabel=f"k of {n_cells:,} cells", ylabel="partner among k")
    _legend_below(axes)
