"""How well content and style are kept apart in cells that a model has not seen: probes, shares of variance, swaps.

    python benchmarks/disentanglement.py --seeds 3 --out docs/benchmarks/disentanglement

For each data set and seed a random fifth of the cells is test. Presets and sizes are those of `SETS`. Beside the
embedding stands the space of `match`, which it was before its modalities were tuned to each other.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mudata import MuData
from transfer import taken
from written import DATA, figure_table, write_report

import unisono as un
from unisono.evaluation.disentanglement import Disentanglement
from unisono.config import FitConfig, Preset
from unisono import metrics
from unisono.evaluation.probes import class_probes
from unisono.messages import InputWarning
from unisono.model.query import query_cells
from unisono.model.unisono import Unisono
from unisono.io.read import read_mudata

MODALITY_AND_BATCH, CELL_TYPE = 0.05, 0.02
"""What the aim is: content within five points of chance, cell type within two points of the best code."""


@dataclass(frozen=True)
class Setting:
    """A data set: which file, how many of its cells, and the preset of the fit."""

    file: str
    n_cells: int | None
    preset: Preset


SETS = {
    "bmmc_cite": Setting("bmmc_cite", None, "default"),
    "pbmc_panel224_cite": Setting("pbmc_panel224_cite", None, "default"),
    "snareseq_cortex": Setting("snareseq_cortex", None, "fast"),
    "snareseq_cortex, 2,500 cells": Setting("snareseq_cortex", 2500, "fast"),
}
Row = dict[str, Any]


def main() -> None:
    """Fit, probe, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list(SETS), selection=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    rows: list[Row] = []
    about: dict[str, Row] = {}
    for name in arguments.names:
        setting = SETS[name]
        mdata = read_mudata(DATA / f"{setting.file}.h5mu")
        for seed in range(arguments.seeds):
            model, test = fitted(mdata, setting, seed)
            found = un.disentanglement(model, test)
            figures = of_model(model, test, found)
            rows += [{"data": name, "seed": seed, **row, "value": round(row["value"], 5)} for row in figures]
            marks = about.setdefault(name, {"preset": setting.preset, "n_cells": {}, "fingerprints": []})
            marks["n_cells"] = {"train": model.record.n_cells, "test": test.n_obs}
            marks["fingerprints"].append(model.record.fingerprint)
    text = "\n".join(sections(rows, about, arguments.seeds))
    write_report(arguments.out, "disentanglement", "Disentanglement", text, {"data": about, "rows": rows})


def fitted(mdata: MuData, setting: Setting, seed: int) -> tuple[Unisono, MuData]:
    """A model of four fifths of the cells, and the others."""
    order = np.random.default_rng(seed).permutation(mdata.n_obs)[: setting.n_cells]
    n_test = len(order) // 5
    config = FitConfig.preset(setting.preset, seed=seed)
    model = un.fit(taken(mdata, np.sort(order[n_test:])), batch_key="batch", config=config)
    return model, taken(mdata, np.sort(order[:n_test]))


def of_model(model: Unisono, test: MuData, found: Disentanglement) -> Iterator[Row]:
    """Every figure of one model as a row: table, space, modality, label, how, value, chance."""
    for probe in found.probes:
        key = {"space": probe.space, "modality": probe.modality, "label": probe.label, "how": probe.how}
        yield {"table": "probe", **key, "value": probe.score, "chance": probe.chance, "n_classes": probe.n_classes}
    for each in found.styled:
        way = f"{each.source}->{each.target}"
        shares, style_transfer = each.variance, each.style_transfer
        figures = {"variance: content": shares.content, "style": shares.style, "interaction": shares.interaction}
        if style_transfer is not None:
            figures |= {"swap: towards B": style_transfer.shift_fraction, "called B, own": style_transfer.called_b_own}
            figures |= {
                "called B, swapped": style_transfer.called_b_swapped,
                "called B, measured": style_transfer.called_b_measured,
            }
            figures |= {"type, own": style_transfer.type_own, "type, swapped": style_transfer.type_swapped}
            figures |= {"mean change": each.change}
        yield from (
            {"table": "styled", "way": way, "figure": k, "value": v} for k, v in figures.items() if v is not None
        )
    yield from moment_alignment(model, test)


def moment_alignment(model: Unisono, test: MuData) -> Iterator[Row]:
    """Vectors of content and what `embed` writes: who can be told apart in them, and where partners rank."""
    cells = query_cells(test, model.preprocessors, model.record, "test")
    a, b = (cells.views[m] for m in cells.modalities)
    types = test[a.modality].obs["cell_type"].astype(str).reindex(a.cells).to_numpy()
    for space, of in (("content", model.vectors_of), ("embed", model.embedded)):
        x, y = of(a), of(b)
        names, twice = np.repeat([a.modality, b.modality], [len(x), len(y)]), np.concatenate([a.cells, b.cells])
        asked = class_probes(space, "both", "modality", np.concatenate([x, y]), names, twice)
        figures = {f"modality, {probe.how}": probe.score for probe in asked}
        figures["other modality among 15 neighbours"] = mixing(x, y)
        for view, vectors in ((a, x), (b, y)):
            asked = class_probes(space, view.modality, "cell type", vectors, types, view.cells)
            figures |= {f"cell type of {view.modality}, {probe.how}": probe.score for probe in asked}
        figures["FOSCTTM"] = metrics.foscttm(x, y)
        figures["FOSCTTM within batch"] = metrics.foscttm(x, y, groups=a.batch)
        yield from ({"table": "tuning", "space": space, "figure": k, "value": v} for k, v in figures.items())


