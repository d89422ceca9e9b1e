"""A new batch three ways: as it comes, in the style of 20 reference cells, and after adaptation.

    python benchmarks/transfer.py --seeds 3 --out docs/benchmarks/transfer

bmmc_cite: fit on s1d1, new batch s1d2. snareseq_cortex: fit on 09A–09G, new library 09H. For each seed a model is
fitted and 20 cells of the new batch are drawn whose both modalities are known; the others are test, of which only the
source of the prediction is known.

- zero-shot: codes are standardised by the query's own statistics, the prediction is in average style;
- reference cells: the same in the style of the 20;
- adapted: the model has been adapted to the 20 with both modalities and to the test cells with the source alone, the
  prediction is in the style of the new batch.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import mudata
import numpy as np
from cells import of_batches, taken, whole
from written import DATA, figure_table, write_report

import unisono as un
from unisono.config import FitConfig
from unisono import metrics
from unisono.messages import InputWarning
from unisono.model.query import query_cells
from unisono.model.unisono import Unisono
from unisono.io.read import read_mudata
from unisono.preprocessing.projection import on_scale
from unisono.types import Cells, Modality

SPLITS = {"bmmc_cite": (("s1d1",), "s1d2"), "snareseq_cortex": (tuple(f"09{i}" for i in "ABCDEFG"), "09H")}
N_REFERENCE = 20


def main() -> None:
    """Fit, transfer, judge; print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list(SPLITS), selection=list(SPLITS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    rows = []
    for name in arguments.names:
        mdata = read_mudata(DATA / f"{name}.h5mu")
        known, new = SPLITS[name]
        for seed in range(arguments.seeds):
            config = FitConfig.preset(arguments.preset, seed=seed)
            model = un.fit(of_batches(mdata, known), batch_key="batch", config=config)
            found = transferred(model, of_batches(mdata, (new,)), seed)
            rows += [{"data": name, "seed": seed, **row} for row in found]
    text = (
        f"Preset {arguments.preset}, {arguments.seeds} seeds, mean (min–max). Pearson per feature, or AUROC per peak, "
        "does not see a shift that all cells share; RMSE does.\n\n" + figure_table(rows, ("data", "prediction", "way"))
    )
    write_report(arguments.out, "transfer", "Transfer to a new batch", text, rows)


def transferred(model: Unisono, new: mudata.MuData, seed: int) -> list[dict[str, object]]:
    """All directions, all ways."""
    order = np.random.default_rng([seed, 2]).permutation(next(iter(new.mod.values())).n_obs)
    few, rest = taken(new, np.sort(order[:N_REFERENCE])), taken(new, np.sort(order[N_REFERENCE:]))
    batch = str(next(iter(new.mod.values())).obs["batch"].iloc[0])
    truth, rows = query_cells(rest, model.preprocessors, model.record), []
    for source in model.modalities:
        for target in model.modalities:
            if source == target:
                continue
            mixed = {source: new[source].copy(), target: few[target].copy()}
            adapted = model.adapt(whole(mixed), seed=seed)
            ways = {"zero-shot": (model, "average"), "reference cells": (model, few), "adapted": (adapted, batch)}
            for way, (fitted, style) in ways.items():
                values = fitted.predict(rest, source, target, style=style).X
                for figure, value in judged(truth, target, values).items():
                    about = {"prediction": f"{source} → {target}", "way": way}
                    rows.append({**about, "figure": figure, "value": value})
    return rows


def judged(truth: Cells, target: Modality, values: np.ndarray) -> dict[str, float]:
    """Correlation and error, or the AUROC of peaks."""
    measured = on_scale(truth.views[target])
    if target == "atac":
        per_peak = metrics.auroc_per_feature(measured.tocsr(), values)
        return {"AUROC": float(np.nanmean(per_peak)), "RMSE": metrics.rmse(measured.toarray(), values)}
    dense = measured.toarray()
    return {"Pearson": metrics.mean_pearson(dense, values), "RMSE": metrics.rmse(dense, values)}


if __name__ == "__main__":
    main()
