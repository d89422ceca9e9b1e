"""The picture of the README, from pbmc10k_cite: types of matched cells, prediction against ridge, ranks of partners.

python benchmarks/overview.py docs/overview.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from main_job import DATA
from sklearn.linear_model import RidgeCV

import unisono as un
from unisono.demo import split
from unisono import metrics
from unisono.io.matching import Matching
from unisono.io.read import cells_from_mudata, read_mudata
from unisono.preprocessing.projection import on_scale

mpl.use("Agg")
from matplotlib import pyplot as plt

INK, VOICES = "#333333", {"rna": "#2a7f9e", "adt": "#d1603d"}


def main(path: Path) -> None:
    """Fit once at the default preset and draw three panels."""
    training, test = split(read_mudata(DATA / "pbmc10k_cite.h5mu"))
    model = un.fit(training)
    cells, seen = cells_from_mudata(test, batch_key=None)[0], cells_from_mudata(training, batch_key=None)[0]
    vectors = {m: model.vectors_of(cells.views[m]) for m in ("rna", "adt")}
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "text.color": INK})
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), width_ratios=(1.1, 1.3, 1.0))
    links = model.match_by_rules(cells.views["rna"], cells.views["adt"], ("one-to-one",))[1]["one-to-one"]
    draw_types(left, links, test["rna"].obs["cell_type"].astype(str))
    truth = on_scale(cells.views["adt"]).toarray()
    codes = {
        name: model.preprocessors["rna"].transform(part.views["rna"]).x
        for name, part in (("test", cells), ("train", seen))
    }
    ridge = RidgeCV(alphas=np.logspace(-2, 5, 15)).fit(codes["train"], on_scale(seen.views["adt"]).toarray())
    predicted = model.prediction_of(cells.views["rna"], "adt").dense()
    draw_prediction(middle, truth, predicted, ridge.predict(codes["test"]), cells.views["adt"].features)
    draw_ranks(right, vectors, metrics.foscttm(vectors["rna"], vectors["adt"]))
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def draw_types(axes: plt.Axes, links: Matching, type_of: pd.Series) -> None:
    """Cell type of each RNA cell against that of the protein cell it is matched to, rows summing to 1."""
    best = links.pairs.drop_duplicates("left")
    table = pd.crosstab(type_of[best["left"]].to_numpy(), type_of[best["right"]].to_numpy(), normalize="index").reindex(
        columns=sorted(type_of.unique()), index=sorted(type_of.unique()), fill_value=0.0
    )
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(table.to_numpy()):
        if share >= 0.05:
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color="w" if share > 0.6 else INK, size=7)
    right = (type_of[best["left"]].to_numpy() == type_of[best["right"]].to_numpy()).mean()
    axes.set(title=f"Type of the matched cell: {right:.0%} right", xlabel="protein cell", ylabel="RNA cell")
    axes.set_xticks(range(len(table)), table.columns, rotation=45, ha="right")
    axes.set_yticks(range(len(table)), table.index)
    axes.spines[:].set_visible(False)


def draw_prediction(
    axes: plt.Axes, truth: np.ndarray, ours: np.ndarray, ridge: np.ndarray, proteins: np.ndarray
) -> None:
    """Correlation of each protein, sorted."""
    scores, base = metrics.pearson_per_feature(truth, ours), metrics.pearson_per_feature(truth, ridge)
    order = np.argsort(scores)
    place = np.arange(len(order))
    axes.hlines(place, base[order], scores[order], color="#cccccc", zorder=0)
    axes.scatter(base[order], place, s=22, c="#999999", label=f"ridge, mean {base.mean():.3f}")
    axes.scatter(scores[order], place, s=22, c=VOICES["adt"], label=f"Unisono, mean {scores.mean():.3f}")
    axes.set(title="Protein from RNA", xlabel="Pearson correlation, unseen cells", yticks=place)
    axes.set_yticklabels(proteins[order])
    axes.legend(frameon=False, loc="upper left")


def draw_ranks(axes: plt.Axes, vectors: dict[str, np.ndarray], rank: float) -> None:
    """Share of cells whose partner is among the k most alike."""
    n_cells = len(vectors["rna"])
    ks = np.unique(np.geomspace(1, n_cells, 40).astype(int))
    recall = metrics.recall_at(vectors["rna"], vectors["adt"], ks=tuple(int(k) for k in ks))
    axes.plot(ks, [recall[int(k)] for k in ks], color=VOICES["rna"], label=f"Unisono, FOSCTTM {rank:.3f}")
    axes.plot(ks, ks / n_cells, color="#999999", ls=":", label="chance")
    axes.set(title="RNA matched to protein", xscale="log", ylim=(0, 1.3))
    axes.set(xlabel=f"k of {n_cells:,} cells", ylabel="partner among k")
    axes.legend(frameon=False, loc="upper left")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
