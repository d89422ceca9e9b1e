"""A few cells of a new laboratory: a fit from scratch against one that starts from a model of the other data sets.

Three data sets are the new one in turn. A model of all others is asked about it zero-shot; then n of its cells, drawn
anew for each seed, are fitted from scratch, and with `init`. Test cells are the same for every n of a seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
from mudata import MuData
from numpy.typing import NDArray

import unisono as un
from unisono_bench.plots import written
from unisono_bench.studies.cells import read, take
from unisono_bench.studies.left_out import model
from unisono_bench.studies.left_out.measure import without
from unisono_bench.studies.left_out.sets import PAIR, DataSets
from unisono_bench.studies.report import Row, Settings, Study, figure_table, grouped

NEW = ("bmmc_cite", "pbmc_panel224_cite", "teaseq_cite")
N_CELLS = (50, 100, 250, 500)
TEST_FRACTION, MAX_TEST_CELLS = 0.3, 1000
ZERO_SHOT, SCRATCH, INIT = "zero-shot", "from scratch", "init"
FIGURES = ("RNA→ADT", "ADT→RNA", "FOSCTTM")


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Fit to the other data sets, then to a few cells of the new one in both ways."""
    sets = DataSets.of({name: read(name) for name in settings.data})
    return {"rows": measured(sets, settings, un.FitConfig.preset(settings.preset))}


def measured(
    sets: DataSets,
    settings: Settings,
    config: un.FitConfig,
    new: Sequence[str] = NEW,
    n_cells: Sequence[int] = N_CELLS,
) -> list[Row]:
    """As `measure`, of data sets that have been read, by a config at every seed."""
    rows: list[Row] = []
    for name in (name for name in sets.names if name in new):
        others = without(sets.names, name)
        start = model.fitted(sets, others, config)
        for seed in range(settings.n_seeds):
            seeded = config.model_copy(update={"seed": seed})
            found = partial(_of_seed, name, start, sets.mudata[name], n_cells, seeded)
            depends_on = [seeded.model_dump(mode="json"), sets.fingerprints, list(n_cells)]
            rows += settings.kept.rows(f"few cells of {name}, seed {seed}", depends_on, found)
    return rows


def _divided(mdata: MuData, seed: int) -> tuple[MuData, MuData]:
    """Test cells, and those to learn from in the order in which they are taken; all have both modalities."""
    n_cells = next(iter(mdata.mod.values())).n_obs
    order = np.random.default_rng([seed, 3]).permutation(n_cells)
    n_test = min(int(TEST_FRACTION * n_cells), MAX_TEST_CELLS)
    return take(mdata, np.sort(order[:n_test])), take(mdata, order[n_test:])


