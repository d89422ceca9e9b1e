"""From DNA to RNA to protein on simulated cells: the chain beside the direct way, and training sets with holes.

    python benchmarks/dogma.py --seeds 3 --out docs/benchmarks/dogma

Each seed is a simulation of its own; a fifth of its cells, complete, are test. Models are fitted on the rest:

- complete: every training cell has all three modalities;
- a hole: 60 % of the training cells have lost one modality, drawn at random;
- one left: 60 % of the training cells have one modality, drawn at random, and no other.

Predictions of the complete model are also judged against the truth of the simulation, expected counts without noise,
batch and ambient background, on the scale of the target.
"""

from __future__ import annotations

import argparse
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from written import figure_table, write_report

from unisono.api import fit_cells
from unisono.config import FitConfig
from unisono.datasets.simulator import Recipe, Simulation, simulate_cells
from unisono import metrics
from unisono.model.unisono import Unisono
from unisono.modalities import registered
from unisono.preprocessing.projection import on_scale
from unisono.types import Cells, Modality

WAYS: tuple[tuple[Modality, Modality, Modality | None], ...] = (
    ("rna", "adt", None),
    ("atac", "adt", None),
    ("atac", "adt", "rna"),
    ("rna", "atac", None),
    ("adt", "atac", None),
    ("adt", "atac", "rna"),
)


def main() -> None:
    """Simulate, fit, judge; print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cells", type=int, default=1500)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    chains, holes = [], []
    for seed in range(arguments.seeds):
        simulation = simulate_cells(Recipe(n_cells=arguments.cells, seed=seed))
        order = np.random.default_rng(seed).permutation(arguments.cells)
        test, training = np.sort(order[: len(order) // 5]), np.sort(order[len(order) // 5 :])
        given = simulation.cells.take(training)
        rng = np.random.default_rng([seed, 1])
        sets = {"complete": given, "a hole": stripped(given, rng, keeps=2), "one left": stripped(given, rng, keeps=1)}
        config = FitConfig.preset(arguments.preset, seed=seed)
        for name, cells in sets.items():
            model = fit_cells(cells, config)
            holes += [{"training": name, "seed": seed, **row} for row in predicted(model, simulation.cells.take(test))]
            if name == "complete":
                chains += [{"seed": seed, **row} for row in chained(model, simulation, test)]
    text = (
        f"{arguments.seeds} simulations of {arguments.cells:,} cells, preset {arguments.preset}; mean (min–max).\n\n"
        "## The chain beside the direct way\n\n"
        "Pearson correlation per feature and RMSE against what was measured and against the truth, and how the spread "
        "of the draws ranks with the error against the truth (Spearman, 0 at chance).\n\n"
        f"{figure_table(chains, ('way',))}\n"
        "## Training sets with holes\n\nPearson correlation per feature of the complete test cells.\n\n"
        f"{figure_table(holes, ('training',), digits=3)}"
    )
    write_report(arguments.out, "dogma", "DNA to RNA to protein", text, {"chains": chains, "holes": holes})


def stripped(cells: Cells, rng: np.random.Generator, keeps: int) -> Cells:
    """The cells, 60 % of which have kept that many of their modalities."""
    n_cells = len(cells.names)
    is_stripped = rng.random(n_cells) < 0.6
    rank = rng.random((n_cells, len(registered()))).argsort(axis=1)
    views = {}
    for place, modality in enumerate(cells.modalities):
        is_kept = ~is_stripped | (rank[:, place] < keeps)
        views[modality] = cells.views[modality].take(cells.rows[modality][is_kept])
    return Cells(views)


def predicted(model: Unisono, test: Cells) -> list[dict[str, object]]:
    """Every direction on the test cells, and the matching."""
    rows = []
    for source, target in permutations(registered(), 2):
        found = model.prediction_of(test.views[source], target).dense()
        value = metrics.mean_pearson(on_scale(test.views[target]).toarray(), found)
        rows.append({"figure": f"{source}->{target}", "value": value})
    return rows


def chained(model: Unisono, simulation: Simulation, test: np.ndarray) -> list[dict[str, object]]:
    """Each way with draws, against what was measured and against the truth."""
    cells, rows = simulation.cells.take(test), []
    for source, target, via in WAYS:
        way = " → ".join([source, *([via] if via else []), target])
        found = model.prediction_of(cells.views[source], target, via=via, n_draws=64)
        values, spread = found.dense(), found.spread()
        truth = true_values(simulation, target)[test]
        measured = on_scale(cells.views[target]).toarray()
        error = np.abs(values - truth)
        figures = {
            "Pearson, measured": metrics.mean_pearson(measured, values),
            "Pearson, truth": metrics.mean_pearson(truth, values),
            "RMSE, measured": metrics.rmse(measured, values),
            "RMSE, truth": metrics.rmse(truth, values),
            "mean spread": float(spread.mean()),
            "spread with error": float(spearmanr(spread.ravel(), error.ravel()).statistic),
        }
        rows += [{"way": way, "figure": figure, "value": value} for figure, value in figures.items()]
    return rows


def true_values(simulation: Simulation, target: Modality) -> np.ndarray:
    """Expected counts on the scale of the target, cell x feature."""
    if target == "atac":
        return simulation.accessibility
    if target == "rna":
        return np.log1p(1e4 * simulation.rna_rate / simulation.rna_rate.sum(axis=1, keepdims=True))
    logs = np.log1p(simulation.adt_rate).mean(axis=1, keepdims=True)
    return np.log1p(simulation.adt_rate / np.exp(logs))


if __name__ == "__main__":
    main()