def mixing(x: np.ndarray, y: np.ndarray, k: int = 15) -> float:
    """Share of the other modality among the nearest cells, a cell and its partner left out; 0.5 where all is mixed."""
    both, n = np.concatenate([x, y]).astype(np.float64), len(x)
    near = -2.0 * both @ both.T + np.square(both).sum(axis=1)
    rows = np.arange(2 * n)
    near[rows, rows], near[rows, (rows + n) % (2 * n)] = np.inf, np.inf
    nearest = np.argpartition(near, k, axis=1)[:, :k]
    return float(np.mean((nearest < n) != (rows < n)[:, None]))


def sections(rows: list[Row], about: dict[str, Row], n_seeds: int) -> Iterator[str]:
    """The report: the aim against what was found, then every table."""
    yield f"{n_seeds} seeds, mean (min–max) over seeds; a random fifth of the cells is test.\n"
    for name, marks in about.items():
        counts = ", ".join(f"{n:,} {m}" for m, n in marks["n_cells"]["train"].items())
        yield f"- {name}: preset {marks['preset']}, fitted to {counts}; {marks['n_cells']['test']:,} test cells."
    yield "\n## The aim, and where it is missed\n"
    yield (
        "From content, modality and batch are to be read no better than five points above chance, cell type no worse "
        "than two points below the best code (with the batch's offset or without); from style the reverse. Means over "
        "seeds; balanced accuracy, both probes.\n"
    )
    yield from verdicts(rows)
    probes = [{**row, "figure": f"{row['space']}, {row['how']}"} for row in of_table(rows, "probe")]
    for label, unit in (("modality", ""), ("batch", ""), ("cell type", ""), ("depth", ", R²")):
        yield f"\n## Probes of {label}{unit}\n"
        some = [row for row in probes if row["label"] == label]
        chances = {row["data"]: f"{row['chance']:.3f}" for row in some}
        yield "Chance: " + ", ".join(f"{data} {chance}" for data, chance in chances.items()) + ".\n"
        yield figure_table(
            [{**row, "probe": row["figure"]} for row in some], ("probe", "modality"), across="data", digits=3
        )
    yield "\n## Variance of predictions and swaps of style\n"
    yield (
        "Shares of the variance over test contents in the styles of the training batches. A swap predicts cells of "
        "batch A in the style of B: how far the mean goes along the measured difference of A and B, how often a linear "
        "probe of measured codes takes the cell for one of B, balanced accuracy of cell type, and the mean absolute "
        "change.\n"
    )
    yield figure_table(of_table(rows, "styled"), ("data", "way"), digits=3)
    yield "\n## Alignment of the embedding\n"
    yield (
        "The first space is content alone, which `match` adds potentials to; `embed` writes the second: content with "
        "one mean and covariance for all modalities, and the potentials, by statistics of 200 held-out cells or more "
        "where there are, else of training cells as if unseen.\n"
    )
    for name in about:
        some = [row for row in of_table(rows, "tuning") if row["data"] == name]
        yield f"\n{name}:\n\n" + figure_table(some, ("figure",), across="space")


def of_table(rows: Iterable[Row], table: str) -> list[Row]:
    """The rows of one table."""
    return [row for row in rows if row["table"] == table]


def verdicts(rows: list[Row]) -> Iterator[str]:
    """What misses the aim in plain words, then a line for each data set, modality, label and probe."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in of_table(rows, "probe"):
        found.setdefault((row["data"], row["label"], row["modality"], row["space"], row["how"]), []).append(row)
    mean = {key: float(np.mean([row["value"] for row in some])) for key, some in found.items()}
    missed: dict[str, list[str]] = {"met": [], "missed": []}
    lines = ["| data | label | modality | probe | content | embedding | style | chance | best code | content | style |"]
    lines.append("|" + " --- |" * 11)
    for (data, label, modality, space, how), score in mean.items():
        if space != "content" or label == "depth":
            continue
        others = {s: mean[data, label, modality, s, how] for s in ("embedding", "style")}
        codes = [mean[key] for s in ("codes", "standardised codes") if (key := (data, label, modality, s, how)) in mean]
        chance, best = found[data, label, modality, space, how][0]["chance"], max(codes) if codes else None
        near = chance + MODALITY_AND_BATCH
        is_met = score <= near if best is None or label != "cell type" else score >= best - CELL_TYPE
        is_reverse = others["style"] <= near if label == "cell type" else others["style"] > near
        against = f"best code {best:.3f}" if best is not None and label == "cell type" else f"chance {chance:.3f}"
        said = f"{data}, {label} from content of {modality}, {how}: {score:.3f}, {against}"
        missed["met" if is_met else "missed"].append(said)
        cells = [f"{score:.3f}", *(f"{value:.3f}" for value in others.values()), f"{chance:.3f}", _said(best)]
        cells += ["met" if is_met else "missed", "met" if is_reverse else "missed"]
        lines.append(f"| {data} | {label} | {modality} | {how} | {' | '.join(cells)} |")
    n_missed, n = len(missed["missed"]), len(missed["met"]) + len(missed["missed"])
    yield f"Content misses the aim in {n_missed} of {n} questions:\n"
    yield from (f"- {said}" for said in missed["missed"])
    yield ""
    yield from lines


def _said(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