def _of_seed(
    name: str, start: un.Unisono, mdata: MuData, n_cells: Sequence[int], config: un.FitConfig
) -> Iterator[Row]:
    """Zero-shot, then both ways for as many cells as there are."""
    about, (test, learning) = {"new": name, "seed": config.seed}, _divided(mdata, config.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", un.InputWarning)
        truth = un.read_cells(test, batch_key="batch")
        yield from (about | {"n": 0, "way": ZERO_SHOT} | row for row in _figures(start, test, truth))
        n_there = next(iter(learning.mod.values())).n_obs
        for n in (n for n in n_cells if n <= n_there):
            few = take(learning, np.arange(n))
            for way, init in ((SCRATCH, None), (INIT, start)):
                fitted = un.fit(few, batch_key="batch", config=config, init=init)
                yield from (about | {"n": n, "way": way} | row for row in _figures(fitted, test, truth))


def _figures(fitted: un.Unisono, test: MuData, truth: un.Cells) -> Iterator[Row]:
    """Correlation over the features that both know, and FOSCTTM within batches."""
    for (source, target), figure in zip(permutations(PAIR, 2), FIGURES, strict=False):
        view = truth.views[target]
        predicted = fitted.predict(test, source, target, force=True).to_df()
        known = np.isin(view.features, predicted.columns)
        measured = un.preprocessing.on_scale(view)[:, np.flatnonzero(known)].toarray()
        values = predicted.loc[list(view.cells), view.features[known]].to_numpy()
        pearson = un.metrics.pearson_per_feature(measured, values).mean()
        yield {"figure": figure, "value": round(float(pearson), 6), "n_features": int(known.sum())}
    embedded = fitted.embed(test.copy(), force=True)
    left, right = (embedded[m].obsm["X_unisono"] for m in PAIR)
    found = un.metrics.foscttm(left, right, _batches(test))
    yield {"figure": FIGURES[2], "value": round(float(found), 6)}


def _batches(mdata: MuData) -> NDArray[np.str_]:
    return np.array(next(iter(mdata.mod.values())).obs["batch"], dtype=str)


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """One table, and what a start is worth."""
    rows = results["rows"]
    return (
        f"Preset {settings.preset}, {settings.said} Zero-shot and init start from one model of the other data sets, "
        "seed 0. Pearson correlation over the features that the model knows, which zero-shot are fewer; FOSCTTM of the "
        f"embedding within batches.\n\n{figure_table(rows, ('new', 'n', 'way'), digits=3)}\n"
        f"## Worth in cells\n\n{_TEXT_WORTH}\n\n{worth_table(rows)}"
    )


def worth_table(rows: Sequence[Row]) -> str:
    """Markdown: for how many cells from scratch n cells with `init` stand, by interpolation over log n."""
    numbers = sorted({row["n"] for row in rows if row["way"] == INIT})
    lines = [f"| new | figure | {' | '.join(f'{n} cells' for n in numbers)} |", "|" + " --- |" * (2 + len(numbers))]
    for (new, figure), some in grouped(rows, lambda row: (row["new"], row["figure"])).items():
        scratch, init = (_means(some, way) for way in (SCRATCH, INIT))
        cells = [_worth(scratch, init[n], n, figure) if n in init else "" for n in numbers]
        lines.append(f"| {new} | {figure} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _means(rows: Sequence[Row], way: str) -> dict[int, float]:
    """Mean over seeds by number of cells."""
    by_number = grouped([row for row in rows if row["way"] == way], lambda row: (str(row["n"]),))
    return {int(n): float(np.mean([row["value"] for row in some])) for (n,), some in by_number.items()}


def _worth(scratch: Mapping[int, float], value: float, n: int, figure: str) -> str:
    """How many times n cells from scratch reach a value; where the curve does not, a bound."""
    sign = -1.0 if figure == FIGURES[2] else 1.0
    numbers = sorted(scratch)
    curve = np.maximum.accumulate([sign * scratch[k] for k in numbers])
    if sign * value > curve[-1]:
        return f"> {numbers[-1] / n:.1f} ×"
    if sign * value < curve[0]:
        return f"< {numbers[0] / n:.1f} ×"
    found = np.exp(np.interp(sign * value, curve, np.log(numbers)))
    return f"{found / n:.1f} ×"


def draw(results: Mapping[str, list[Row]], settings: Settings, folder: Path) -> None:
    """Write few_shot.png: a row of panels for each new data set."""
    draw_curves(results["rows"], folder / "few_shot.png")


def draw_curves(rows: Sequence[Row], path: Path) -> Path:
    """Figures over the number of cells, from scratch and with init, and the line of zero-shot."""
    from matplotlib.figure import Figure

    new = list(dict.fromkeys(row["new"] for row in rows))
    figure = Figure(figsize=(3.2 * len(FIGURES) + 1.4, 2.6 * len(new)), layout="constrained")
    panels = figure.subplots(len(new), len(FIGURES), squeeze=False)
    for line, name in zip(panels, new, strict=True):
        for panel, title in zip(line, FIGURES, strict=True):
            some = [row for row in rows if (row["new"], row["figure"]) == (name, title)]
            for way, colour in ((SCRATCH, un.palette.INK), (INIT, un.palette.ACCENT)):
                means = _means(some, way)
                panel.plot(list(means), list(means.values()), "o-", markersize=4, color=colour, label=way)
            (zero,) = _means(some, ZERO_SHOT).values()
            panel.axhline(zero, color=un.palette.ACCENT, linestyle=":", label=ZERO_SHOT)
            panel.set_xscale("log")
            ticks = sorted({row["n"] for row in some if row["n"]})
            panel.set_xticks(ticks, [str(n) for n in ticks])
            panel.minorticks_off()
            panel.set_title(f"{name}: {title}", fontsize=8)
            panel.set_xlabel("cells", fontsize=8)
            panel.tick_params(labelsize=8)
            panel.grid(axis="both", alpha=0.3)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return written(figure, path)


_TEXT_WORTH = """\
How many times as many cells from scratch reach what `init` reaches with n, read off the curve of means; `>` and `<`
where it lies beyond the curve."""

STUDY = Study(
    "A few cells of a new laboratory",
    ("pbmc10k_cite", "bmmc_cite", "pbmc_panel224_cite", "teaseq_cite", "bremsc_cite"),
    "fast",
    measure,
    tell,
    draw=draw,
)
