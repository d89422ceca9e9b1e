"""When to believe a model: coverage of intervals, probabilities of matches, partners that are missing, novel cells.

    python benchmarks/trust.py --seeds 3 --out docs/benchmarks/trust

A random fifth of the cells is test, and a model is fitted to the others (of the large sets, to 4,000 of them).

- intervals: share of measured values inside, over all test cells and features. Across donors: bmmc_cite fitted on s1d1
  and asked about s1d2, as it comes and after `calibrate` with 100 cells of s1d2 that the others are judged by.
- matches: expected calibration error of the first answer, and its precision where only the surest are answered.
- missing partners: right cells are taken away, at random or a whole cell type; p_unmatched of left cells whose partner
  is gone and of the others, and the AUROC of telling them apart. `min(n)`: the left side has been cut, too, so that
  the sizes of the sides tell nothing.
- novelty: a cell type is left out of training; AUROC of telling its test cells from the others.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mudata
import numpy as np
from cells import of_batches, taken
from written import DATA, figure_table, write_report

import unisono as un
from unisono.config import FitConfig
from unisono import metrics
from unisono.metrics.ranking import areas_of_ties
from unisono.messages import InputWarning
from unisono.model.query import query_cells
from unisono.model.unisono import Unisono
from unisono.io.read import read_mudata
from unisono.preprocessing.projection import on_scale

TYPES = {
    "pbmc10k_cite": ("B cells", "NK cells", "CD14+ monocytes"),
    "bmmc_cite": ("CD14+ Mono",),
    "snareseq_cortex": ("L6", "Oligo"),
}
COVERAGES = (0.5, 0.8, 0.9, 0.95)
MAX_TRAINING_CELLS = 4000
N_CALIBRATION = 100

Row = dict[str, Any]


def main() -> None:
    """Fit, ask, judge; print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list(TYPES), selection=list(TYPES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    tables: dict[str, list[Row]] = {"intervals": [], "matches": [], "missing partners": [], "novelty": []}
    for name in arguments.names:
        mdata = read_mudata(DATA / f"{name}.h5mu")
        for seed in range(arguments.seeds):
            config = FitConfig.preset(arguments.preset, seed=seed)
            about = {"data": name, "seed": seed}
            for table, row in judged(mdata, name, config, seed):
                tables[table].append(about | row)
    headings = {
        "intervals": ("data", "split", "prediction"),
        "matches": ("data",),
        "missing partners": ("data", "gone on the right"),
        "novelty": ("data", "left out of training"),
    }
    parts = [f"Preset {arguments.preset}, {arguments.seeds} seeds, mean (min–max).\n"]
    parts += [f"## {title.capitalize()}\n\n{figure_table(tables[title], by)}" for title, by in headings.items()]
    write_report(arguments.out, "trust", "When to believe a model", "\n".join(parts), tables)


def judged(mdata: mudata.MuData, name: str, config: FitConfig, seed: int) -> Iterator[tuple[str, Row]]:
    """Every row of one data set and seed, with the table that it belongs to."""
    n_cells = mdata.n_obs
    order = np.random.default_rng([seed, 5]).permutation(n_cells)
    test, training = np.sort(order[: n_cells // 5]), np.sort(order[n_cells // 5 :][:MAX_TRAINING_CELLS])
    kinds = next(iter(mdata.mod.values())).obs["cell_type"].astype(str).to_numpy()
    model, leave_one_out_codes = fitted(mdata, training, config), taken(mdata, test)
    for row in intervals(model, leave_one_out_codes):
        yield "intervals", {"split": "random", **row}
    for row in matches(model, leave_one_out_codes):
        yield "matches", row
    for row in missing(model, leave_one_out_codes, kinds[test], TYPES[name], seed):
        yield "missing partners", row
    for kind in TYPES[name]:
        without = fitted(mdata, training[kinds[training] != kind], config)
        for row in novelty(without, leave_one_out_codes, kinds[test] == kind):
            yield "novelty", {"left out of training": kind, **row}
    if name == "bmmc_cite":
        yield from (("intervals", row) for row in across_donors(mdata, config, seed))


def fitted(mdata: mudata.MuData, rows: np.ndarray, config: FitConfig) -> Unisono:
    """A model of some cells."""
    return un.fit(taken(mdata, rows), batch_key="batch", config=config)


def intervals(model: Unisono, leave_one_out_codes: mudata.MuData) -> Iterator[Row]:
    """Share of measured values inside, of every direction that has intervals."""
    cells = query_cells(leave_one_out_codes, model.preprocessors, model.record)
    for source, target in model.intervals:
        measured = on_scale(cells.views[target]).toarray()[cells.rows[target]]
        for coverage in COVERAGES:
            found = model.prediction(leave_one_out_codes, source, target, interval=coverage)
            lower, upper = found.interval()
            value = ((measured >= lower) & (measured <= upper)).mean()
            yield {"prediction": f"{source}->{target}", "figure": f"of {coverage:.0%}", "value": float(value)}


def across_donors(mdata: mudata.MuData, config: FitConfig, seed: int) -> Iterator[tuple[str, Row]]:
    """From one donor to another, as it comes and after calibration with some cells of the other."""
    model = un.fit(of_batches(mdata, ("s1d1",)), batch_key="batch", config=config)
    other = of_batches(mdata, ("s1d2",))
    order = np.random.default_rng([seed, 6]).permutation(other.n_obs)
    known, rest = taken(other, np.sort(order[:N_CALIBRATION])), taken(other, np.sort(order[N_CALIBRATION:]))
    for split, one in (("another donor", model), ("another donor, calibrated", model.calibrate(known))):
        yield from ({"split": split, **row} for row in intervals(one, rest))


def matches(model: Unisono, leave_one_out_codes: mudata.MuData) -> Iterator[Row]:
    """Calibration of the first answer under rule soft, and precision of the surest, all partners being there."""
    left, right = sides(model)
    found = model.match(
        leave_one_out_codes, leave_one_out_codes, between=(left, right), prior_unmatched=0
    ).match_posterior
    partner = np.arange(found.probabilities.shape[0])
    correct, stated = metrics.top_answers(found.probabilities, partner)
    yield {"figure": "calibration error", "value": metrics.expected_calibration_error(stated, correct)}
    yield {"figure": "of luck alone", "value": metrics.calibration_error_of_luck(stated)}
    curve = metrics.abstention(stated, correct)
    for share in (0.01, 0.05, 0.2, 1.0):
        at = np.searchsorted(curve.x, share - 1e-9)
        yield {"figure": f"precision of {share:.0%}", "value": float(curve.y[at])}


def missing(
    model: Unisono, leave_one_out_codes: mudata.MuData, kinds: np.ndarray, types: tuple[str, ...], seed: int
) -> Iterator[Row]:
    """What p_unmatched says where partners are gone."""
    rng = np.random.default_rng([seed, 7])
    every = np.arange(len(kinds))
    cases: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "nothing": (every, every),
        "a random fifth": (every, np.sort(rng.permutation(every)[: int(0.8 * len(every))])),
    }
    for kind in types:
        stays = np.flatnonzero(kinds != kind)
        cases[kind] = (every, stays)
        cut = rng.permutation(stays)[: len(stays) // 2]
        cases[f"{kind}, min(n)"] = (np.sort(np.concatenate([np.flatnonzero(kinds == kind), cut])), stays)
    between = sides(model)
    for name, (left, right) in cases.items():
        found = model.match(taken(leave_one_out_codes, left), taken(leave_one_out_codes, right), between=between, top=1)
        p, is_gone = found.match_posterior.p_unmatched, ~np.isin(left, right)
        values = {"share gone": is_gone.mean(), "p, mean": p.mean(), "p of the others": p[~is_gone].mean()}
        if is_gone.any():
            values |= {"p of those gone": p[is_gone].mean(), "AUROC": auroc(p, is_gone)}
        for figure, value in values.items():
            yield {"gone on the right": name, "figure": figure, "value": float(value)}


def novelty(model: Unisono, leave_one_out_codes: mudata.MuData, is_novel: np.ndarray) -> Iterator[Row]:
    """How well novelty tells the cells of a type that training lacked."""
    cells = query_cells(leave_one_out_codes, model.preprocessors, model.record)
    for modality in cells.modalities:
        found = model.novelty_of(cells.views[modality])[cells.rows[modality]]
        yield {"figure": f"AUROC by {modality}", "value": auroc(found, is_novel)}
        yield {"figure": f"others beyond 1, {modality}", "value": float((found[~is_novel] > 1).mean())}


def sides(model: Unisono) -> tuple[Any, Any]:
    """RNA on the left, what was measured beside it on the right."""
    return "rna", next(m for m in model.modalities if m != "rna")


def auroc(score: np.ndarray, is_positive: np.ndarray) -> float:
    """Area under the ROC curve, ties in their expected place."""
    values, group = np.unique(-score, return_inverse=True)
    n_items = np.bincount(group, minlength=len(values)).astype(float)
    n_hits = np.bincount(group, weights=is_positive, minlength=len(values))
    return areas_of_ties(n_items, n_hits)[0]


if __name__ == "__main__":
    main()
