"""When to believe a model: coverage of intervals, probabilities of matches, partners that are missing, novel cells.

A random fifth of the cells is test, and a model is fitted to the others (of the large sets, to 4,000 of them).

- intervals: fraction of measured values inside, over all test cells and features. Across donors: bmmc_cite fitted on
  s1d1 and asked about s1d2, as it comes and after `calibrate` with 100 cells of s1d2; the others are test.
- matches: expected calibration error of the first answer, and its precision where only the surest are answered.
- missing partners: right cells are taken away, at random or a whole cell type; p_unmatched of left cells whose partner
  is gone and of the others, and the AUROC of separating them. `min(n)`: the left side has been cut, too, so that
  the sizes of the sides tell nothing.
- novelty: a cell type is left out of training; AUROC of separating its test cells from the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import permutations

import numpy as np
from mudata import MuData
from sklearn.metrics import roc_auc_score

import unisono as un
from unisono_bench.data import paired_views
from unisono_bench.studies.cells import of_batches, read, take
from unisono_bench.studies.report import Row, Settings, Study, figure_table

TYPES = {
    "pbmc10k_cite": ("B cells", "NK cells", "CD14+ monocytes"),
    "bmmc_cite": ("CD14+ Mono",),
    "snareseq_cortex": ("L6", "Oligo"),
}
COVERAGES = (0.5, 0.8, 0.9, 0.95)
MAX_TRAINING_CELLS = 4000
N_CALIBRATION = 100
HEADINGS = {
    "intervals": ("data", "split", "prediction"),
    "matches": ("data",),
    "missing partners": ("data", "gone on the right"),
    "novelty": ("data", "left out of training"),
}


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Fit and ask."""
    tables: dict[str, list[Row]] = {name: [] for name in HEADINGS}
    for name in settings.data:
        mdata = read(name)
        for seed in range(settings.n_seeds):
            config = un.FitConfig.preset(settings.preset, seed=seed)
            for table, row in measured(mdata, name, config, seed):
                tables[table].append({"data": name, "seed": seed, **row})
    return tables


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """A section for each question."""
    parts = [f"Preset {settings.preset}, {settings.said}\n"]
    for title, by in HEADINGS.items():
        parts.append(f"## {title.capitalize()}\n\n{figure_table(map(_labelled, results[title]), by)}")
    return "\n".join(parts)


def _labelled(row: Row) -> Row:
    """The row with a label for each direction or modality, for display alone."""
    if "source" in row:
        return {**row, "prediction": f"{row['source']}->{row['target']}"}
    if "modality" in row:
        return {**row, "figure": f"{row['figure']}{' by ' if row['figure'] == 'AUROC' else ', '}{row['modality']}"}
    return row


