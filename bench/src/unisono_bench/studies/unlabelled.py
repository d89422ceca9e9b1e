"""A new donor without labels: a fit that has not seen it, one that has seen its cells, and one that has matched them.

Each batch of a data set of two is the new donor in turn. A third of its cells are never seen. Of the others a model is
given both modalities, without saying which cells are one: either of the same cells, or of two halves.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import permutations

import numpy as np
from mudata import MuData

import unisono as un
from unisono_bench.data import join
from unisono_bench.studies.cells import of_batches, read, take
from unisono_bench.studies.report import Row, Settings, Study, figure_table, grouped
from unisono_bench.unisono_method import changed

DATA = ("bmmc_cite", "pbmc_panel224_cite", "spleen_lymph_cite", "bmmc_multiome")
ALONE, SEEN, MATCHED = "not seen", "one modality each", "matched"
NONE, SAME, HALVES = "none", "the same cells", "two halves"


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Fit three ways for each new donor and seed."""
    rows: list[Row] = []
    for name in settings.data:
        mdata = read(name)
        for new in sorted(_batches(mdata)):
            for seed in range(settings.n_seeds):
                config = un.FitConfig.preset(settings.preset, seed=seed)
                found = partial(measured, mdata, new, config)
                kept = settings.kept.rows(f"{new} of {name}, seed {seed}", [config.model_dump(mode="json")], found)
                rows += [{"data": f"{name}, {new}", "seed": seed, **row} for row in kept]
    return {"rows": rows}


def _batches(mdata: MuData) -> set[str]:
    return set(next(iter(mdata.mod.values())).obs["batch"].astype(str))


def measured(mdata: MuData, new: str, config: un.FitConfig) -> list[Row]:
    """The figures of one new donor and one seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", un.InputWarning)
        return list(_of_donor(mdata, new, config))


def _of_donor(mdata: MuData, new: str, config: un.FitConfig) -> Iterator[Row]:
    known, donor = of_batches(mdata, tuple(_batches(mdata) - {new})), of_batches(mdata, (new,))
    n_cells = next(iter(donor.mod.values())).n_obs
    order = np.random.default_rng([config.seed, 5]).permutation(n_cells)
    unseen, seen = take(donor, np.sort(order[: n_cells // 3])), take(donor, np.sort(order[n_cells // 3 :]))
    asked = {"cells never seen": unseen, "the cells that were given": seen}
    alone = un.fit(known, batch_key="batch", config=config)
    yield from _figures(alone, asked, {"given": NONE, "way": ALONE})
    single = changed(config, {"self_training": {"matches": False}})
    for given, query in ((SAME, unpaired(seen, config.seed)), (HALVES, halves(seen))):
        for way, chosen in ((SEEN, single), (MATCHED, config)):
            fitted = un.fit(known, batch_key="batch", config=chosen, unlabelled=query)
            yield from _figures(fitted, asked, {"given": given, "way": way})


def unpaired(mdata: MuData, seed: int) -> MuData:
    """Both modalities of the same cells, in an order and under names that pair nobody."""
    first, second = mdata.mod
    other = mdata[second]
    other = other[np.random.default_rng([seed, 7]).permutation(other.n_obs)].copy()
    other.obs_names = [f"other {row}" for row in range(other.n_obs)]
    return join({first: mdata[first].copy(), second: other})


def halves(mdata: MuData) -> MuData:
    """The first modality of every other cell, and the second one of those between."""
    first, second = mdata.mod
    return join({first: mdata[first][::2].copy(), second: mdata[second][1::2].copy()})


def _figures(fitted: un.Unisono, asked: Mapping[str, MuData], about: Row) -> Iterator[Row]:
    """Correlation in both directions, and FOSCTTM of the embedding."""
    (seen,) = fitted.record.unlabelled or (None,)
    about = about | {"n_matched": 0 if seen is None else seen.n_matched}
    for who, cells in asked.items():
        truth = un.read_cells(cells, batch_key="batch")
        for source, target in permutations(fitted.modalities, 2):
            values = fitted.predict(cells, source, target).X
            measured = un.preprocessing.on_scale(truth.views[target]).toarray()
            found = float(un.metrics.pearson_per_feature(measured, values).mean())
            yield about | {"asked": who, "figure": f"{source.upper()}→{target.upper()}", "value": round(found, 6)}
        embedded = fitted.embed(cells.copy())
        left, right = (embedded[m].obsm["X_unisono"] for m in fitted.modalities)
        yield about | {"asked": who, "figure": "FOSCTTM", "value": round(float(un.metrics.foscttm(left, right)), 6)}


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """A table for the cells that were given, and one for cells that were not."""
    rows = results["rows"]
    told = [f"Preset {settings.preset}, {settings.said} {_TEXT}\n"]
    for who, some in grouped(rows, lambda row: (row["asked"],)).items():
        told.append(f"## Asked about {who[0]}\n\n{_by_kind(some)}")
    return "\n".join(told)


def _by_kind(rows: list[Row]) -> str:
    """A table for each pair of modalities."""
    kinds = grouped(rows, lambda row: (row["data"],))
    pairs = grouped(rows, lambda row: tuple(sorted({one["figure"] for one in kinds[(row["data"],)]})))
    return "\n".join(figure_table(some, ("data", "given", "way"), digits=3) for some in pairs.values())


_TEXT = """\
Each batch is the new donor in turn, of which a third of the cells is never given. Given are both modalities of the
others, of the same cells or of two halves, without saying which are one cell. Pearson correlation over features,
FOSCTTM of the embedding."""

STUDY = Study("Cells of a new donor without labels", DATA, "default", measure, tell)
