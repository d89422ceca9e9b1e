"""A small file of two modalities that count the same, estimators that are a few lines, and runs made by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mudata
import numpy as np
import pandas as pd
from scipy import sparse

import unisono as un
from unisono_bench.data import join, to_anndata
from unisono_bench.methods import EstimatorMethod
from unisono_bench.outputs import Cost, Costs
from unisono_bench.records import Run
from unisono_bench.scores import Question, Score

N_CELLS, N_FEATURES = 53, 11
PREDICTION, MATCHING = Question("prediction", "rna", "adt"), Question("matching", "rna", "adt")


def twin_counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(5.0, (N_CELLS, N_FEATURES)) + 1


def twin_cells(seed: int = 0, n_cells: int = N_CELLS) -> un.Cells:
    """RNA and protein with the very same counts in three batches, so that a method can be perfect."""
    counts = sparse.csr_matrix(twin_counts(seed)[:n_cells])
    names = np.asarray([f"cell {i}" for i in range(n_cells)])
    batch = np.asarray([f"b{i % 3}" for i in range(n_cells)])
    return un.Cells(
        {
            m: un.View(m, counts, names, np.asarray([f"{m}{j}" for j in range(N_FEATURES)]), batch)
            for m in ("rna", "adt")
        }
    )


def twin_mudata(seed: int = 0) -> mudata.MuData:
    """The same as a MuData with two donors."""
    parts = {name: to_anndata(view) for name, view in twin_cells(seed).views.items()}
    for part in parts.values():
        part.obs["donor"] = pd.Categorical([f"d{i % 2}" for i in range(N_CELLS)])
    return join(parts)


def write_twins(path: Path, seed: int = 0) -> Path:
    """The same as a file."""
    twin_mudata(seed).write_h5mu(path)
    return path


def tiny(**changes: Any) -> un.FitConfig:
    """Two small members, two epochs."""
    sizes = {"content_dim": 8, "style_dim": 3, "n_channels": 4, "n_tokens": 5}
    return un.FitConfig.preset(
        "default", **{"n_members": 2, "max_epochs": 2, "n_codes": 12, "architecture": sizes} | changes
    )


@cache
def simulated() -> un.Cells:
    """151 simulated cells of three modalities in two batches."""
    return un.datasets.simulate_cells(
        un.datasets.Recipe(n_cells=151, n_genes=61, n_peaks=97, n_proteins=7, seed=5)
    ).cells


@dataclass(frozen=True)
class Fake:
    """Predicts and matches perfectly but for noise; or crashes, or predicts NaN."""

    name: str
    noise: float
    fault: str = ""

    def __call__(self) -> Fake:
        return self

    def fit(self, training: un.Cells, seed: int) -> FittedFake:
        if self.fault == "crash":
            raise RuntimeError("no\nluck")
        if self.fault == "crash once" and seed == 1:
            raise RuntimeError("no luck with 1")
        return FittedFake(self, training, seed)


@dataclass(frozen=True)
class FittedFake:
    fake: Fake
    training: un.Cells
    seed: int

    def predict(self, source: un.View, target: str) -> np.ndarray | None:
        truth = un.preprocessing.on_scale(replace(source, modality=target)).toarray()
        noise = np.random.default_rng(self.seed).normal(size=truth.shape)
        values = truth + self.fake.noise * noise
        return np.full_like(values, np.nan) if self.fake.fault == "nan" else values.astype(np.float32)

    def similarity(
        self, left: un.View, right: un.View, *, depth: bool, groups: object
    ) -> un.matching.Similarity | None:
        return un.matching.Similarity(self._unit(left, 1), self._unit(right, 2), 50.0)

    def _unit(self, view: un.View, side: int) -> np.ndarray:
        values = view.counts.toarray().astype(float)
        values = (values - 6.0) / np.linalg.norm(values - 6.0, axis=1, keepdims=True)
        noisy = values + self.fake.noise * np.random.default_rng([self.seed, side]).normal(size=values.shape)
        return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


def fake(name: str, noise: float, fault: str = "", settings: str = "") -> EstimatorMethod:
    return EstimatorMethod(name, Fake(name, noise, fault), settings)


def scores(question: Question, **values: float) -> tuple[Score, ...]:
    return tuple(Score(**question._asdict(), metric=metric, value=value) for metric, value in values.items())


def run(method: str, seed: int = 0, failure: str | None = None, split: str = "random", **values: float) -> Run:
    """A run with scores of rna->adt, or one that failed."""
    cost = Cost(seconds=2.0 + seed, cpu_seconds=1.0)
    costs = None if failure else Costs(fit=cost, answer=cost, total=cost.plus(cost), peak_bytes=2**30)
    return Run(
        method=method,
        split=split,
        seed=seed,
        fingerprint="f",
        source_hash="s",
        n_training=40,
        n_test=13,
        scores=() if failure else scores(PREDICTION, **values),
        costs=costs,
        failure=failure,
    )
