"""Models asked about cells of other laboratories: other antibodies, other spelling, other genes, other peaks.

    python benchmarks/foreign.py panels --seeds 3 --out docs/benchmarks/foreign
    python benchmarks/foreign.py peaks --seeds 3 --out docs/benchmarks/foreign

Panels: a model of each of pbmc10k_cite (14 proteins), pbmc_panel224_cite (224) and bmmc_cite (134) predicts the others,
names as the files have them. Judged are the proteins, or genes, that both have; beside it stands what a model reaches
that was fitted on half of the other cells themselves, on the other half.

Peaks: a model of snareseq_cortex, libraries 09A–09G, matches the cells of 09H with its own peaks, with every peak moved
by up to 200 base pairs, and with half of the neighbours within 10,000 base pairs merged to one peak.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from transfer import of_batches, taken, whole
from written import DATA, figure_table, write_report

import unisono as un
from unisono.config import FitConfig
from unisono.metrics import foscttm
from unisono.features.peaks import parse_peaks
from unisono.messages import BadInput, InputWarning
from unisono.model.query import query_cells
from unisono.io.check import check
from unisono.io.read import read_mudata

PANELS = ("pbmc10k_cite", "pbmc_panel224_cite", "bmmc_cite")
FIGURES = ("rna->adt pearson", "adt->rna pearson", "rna~adt foscttm")
LIBRARIES = tuple(f"09{i}" for i in "ABCDEFG")


def main() -> None:
    """Fit, ask, judge; print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", selection=("panels", "peaks"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    ask, by, digits, title = ASKED[arguments.what]
    rows = []
    for seed in range(arguments.seeds):
        config = FitConfig.preset(arguments.preset, seed=seed)
        rows += [{"seed": seed, **row} for row in ask(config)]
    text = f"{NOTES[arguments.what]} Preset {arguments.preset}, {arguments.seeds} seeds, mean (min–max).\n\n"
    write_report(arguments.out, arguments.what, title, text + figure_table(rows, by, digits=digits), rows)


def between_panels(config: FitConfig) -> list[dict[str, object]]:
    """Every model on the cells of every other file."""
    data = {name: read_mudata(DATA / f"{name}.h5mu") for name in PANELS}
    models = {name: un.fit(mdata, batch_key="batch", config=config) for name, mdata in data.items()}
    rows = []
    for name in PANELS:
        order = np.random.default_rng(config.seed).permutation(data[name]["rna"].n_obs)
        halves = [taken(data[name], np.sort(part)) for part in np.array_split(order, 2)]
        own = un.evaluate(un.fit(halves[0], batch_key="batch", config=config), halves[1])
        rows += [{"model": "own", "cells": name, "figure": figure, "value": own[figure]} for figure in FIGURES]
        for other in PANELS:
            if other != name:
                rows += [{"model": other, "cells": name, **row} for row in asked(models[other], halves[1])]
    return rows


def asked(model: un.Unisono, cells: MuData) -> list[dict[str, object]]:
    """Coverage and figures of a model on cells of another laboratory."""
    covered = {one.modality: one for one in check(cells, preprocessors=model.preprocessors).coverage}
    found = {f"{m} signal": covered[m].signal for m in ("rna", "adt")}
    found["proteins mapped"] = covered["adt"].found
    try:
        model.predict(cells, "rna", "adt")
        found["is refused"] = 0.0
    except BadInput:
        found["is refused"] = 1.0
    scores = un.evaluate(model, cells, force=True)
    return [{"figure": figure, "value": value} for figure, value in (found | {f: scores[f] for f in FIGURES}).items()]


def between_peaks(config: FitConfig) -> list[dict[str, object]]:
    """Matching of 09H with three peak sets."""
    mdata = read_mudata(DATA / "snareseq_cortex.h5mu")
    model = un.fit(of_batches(mdata, LIBRARIES), batch_key="batch", config=config)
    test = of_batches(mdata, ("09H",))
    rng = np.random.default_rng([config.seed, 3])
    sets = {"its own": test["atac"], "moved": moved(test["atac"], rng), "merged": merged(test["atac"], rng)}
    rows = []
    for name, atac in sets.items():
        cells = query_cells(whole({"rna": test["rna"], "atac": atac}), model.preprocessors, model.record)
        both = (cells.rows["rna"] >= 0) & (cells.rows["atac"] >= 0)
        vectors = [model.vectors_of(cells.views[m].take(cells.rows[m][both])) for m in ("rna", "atac")]
        found = {"FOSCTTM": foscttm(*vectors), "peaks": float(atac.n_vars)}
        rows += [{"peak set": name, "figure": figure, "value": value} for figure, value in found.items()]
    return rows


def moved(atac: AnnData, rng: np.random.Generator) -> AnnData:
    """The same counts under peaks that lie up to 200 base pairs to either side."""
    places = parse_peaks(atac.var_names.to_numpy(dtype=str), "peaks")
    shift = rng.integers(-200, 201, len(places))
    result = atac.copy()
    result.var_names = [
        f"{chrom}:{max(start + by, 0)}-{end + by}"
        for chrom, start, end, by in zip(places["chrom"], places["start"], places["end"], shift, strict=True)
    ]
    return result


def merged(atac: AnnData, rng: np.random.Generator) -> AnnData:
    """Half of the neighbours within 10,000 base pairs as one peak with the counts of both."""
    places = parse_peaks(atac.var_names.to_numpy(dtype=str), "peaks").reset_index(names="column")
    places = places.sort_values(["chrom", "start"], ignore_index=True)
    follows = places["chrom"].eq(places["chrom"].shift()) & (places["start"] - places["end"].shift() < 10_000)
    group = np.cumsum(~(follows.to_numpy() & (rng.random(len(places)) < 0.5)))
    of_group = places.groupby(group).agg(chrom=("chrom", "first"), start=("start", "min"), end=("end", "max"))
    join = sparse.csr_matrix(
        (np.ones(len(places), dtype=np.int32), (places["column"].to_numpy(), group - 1)),
        shape=(len(places), len(of_group)),
    )
    result = AnnData(sparse.csr_matrix(atac.X.astype(np.int64) @ join), obs=atac.obs.copy())
    result.var_names = [f"{row.chrom}:{row.start}-{row.end}" for row in of_group.itertuples()]
    return result


ASKED = {
    "panels": (between_panels, ("model", "cells"), 3, "Antibody panels of other laboratories"),
    "peaks": (between_peaks, ("peak set",), 4, "Other peak sets"),
}
NOTES = {
    "panels": "Signal is the share of the model's input that the other file covers; below a tenth the prediction is "
    "refused, and was forced here. *Own* is a model of half of those cells on the other half.",
    "peaks": "Library 09H of snareseq_cortex matched by a model of 09A–09G, with three peak sets for the same cells.",
}


if __name__ == "__main__":
    main()
