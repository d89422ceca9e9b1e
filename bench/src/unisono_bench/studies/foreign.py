"""Models asked about cells of other laboratories: other antibodies, other spelling, other genes, other peaks.

Panels: a model of each of pbmc10k_cite (14 proteins), pbmc_panel224_cite (224) and bmmc_cite (134) predicts the others,
names as the files have them. Scored are the proteins, or genes, that both have; compared with what a model reaches that
was fitted on half of the other cells themselves, on the other half.

Peaks: a model of snareseq_cortex, libraries 09A–09G, matches the cells of 09H with its own peaks, with every peak moved
by up to 200 base pairs, and with half of the neighbours within 10,000 base pairs merged to one peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from anndata import AnnData
from mudata import MuData
from scipy import sparse

import unisono as un
from unisono_bench.data import join
from unisono_bench.published.links import places_of
from unisono_bench.scores import Question
from unisono_bench.studies.cells import of_batches, read, take
from unisono_bench.studies.report import Row, Settings, Study, figure_table

SCORES = (
    (Question("prediction", "rna", "adt"), "pearson"),
    (Question("prediction", "adt", "rna"), "pearson"),
    (Question("matching", "rna", "adt"), "foscttm"),
)
LIBRARIES = tuple(f"09{i}" for i in "ABCDEFG")


def measure_panels(settings: Settings) -> dict[str, list[Row]]:
    """Every model on the cells of every other file."""
    data = {name: read(name) for name in settings.data}
    rows: list[Row] = []
    for seed in range(settings.n_seeds):
        config = un.FitConfig.preset(settings.preset, seed=seed)
        models = {name: un.fit(mdata, batch_key="batch", config=config) for name, mdata in data.items()}
        for name, mdata in data.items():
            order = np.random.default_rng(seed).permutation(mdata["rna"].n_obs)
            halves = [take(mdata, np.sort(part)) for part in np.array_split(order, 2)]
            own = un.evaluate(un.fit(halves[0], batch_key="batch", config=config), halves[1])
            rows += [{"seed": seed, "model": "own", "cells": name, **row} for row in scores(own)]
            for other in (other for other in data if other != name):
                about = {"seed": seed, "model": other, "cells": name}
                rows += [about | row for row in asked(models[other], halves[1])]
    return {"rows": rows}


def tell_panels(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """One table."""
    rows = [{**row, "figure": _label(row)} for row in results["rows"]]
    return (
        "Signal is the share of the model's input that the other file covers; below a tenth the prediction is refused, "
        f"and was forced here. *Own* is a model of half of those cells on the other half. Preset {settings.preset}, "
        f"{settings.said}\n\n{figure_table(rows, ('model', 'cells'), digits=3)}"
    )


def _label(row: Row) -> str:
    """For display alone."""
    if row["task"] == "coverage":
        return f"{row['source']} {row['metric']}"
    return Question(row["task"], row["source"], row["target"]).label(row["metric"])


def asked(model: un.Unisono, cells: MuData) -> Iterator[Row]:
    """Coverage and scores of a model on cells of another laboratory."""
    covered = {one.modality: one for one in un.check(cells, model).coverage}
    for modality in ("rna", "adt"):
        yield {"task": "coverage", "source": modality, "metric": "signal", "value": covered[modality].signal}
    yield {"task": "coverage", "source": "adt", "metric": "mapped", "value": covered["adt"].found}
    yield {"task": "coverage", "source": "rna", "metric": "is refused", "value": float(is_refused(model, cells))}
    yield from scores(un.evaluate(model, cells, force=True))


def scores(found: un.Scores) -> Iterator[Row]:
    """The scores of the table."""
    for question, metric in SCORES:
        about = {"task": question.task, "source": question.source, "target": question.target, "metric": metric}
        yield {**about, "value": found.value(question.source, question.target, metric)}


def is_refused(model: un.Unisono, cells: MuData) -> bool:
    """Whether the cells hold too little of what the model reads of RNA."""
    try:
        model.predict(cells, "rna", "adt")
    except un.BadInput:
        return True
    return False


def measure_peaks(settings: Settings) -> dict[str, list[Row]]:
    """Matching of 09H with three peak sets."""
    rows: list[Row] = []
    mdata = read("snareseq_cortex")
    test = of_batches(mdata, ("09H",))
    for seed in range(settings.n_seeds):
        config = un.FitConfig.preset(settings.preset, seed=seed)
        model = un.fit(of_batches(mdata, LIBRARIES), batch_key="batch", config=config)
        rng = np.random.default_rng([seed, 3])
        sets = {"its own": test["atac"], "moved": moved(test["atac"], rng), "merged": merged(test["atac"], rng)}
        for name, atac in sets.items():
            found = un.evaluate(model, join({"rna": test["rna"], "atac": atac}))
            for figure, value in {
                "FOSCTTM": found.value("atac", "rna", "foscttm"),
                "peaks": float(atac.n_vars),
            }.items():
                rows.append({"seed": seed, "peak set": name, "figure": figure, "value": value})
    return {"rows": rows}


def tell_peaks(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """One table."""
    return (
        "Library 09H of snareseq_cortex matched by a model of 09A–09G, with three peak sets for the same cells. "
        f"Preset {settings.preset}, {settings.said}\n\n{figure_table(results['rows'], ('peak set',))}"
    )


def moved(atac: AnnData, rng: np.random.Generator) -> AnnData:
    """The same counts under peaks that lie up to 200 base pairs to either side."""
    places = places_of(atac.var_names).astype({"start": int, "end": int})
    shift = rng.integers(-200, 201, len(places))
    result = atac.copy()
    result.var_names = [
        f"{chrom}:{max(start + by, 0)}-{end + by}"
        for chrom, start, end, by in zip(places["chrom"], places["start"], places["end"], shift, strict=True)
    ]
    return result


def merged(atac: AnnData, rng: np.random.Generator) -> AnnData:
    """Half of the neighbours within 10,000 base pairs as one peak with the counts of both."""
    places = places_of(atac.var_names).astype({"start": int, "end": int}).reset_index(names="column")
    places = places.sort_values(["chrom", "start"], ignore_index=True)
    follows = places["chrom"].eq(places["chrom"].shift()) & (places["start"] - places["end"].shift() < 10_000)
    group = np.cumsum(~(follows.to_numpy() & (rng.random(len(places)) < 0.5)))
    of_group = places.groupby(group).agg(chrom=("chrom", "first"), start=("start", "min"), end=("end", "max"))
    columns = sparse.csr_matrix(
        (np.ones(len(places), dtype=np.int32), (places["column"].to_numpy(), group - 1)),
        shape=(len(places), len(of_group)),
    )
    result = AnnData(sparse.csr_matrix(atac.X.astype(np.int64) @ columns), obs=atac.obs.copy())
    result.var_names = [f"{row.chrom}:{row.start}-{row.end}" for row in of_group.itertuples()]
    return result


PANELS = Study(
    "Antibody panels of other laboratories",
    ("pbmc10k_cite", "pbmc_panel224_cite", "bmmc_cite"),
    "default",
    measure_panels,
    tell_panels,
)
PEAKS = Study("Other peak sets", ("snareseq_cortex",), "default", measure_peaks, tell_peaks)
