"""How well content and style are kept apart in cells that a model has not seen: probes, shares of variance, swaps.

For each data set and seed a random fifth of the cells is test. Presets and sizes are those of `SETS`. The embedding is
compared with the space of `match`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from mudata import MuData

import unisono as un
from unisono_bench.data import paired_views
from unisono_bench.studies.cells import read, take
from unisono_bench.studies.report import Preset, Row, Settings, Study, figure_table
from unisono_bench.unisono_method import FittedUnisono

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


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Fit and probe."""
    rows: list[Row] = []
    about: list[Row] = []
    for name in settings.data:
        setting = SETS[name]
        mdata = read(setting.file)
        for seed in range(settings.n_seeds):
            model, test = fitted(mdata, setting, seed)
            rows += [
                {"data": name, "seed": seed, **row, "value": round(row["value"], 5)} for row in of_model(model, test)
            ]
            counts = {f"n_{m}": n for m, n in model.record.n_cells.items()}
            marks = {"preset": setting.preset, "n_test": test.n_obs, "fingerprint": model.record.fingerprint}
            about.append({"data": name, "seed": seed, **marks, **counts})
    return {"models": about, "rows": rows}


def fitted(mdata: MuData, setting: Setting, seed: int) -> tuple[un.Unisono, MuData]:
    """A model of four fifths of the cells, and the others."""
    order = np.random.default_rng(seed).permutation(mdata.n_obs)[: setting.n_cells]
    n_test = len(order) // 5
    config = un.FitConfig.preset(setting.preset, seed=seed)
    model = un.fit(take(mdata, np.sort(order[n_test:])), batch_key="batch", config=config)
    return model, take(mdata, np.sort(order[:n_test]))


def of_model(model: un.Unisono, test: MuData) -> Iterator[Row]:
    """Every figure of one model as a row: table, space, modality, label, how, value, chance."""
    found = un.disentanglement(model, test)
    for probe in found.probes:
        key = {"space": probe.space, "modality": probe.modality, "label": probe.label, "how": probe.how}
        yield {"table": "probe", **key, "value": probe.score, "chance": probe.chance, "n_classes": probe.n_classes}
    for each in found.styled:
        about = {"table": "styled", "source": each.source, "target": each.target}
        shares, transfer = each.variance, each.style_transfer
        figures: dict[str, float | None] = {}
        if shares is not None:
            figures |= {"variance: content": shares.content, "style": shares.style, "interaction": shares.interaction}
        if transfer is not None:
            figures |= {"swap: towards B": transfer.shift_fraction, "called B, own": transfer.called_b_own}
            figures |= {
                "called B, swapped": transfer.called_b_swapped,
                "called B, measured": transfer.called_b_measured,
            }
            figures |= {"type, own": transfer.type_own, "type, swapped": transfer.type_swapped}
            figures |= {"mean change": each.change}
        yield from ({**about, "figure": k, "value": v} for k, v in figures.items() if v is not None)
    yield from spaces(model, test)


def spaces(model: un.Unisono, test: MuData) -> Iterator[Row]:
    """The space of `match` and that of `embed`: how the modalities mix in it, and where partners rank."""
    cells = un.read_cells(test, batch_key="batch")
    a, b = paired_views(cells, *cells.modalities[:2])
    compared = FittedUnisono(model).similarity(a, b, depth=False, groups=None)
    if compared is None:
        return
    embedded = model.embed(test.copy())
    sides = [embedded[view.modality][view.cells].obsm["X_unisono"] for view in (a, b)]
    for space, (x, y) in {"match": compared.vectors, "embed": sides}.items():
        figures = {"other modality among 15 neighbours": mixing(x, y)}
        figures["FOSCTTM"] = un.metrics.foscttm(x, y)
        figures["FOSCTTM within batch"] = un.metrics.foscttm(x, y, groups=a.batch)
        yield from ({"table": "spaces", "space": space, "figure": k, "value": v} for k, v in figures.items())


def mixing(x: np.ndarray, y: np.ndarray, k: int = 15) -> float:
    """Share of the other modality among the nearest cells, a cell and its partner left out; 0.5 where all is mixed."""
    both, n = np.concatenate([x, y]).astype(np.float64), len(x)
    near = -2.0 * both @ both.T + np.square(both).sum(axis=1)
    rows = np.arange(2 * n)
    near[rows, rows], near[rows, (rows + n) % (2 * n)] = np.inf, np.inf
    nearest = np.argpartition(near, k, axis=1)[:, :k]
    return float(np.mean((nearest < n) != (rows < n)[:, None]))


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """The aim against what was found, then every table."""
    return "\n".join(sections(results["rows"], results["models"], settings.n_seeds))


def sections(rows: list[Row], models: list[Row], n_seeds: int) -> Iterator[str]:
    """The parts of the page."""
    yield f"{n_seeds} seeds, mean (min–max) over seeds; a random fifth of the cells is test.\n"
    about = {model["data"]: model for model in models}
    for name, model in about.items():
        cells = {m: model.get(f"n_{m}") for m in un.modalities.registered()}
        counts = ", ".join(f"{n:,} {m}" for m, n in cells.items() if n is not None)
        yield f"- {name}: preset {model['preset']}, fitted to {counts}; {model['n_test']:,} test cells."
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
    styled = [{**row, "way": f"{row['source']}->{row['target']}"} for row in of_table(rows, "styled")]
    yield figure_table(styled, ("data", "way"), digits=3)
    yield "\n## Moment alignment of the embedding\n"
    yield (
        "`match` compares in the first space, `embed` writes the second: each modality's mean and covariance brought "
        "to the average, by statistics of 200 held-out cells or more where there are, else of training cells as if "
        "unseen.\n"
    )
    for name in about:
        some = [row for row in of_table(rows, "spaces") if row["data"] == name]
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


STUDY = Study("Disentanglement", tuple(SETS), "default", measure, tell)
