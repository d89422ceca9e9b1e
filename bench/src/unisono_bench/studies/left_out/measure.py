"""Which models and baselines are fitted to which data sets, and asked about which; each part is kept as it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import unisono as un
from unisono_bench.studies.cells import read
from unisono_bench.studies.left_out import baselines, model
from unisono_bench.studies.left_out.sets import DataSets
from unisono_bench.studies.report import Row, Settings
from unisono_bench.unisono_method import ABLATIONS, NAME, changed

PARTS: dict[str, Mapping[str, Any]] = {
    **{
        part: ABLATIONS[part]
        for part in (
            "no-instance-norm",
            "no-style",
            "no-contrastive",
            "no-linear-path",
            "no-gains",
            "no-linear-floor",
            "no-kernel-member",
            "no-thinning",
        )
    },
    "no-completion": {"completion": {"max_features": 0}},
}
"""Of Unisono, switched off one at a time: those of all benchmarks, see `ABLATIONS`, and what unions alone have: that
panels are completed by a joint Gaussian."""

OF_THE_IDEA = ("no-instance-norm", "no-style", "no-contrastive")
"""Parts without which Unisono is another method: left out under every seed. The others are under the first alone."""


def everything(settings: Settings) -> dict[str, list[Row]]:
    """Unisono of every choice of data sets, asked about all others; baselines of single sources and of all others."""
    return {"rows": everything_of(_read(settings), settings)}


def ablation(settings: Settings) -> dict[str, list[Row]]:
    """Unisono of all data sets but one, whole and without one part each."""
    return {"rows": ablation_of(_read(settings), settings)}


def everything_of(sets: DataSets, settings: Settings) -> list[Row]:
    """As `everything`, of data sets that have been read."""
    rows: list[Row] = []
    for seed in range(settings.n_seeds):
        every = list(choices(sets.names))
        ends = [training for training in every if len(training) in (1, len(sets.names) - 1)]
        for training in ends:
            rows += of_unisono(sets, training, settings, seed, NAME, {})
        for held in sets.names:
            others = without(sets.names, held)
            for training in dict.fromkeys([*((one,) for one in others), others]):
                rows += of_baselines(sets, training, held, settings, seed)
        for training in (training for training in every if training not in ends):
            rows += of_unisono(sets, training, settings, seed, NAME, {})
    return rows


def ablation_of(sets: DataSets, settings: Settings) -> list[Row]:
    """As `ablation`, of data sets that have been read; see `OF_THE_IDEA` for the seeds."""
    rows: list[Row] = []
    for seed in range(settings.n_seeds):
        left_out = PARTS if seed == 0 else {part: PARTS[part] for part in OF_THE_IDEA}
        methods = {NAME: {}, **{f"{NAME}-{part}": changes for part, changes in left_out.items()}}
        for held in sets.names:
            for method, changes in methods.items():
                rows += of_unisono(sets, without(sets.names, held), settings, seed, method, changes)
    return rows


def choices(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every choice of one to all but one of the names, in their order."""
    for n in range(1, len(names)):
        yield from combinations(names, n)


def without(names: Sequence[str], held: str) -> tuple[str, ...]:
    """All names but one."""
    return tuple(name for name in names if name != held)


def of_unisono(
    sets: DataSets, training: tuple[str, ...], settings: Settings, seed: int, method: str, changes: Mapping[str, Any]
) -> list[Row]:
    """One model, asked about every data set that it has not seen."""
    config = changed(un.FitConfig.preset(settings.preset, seed=seed), changes)

    def measure() -> Iterator[Row]:
        fitted = model.fitted(sets, training, config)
        for held in (name for name in sets.names if name not in training):
            about = _about(method, training, held, seed)
            yield from (about | row for row in model.answers(fitted, sets, training, held))

    depends_on = [config.model_dump(mode="json"), sets.fingerprints]
    return settings.kept.rows(f"{method} of {', '.join(training)}, seed {seed}", depends_on, measure)


def of_baselines(sets: DataSets, training: tuple[str, ...], held: str, settings: Settings, seed: int) -> list[Row]:
    """All baselines, asked about one data set: their footing depends on its features."""

    def measure() -> Iterator[Row]:
        for row in baselines.answers(sets, training, held, seed):
            yield _about(row["method"], training, held, seed) | row

    part = f"baselines of {', '.join(training)} about {held}, seed {seed}"
    return settings.kept.rows(part, [sets.fingerprints], measure)


def _about(method: str, training: Sequence[str], held: str, seed: int) -> Row:
    return {"seed": seed, "held": held, "method": method, "training": ",".join(training), "n_sets": len(training)}


def _read(settings: Settings) -> DataSets:
    return DataSets.of({name: read(name) for name in settings.data})
