"""A small file of two modalities that count the same, methods that are a few lines, and runs made by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from model_fixtures import rebuilt
from scipy import sparse

from unisono_bench.contenders import MethodContender
from unisono_bench.costs import Cost, Costs
from unisono_bench.record import Run
from unisono_bench.methods import Matched
from unisono.preprocessing.projection import on_scale
from unisono.types import Cells, Modality, View

N_CELLS, N_FEATURES = 53, 11


def twin_counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(5.0, (N_CELLS, N_FEATURES)) + 1


def write_twins(path: Path, seed: int = 0) -> Path:
    """RNA and protein with the very same counts in three batches, so that a method can be perfect."""
    counts = sparse.csr_matrix(twin_counts(seed))
    names = [f"cell {i}" for i in range(N_CELLS)]
    batch = pd.Categorical([f"b{i % 3}" for i in range(N_CELLS)])
    obs = pd.DataFrame({"batch": batch, "donor": [f"d{i % 2}" for i in range(N_CELLS)]}, index=names)
    parts = {
        name: anndata.AnnData(
            counts.copy(), obs=obs.copy(), var=pd.DataFrame(index=[f"{name}{j}" for j in range(N_FEATURES)])
        )
        for name in ("rna", "adt")
    }
    rebuilt(parts).write_h5mu(path)
    return path


def twin_cells(seed: int = 0, n_cells: int = N_CELLS) -> Cells:
    """The same as `Cells`."""
    counts = sparse.csr_matrix(twin_counts(seed)[:n_cells])
    names = np.asarray([f"cell {i}" for i in range(n_cells)])
    batch = np.asarray([f"b{i % 3}" for i in range(n_cells)])
    kinds: tuple[Modality, Modality] = ("rna", "adt")
    return Cells({m: View(m, counts, names, np.asarray([f"{m}{j}" for j in range(N_FEATURES)]), batch) for m in kinds})


@dataclass(frozen=True)
class Fake:
    """Predicts and matches perfectly but for noise; or crashes, or predicts NaN."""

    name: str
    noise: float
    fault: str = ""

    def __call__(self) -> Fake:
        return self

    def fit(self, training: Cells, seed: int) -> FittedFake:
        if self.fault == "crash":
            raise RuntimeError("no\nluck")
        if self.fault == "crash once" and seed == 1:
            raise RuntimeError("no luck with 1")
        return FittedFake(self, training, seed)


@dataclass(frozen=True)
class FittedFake:
    fake: Fake
    training: Cells
    seed: int

    def predict(self, source: View, target: Modality) -> np.ndarray | None:
        truth = on_scale(replace(source, modality=target)).toarray()
        noise = np.random.default_rng(self.seed).normal(size=truth.shape)
        values = truth + self.fake.noise * noise
        return np.full_like(values, np.nan) if self.fake.fault == "nan" else values.astype(np.float32)

    def vectors(self, left: View, right: View, *, depth: bool, groups: object) -> Matched | None:
        return Matched(self._unit(left, 1), self._unit(right, 2), 50.0)

    def _unit(self, view: View, side: int) -> np.ndarray:
        values = view.counts.toarray().astype(float)
        values = (values - 6.0) / np.linalg.norm(values - 6.0, axis=1, keepdims=True)
        noisy = values + self.fake.noise * np.random.default_rng([self.seed, side]).normal(size=values.shape)
        return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def contender(name: str, noise: float, fault: str = "", settings: str = "") -> MethodContender:
    return MethodContender(name, Fake(name, noise, fault), settings)


def run(method: str, seed: int = 0, failure: str | None = None, split: str = "random", **figures: float) -> Run:
    """A run with figures of the task rna->adt, or one that failed."""
    cost = Cost(seconds=2.0 + seed, cpu_seconds=1.0)
    costs = None if failure else Costs(fit=cost, answer=cost, total=cost.plus(cost), peak_bytes=2**30)
    return Run(
        method=method,
        split=split,
        seed=seed,
        key="k",
        source="s",
        n_training=40,
        n_test=13,
        figures={} if failure else {"rna->adt": figures},
        costs=costs,
        failure=failure,
    )
