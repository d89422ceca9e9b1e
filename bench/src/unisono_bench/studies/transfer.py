"""A new batch three ways: as it comes, in the style of 20 reference cells, and after adaptation.

bmmc_cite: fit on s1d1, new batch s1d2. snareseq_cortex: fit on 09A–09G, new library 09H. For each seed a model is
fitted and 20 cells of the new batch are drawn whose both modalities are known; the others are test, of which only the
source of the prediction is known.

- zero-shot: codes are standardised by the query's own statistics, the prediction is in average style;
- reference cells: the same in the style of the 20;
- adapted: the model has been adapted to the 20 with both modalities and to the test cells with the source alone, the
  prediction is in the style of the new batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations

import numpy as np
from mudata import MuData

import unisono as un
from unisono_bench.data import join
from unisono_bench.studies.cells import of_batches, read, take
from unisono_bench.studies.report import Row, Settings, Study, figure_table

SPLITS = {"bmmc_cite": (("s1d1",), "s1d2"), "snareseq_cortex": (tuple(f"09{i}" for i in "ABCDEFG"), "09H")}
N_REFERENCE = 20


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Fit, transfer and compare."""
    rows: list[Row] = []
    for name in settings.data:
        mdata = read(name)
        known, new = SPLITS[name]
        for seed in range(settings.n_seeds):
            config = un.FitConfig.preset(settings.preset, seed=seed)
            model = un.fit(of_batches(mdata, known), batch_key="batch", config=config)
            rows += [{"data": name, "seed": seed, **row} for row in transferred(model, of_batches(mdata, (new,)), seed)]
    return {"rows": rows}


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """One table."""
    rows = [{**row, "prediction": f"{row['source']} → {row['target']}"} for row in results["rows"]]
    return (
        f"Preset {settings.preset}, {settings.said} Pearson per feature, or AUROC per peak, "
        "does not see a shift that all cells share; RMSE does.\n\n" + figure_table(rows, ("data", "prediction", "way"))
    )


def transferred(model: un.Unisono, new: MuData, seed: int) -> Iterator[Row]:
    """All directions, all ways."""
    order = np.random.default_rng([seed, 2]).permutation(next(iter(new.mod.values())).n_obs)
    few, rest = take(new, np.sort(order[:N_REFERENCE])), take(new, np.sort(order[N_REFERENCE:]))
    batch = str(next(iter(new.mod.values())).obs["batch"].iloc[0])
    truth = un.read_cells(rest, batch_key="batch")
    for source, target in permutations(model.modalities, 2):
        adapted = model.adapt(join({source: new[source].copy(), target: few[target].copy()}), seed=seed)
        ways = {"zero-shot": (model, "average"), "reference cells": (model, few), "adapted": (adapted, batch)}
        for way, (fitted, style) in ways.items():
            values = fitted.predict(rest, source, target, style=style).X
            for figure, value in compared(truth, target, values).items():
                yield {"source": source, "target": target, "way": way, "figure": figure, "value": value}


def compared(truth: un.Cells, target: str, values: np.ndarray) -> dict[str, float]:
    """Correlation and error, or the AUROC of peaks."""
    measured = un.preprocessing.on_scale(truth.views[target])
    if target == "atac":
        per_peak = un.metrics.auroc_per_feature(measured.tocsr(), values)
        return {"AUROC": float(np.nanmean(per_peak)), "RMSE": un.metrics.rmse(measured.toarray(), values)}
    dense = measured.toarray()
    return {"Pearson": un.metrics.mean_pearson(dense, values), "RMSE": un.metrics.rmse(dense, values)}


STUDY = Study("Transfer to a new batch", tuple(SPLITS), "default", measure, tell)
