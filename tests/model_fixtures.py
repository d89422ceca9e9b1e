"""One small simulated co-assay and models fitted to it, each made once for the whole run; holds no test."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from typing import Any

import mudata
import numpy as np
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from unisono.api import fit
from unisono.config import FitConfig
from unisono.datasets import simulate
from unisono.evaluation.score_table import Scores
from unisono.inference.predictor import Predictor
from unisono.messages import InputWarning
from unisono.model.unisono import Unisono

N_TRAINING, N_TEST = 151, 43
PAIRS = (("atac", "rna"), ("atac", "adt"), ("rna", "adt"))


@cache
def _simulated() -> MuData:
    return simulate(n_cells=N_TRAINING + N_TEST, n_genes=60, n_peaks=90, n_proteins=8, batch_effect=0.8, seed=3)


def training() -> MuData:
    """151 cells of two batches, 60 genes, 90 peaks, 8 proteins; a new copy each time."""
    return take(_simulated(), slice(0, N_TRAINING))


def test_cells() -> MuData:
    """43 other cells of the same simulation; a new copy each time."""
    return take(_simulated(), slice(N_TRAINING, None))


test_cells.__test__ = False  # type: ignore[attr-defined]


def take(mdata: MuData, rows: Any) -> MuData:
    """A copy of some cells, in every modality."""
    return rebuilt({name: part[rows].copy() for name, part in mdata.mod.items()})


def rebuilt(parts: dict[str, AnnData]) -> MuData:
    """A MuData of tables, whose own obs has no columns: `batch` stands in each modality's obs."""
    with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return MuData(parts)


TINY = {
    "n_members": 2,
    "n_codes": 12,
    "architecture": {"content_dim": 8, "style_dim": 3, "n_channels": 4, "n_tokens": 5},
    "preprocessing": {"codings": {"rna": ("blend",)}, "offset_shares": (0.0, 0.5, 1.0), "scale_powers": (0.0, 1.0)},
    "linear_path": {"max_repeats": 2},
    "kernel": {"sharpnesses": (1.0,), "shrinkage_strengths": (0.0, 0.5), "shrinkage_priors": (4.0,)},
    "matching": {"depth_weights": (1.0,), "beta_range": (1.0, 100.0)},
    "refit_below": 0,
}
"""Small sizes, of what a fit selects from no more than three, and no second fit; these have tests of their own."""


def tiny(**changes: Any) -> FitConfig:
    """Two small members, two epochs."""
    return FitConfig.preset("default", **TINY | {"max_epochs": 2} | changes)


@cache
def small_model() -> Unisono:
    """Fitted with validation cells, so with fitted temperatures and weights of depth."""
    return fit(training(), batch_key="batch", config=tiny(), device="cpu")


@cache
def late_model() -> Unisono:
    """Fitted without validation cells, so with the weights of the last of ten epochs, away from their start."""
    config = tiny(max_epochs=10, learning_rate=0.02, validation={"fraction": 0}, seed=5)
    return fit(training(), batch_key="batch", config=config, device="cpu")


def changed(model: Unisono, **parts: Any) -> Unisono:
    """The model with other parts, those of its predictor or its own."""
    names = {field.name for field in fields(Predictor)}
    predictor = replace(model.fitted.predictor, **{name: part for name, part in parts.items() if name in names})
    own = {name: part for name, part in parts.items() if name not in names}
    return Unisono(replace(model.fitted, **{"predictor": predictor, **own}))


def counts(part: AnnData) -> NDArray[np.float64]:
    """The counts of a table, dense."""
    return part.X.toarray().astype(np.float64)


def on_scale(part: AnnData, modality: str) -> NDArray[np.float64]:
    """Counts on the scale that predictions of the modality are promised in, from its formula."""
    x = counts(part)
    if modality == "rna":
        return np.log1p(1e4 * x / x.sum(axis=1, keepdims=True))
    if modality == "adt":
        return np.log1p(x / np.exp(np.log1p(x).mean(axis=1, keepdims=True)))
    return (x > 0).astype(np.float64)


def assert_same(found: Scores, wanted: Scores, **tolerance: float) -> None:
    """Two tables of scores have the same rows, values and chance levels, to a tolerance of `pytest.approx`."""
    import pytest

    assert [row.key for row in found.rows] == [row.key for row in wanted.rows]
    for a, b in zip(found.rows, wanted.rows, strict=True):
        assert a.value == pytest.approx(b.value, **tolerance), a.key
        assert a.chance == (None if b.chance is None else pytest.approx(b.chance, **tolerance)), a.key


def correlations(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Pearson correlation of each column of x with that of y; NaN where one is constant."""
    with np.errstate(invalid="ignore"):
        return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T, strict=True)])


@contextmanager
def noticed() -> Iterator[list[str]]:
    """The input warnings given inside, as text, once the block is over."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts += [str(item.message) for item in caught if issubclass(item.category, InputWarning)]
