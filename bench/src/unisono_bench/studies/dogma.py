"""From DNA to RNA to protein on simulated cells: the chain against the direct way, and training sets with holes.

Each seed is a simulation of its own; a fifth of its cells, complete, are test. Models are fitted on the rest:

- complete: every training cell has all three modalities;
- a hole: 60 % of the training cells have lost one modality, drawn at random;
- one left: 60 % of the training cells have one modality, drawn at random, and no other.

Predictions of the complete model are also compared with the truth of the simulation, expected counts without noise,
batch and ambient background, on the scale of the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations

import numpy as np
from scipy.stats import spearmanr

import unisono as un
from unisono_bench.data import to_anndata, to_mudata
from unisono_bench.studies.report import Row, Settings, Study, figure_table

N_CELLS = 1500
WAYS: tuple[tuple[str, str, str | None], ...] = (
    ("rna", "adt", None),
    ("atac", "adt", None),
    ("atac", "adt", "rna"),
    ("rna", "atac", None),
    ("adt", "atac", None),
    ("adt", "atac", "rna"),
)


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Simulate, fit and compare."""
    chains: list[Row] = []
    holes: list[Row] = []
    for seed in range(settings.n_seeds):
        simulation = un.datasets.simulate_cells(un.datasets.Recipe(n_cells=N_CELLS, seed=seed))
        order = np.random.default_rng(seed).permutation(N_CELLS)
        test, training = np.sort(order[: N_CELLS // 5]), np.sort(order[N_CELLS // 5 :])
        given = simulation.cells.take(training)
        rng = np.random.default_rng([seed, 1])
        sets = {"complete": given, "a hole": stripped(given, rng, keeps=2), "one left": stripped(given, rng, keeps=1)}
        for name, cells in sets.items():
            model = un.fit(to_mudata(cells), config=un.FitConfig.preset(settings.preset, seed=seed), batch_key="batch")
            about = {"training": name, "seed": seed}
            holes += [about | row for row in directions(model, simulation.cells.take(test))]
            if name == "complete":
                chains += [{"seed": seed, **row} for row in chained(model, simulation, test)]
    return {"chains": chains, "holes": holes}


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """The chain against the direct way, and training sets with holes."""
    chains = [
        {**row, "way": " → ".join(filter(None, (row["source"], row["via"], row["target"])))}
        for row in results["chains"]
    ]
    holes = [{**row, "figure": f"{row['source']}->{row['target']}"} for row in results["holes"]]
    return (
        f"{settings.n_seeds} simulations of {N_CELLS:,} cells, preset {settings.preset}; mean (min–max).\n\n"
        "## The chain against the direct way\n\n"
        "Pearson correlation per feature and RMSE against what was measured and against the truth, and how the spread "
        "of the draws ranks with the error against the truth (Spearman, 0 at chance).\n\n"
        f"{figure_table(chains, ('way',))}\n"
        "## Training sets with holes\n\nPearson correlation per feature of the complete test cells.\n\n"
        f"{figure_table(holes, ('training',), digits=3)}"
    )


def stripped(cells: un.Cells, rng: np.random.Generator, keeps: int) -> un.Cells:
    """The cells, 60 % of which have kept that many of their modalities."""
    n_cells = len(cells.names)
    is_stripped = rng.random(n_cells) < 0.6
    rank = rng.random((n_cells, len(un.modalities.registered()))).argsort(axis=1)
    views = {}
    for place, modality in enumerate(cells.modalities):
        is_kept = ~is_stripped | (rank[:, place] < keeps)
        views[modality] = cells.views[modality].take(cells.rows[modality][is_kept])
    return un.Cells(views)


def directions(model: un.Unisono, test: un.Cells) -> Iterator[Row]:
    """The correlation of every direction on the test cells."""
    for source, target in permutations(un.modalities.registered(), 2):
        found = model.predict(to_anndata(test.views[source]), source, target).X
        value = un.metrics.mean_pearson(un.preprocessing.on_scale(test.views[target]).toarray(), found)
        yield {"source": source, "target": target, "metric": "pearson", "value": value}


def chained(model: un.Unisono, simulation: un.datasets.Simulation, test: np.ndarray) -> Iterator[Row]:
    """Each way with draws, against what was measured and against the truth."""
    cells = simulation.cells.take(test)
    for source, target, via in WAYS:
        found = model.predict(to_anndata(cells.views[source]), source, target, via=via, n_draws=64)
        values, spread = np.asarray(found.X), np.asarray(found.layers["spread"])
        truth = true_values(simulation, target)[test]
        measured = un.preprocessing.on_scale(cells.views[target]).toarray()
        figures = {
            "Pearson, measured": un.metrics.mean_pearson(measured, values),
            "Pearson, truth": un.metrics.mean_pearson(truth, values),
            "RMSE, measured": un.metrics.rmse(measured, values),
            "RMSE, truth": un.metrics.rmse(truth, values),
            "mean spread": float(spread.mean()),
            "spread with error": float(spearmanr(spread.ravel(), np.abs(values - truth).ravel()).statistic),
        }
        about = {"source": source, "target": target, "via": via}
        yield from ({**about, "figure": figure, "value": value} for figure, value in figures.items())


def true_values(simulation: un.datasets.Simulation, target: str) -> np.ndarray:
    """Expected counts on the scale of the target, cell x feature."""
    if target == "atac":
        return simulation.accessibility
    if target == "rna":
        return np.asarray(np.log1p(1e4 * simulation.rna_rate / simulation.rna_rate.sum(axis=1, keepdims=True)))
    logs = np.log1p(simulation.adt_rate).mean(axis=1, keepdims=True)
    return np.asarray(np.log1p(simulation.adt_rate / np.exp(logs)))


STUDY = Study("DNA to RNA to protein", (), "default", measure, tell)