def measured(mdata: MuData, name: str, config: un.FitConfig, seed: int) -> Iterator[tuple[str, Row]]:
    """Every row of one data set and seed, with the table that it belongs to."""
    n_cells = mdata.n_obs
    order = np.random.default_rng([seed, 5]).permutation(n_cells)
    rows, training = np.sort(order[: n_cells // 5]), np.sort(order[n_cells // 5 :][:MAX_TRAINING_CELLS])
    types = next(iter(mdata.mod.values())).obs["cell_type"].astype(str).to_numpy()
    model, test = fitted(mdata, training, config), take(mdata, rows)
    yield from (("intervals", {"split": "random", **row}) for row in intervals(model, test))
    yield from (("matches", row) for row in matches(model, test))
    yield from (("missing partners", row) for row in missing(model, test, types[rows], TYPES[name], seed))
    for kind in TYPES[name]:
        without = fitted(mdata, training[types[training] != kind], config)
        for row in novelty(without, test, types[rows] == kind):
            yield "novelty", {"left out of training": kind, **row}
    if name == "bmmc_cite":
        yield from (("intervals", row) for row in across_donors(mdata, config, seed))


def fitted(mdata: MuData, rows: np.ndarray, config: un.FitConfig) -> un.Unisono:
    """A model of some cells."""
    return un.fit(take(mdata, rows), batch_key="batch", config=config)


def intervals(model: un.Unisono, test: MuData) -> Iterator[Row]:
    """Fraction of measured values inside, of every direction that has intervals."""
    cells = un.read_cells(test, batch_key="batch")
    for source, target in permutations(model.modalities, 2):
        _, truth = paired_views(cells, source, target)
        values = un.preprocessing.on_scale(truth).toarray()
        for coverage in COVERAGES:
            with suppress(un.BadInput):  # a direction without intervals
                found = model.predict(test, source, target, interval=coverage)[truth.cells]
                is_inside = (values >= found.layers["lower"]) & (values <= found.layers["upper"])
                about = {"source": source, "target": target}
                yield {**about, "figure": f"of {coverage:.0%}", "value": float(is_inside.mean())}


def across_donors(mdata: MuData, config: un.FitConfig, seed: int) -> Iterator[Row]:
    """From one donor to another, as it comes and after calibration with some cells of the other."""
    model = un.fit(of_batches(mdata, ("s1d1",)), batch_key="batch", config=config)
    other = of_batches(mdata, ("s1d2",))
    order = np.random.default_rng([seed, 6]).permutation(other.n_obs)
    known, rest = take(other, np.sort(order[:N_CALIBRATION])), take(other, np.sort(order[N_CALIBRATION:]))
    for split, one in (("another donor", model), ("another donor, calibrated", model.calibrate(known))):
        yield from ({"split": split, **row} for row in intervals(one, rest))


def matches(model: un.Unisono, test: MuData) -> Iterator[Row]:
    """Calibration of the first answer under rule soft, and precision of the surest, all partners being there."""
    found = model.match(test, test, between=sides(model), prior_unmatched=0).to_anndata()
    correct, stated = un.metrics.top_match(found.X, np.arange(found.n_obs))
    yield {"figure": "calibration error", "value": un.metrics.expected_calibration_error(stated, correct)}
    yield {"figure": "of luck alone", "value": un.metrics.finite_sample_calibration_error(stated)}
    curve = un.metrics.abstention(stated, correct)
    for fraction in (0.01, 0.05, 0.2, 1.0):
        at = np.searchsorted(curve.x, fraction - 1e-9)
        yield {"figure": f"precision of {fraction:.0%}", "value": float(curve.y[at])}


def missing(model: un.Unisono, test: MuData, types: np.ndarray, left_out: tuple[str, ...], seed: int) -> Iterator[Row]:
    """What p_unmatched says where partners are gone."""
    rng = np.random.default_rng([seed, 7])
    every = np.arange(len(types))
    cases: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "nothing": (every, every),
        "a random fifth": (every, np.sort(rng.permutation(every)[: int(0.8 * len(every))])),
    }
    for kind in left_out:
        stays = np.flatnonzero(types != kind)
        cases[kind] = (every, stays)
        cut = rng.permutation(stays)[: len(stays) // 2]
        cases[f"{kind}, min(n)"] = (np.sort(np.concatenate([np.flatnonzero(types == kind), cut])), stays)
    for name, (left, right) in cases.items():
        found = model.match(take(test, left), take(test, right), between=sides(model), top=1).to_anndata()
        p, is_gone = found.obs["p_unmatched"].to_numpy(), ~np.isin(left, right)
        values = {"share gone": is_gone.mean(), "p, mean": p.mean(), "p of the others": p[~is_gone].mean()}
        if is_gone.any():
            values |= {"p of those gone": p[is_gone].mean(), "AUROC": roc_auc_score(is_gone, p)}
        for figure, value in values.items():
            yield {"gone on the right": name, "figure": figure, "value": float(value)}


def novelty(model: un.Unisono, test: MuData, is_novel: np.ndarray) -> Iterator[Row]:
    """How well novelty tells the cells of a type that training lacked."""
    embedded = model.embed(test.copy())
    for modality in model.modalities:
        found = embedded[modality].obs["unisono_novelty"].to_numpy()
        known = np.isfinite(found)
        auroc = float(roc_auc_score(is_novel[known], found[known]))
        yield {"modality": modality, "figure": "AUROC", "value": auroc}
        yield {"modality": modality, "figure": "others beyond 1", "value": float((found[known & ~is_novel] > 1).mean())}


def sides(model: un.Unisono) -> tuple[str, str]:
    """RNA on the left, what was measured with it on the right."""
    return "rna", next(m for m in model.modalities if m != "rna")


STUDY = Study("When to believe a model", tuple(TYPES), "default", measure, tell)
