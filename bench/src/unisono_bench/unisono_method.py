"""Unisono as a method of the benchmark, in full or with one part switched off; decides nothing of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

import unisono as un
from unisono_bench.data import to_anndata, to_mudata
from unisono_bench.matching import Groups
from unisono_bench.methods import EstimatorMethod

NAME = "unisono"

ABLATIONS: dict[str, dict[str, Any]] = {
    "no-instance-norm": {"architecture": {"instance_norm": False}},
    "no-style": {"architecture": {"style": False}},
    "no-contrastive": {"weights": {"contrastive": 0.0}},
    "no-cross": {"weights": {"cross": 0.0}},
    "no-kl": {"weights": {"kl": 0.0}},
    "no-thinning": {"thinning": (1.0, 1.0)},
    "one-member": {"n_members": 1},
    "no-linear-path": {"architecture": {"linear_path": False}},
    "no-kernel-member": {"architecture": {"kernel": False}},
    "no-refit": {"refit_below": 0},
    "no-gains": {"preprocessing": {"gains": False}},
    "no-linear-floor": {"matching": {"min_linear_weight": 0.0}},
}
"""Part switched off → fields of `FitConfig` that do so; a new switch is one line."""


@final
@dataclass(frozen=True)
class UnisonoEstimator:
    """Unisono with all choices but the seed.

    Attributes:
        name: what tables call it.
        config: its seed is ignored.
        device: where the networks are trained.
    """

    name: str
    config: un.FitConfig
    device: str = "auto"

    def fit(self, training: un.Cells, seed: int) -> FittedUnisono:
        """As `unisono fit` does; see `Estimator.fit`."""
        config = changed(self.config, {"seed": seed})
        return FittedUnisono(un.fit(to_mudata(training), batch_key="batch", config=config, device=self.device))


@final
@dataclass(frozen=True, eq=False)
class FittedUnisono:
    """A fitted model behind the interface of the benchmark."""

    model: un.Unisono

    def predict(self, source: un.View, target: str) -> NDArray[np.float32] | None:
        """In average style, as `unisono predict` does; None for a modality that the model does not know."""
        if source.modality == target or not {source.modality, target} <= set(self.model.modalities):
            return None
        return np.asarray(self.model.predict(to_anndata(source), source.modality, target).X)

    def similarity(
        self, left: un.View, right: un.View, *, depth: bool, groups: Groups | None
    ) -> un.matching.Similarity | None:
        """As `unisono match` compares them; None for a modality that the model does not know."""
        if not {left.modality, right.modality} <= set(self.model.modalities):
            return None
        return self.model.fitted.similarity(left, right, depth=depth, groups=groups)


def full(config: un.FitConfig, device: str) -> EstimatorMethod:
    """Unisono as it is."""
    return _method(NAME, config, device)


def ablations(config: un.FitConfig, device: str) -> tuple[EstimatorMethod, ...]:
    """Unisono with one part switched off each; parts that the config has switched off itself are left out."""
    reduced = {part: changed(config, changes) for part, changes in ABLATIONS.items()}
    return tuple(_method(f"{NAME}-{part}", one, device) for part, one in reduced.items() if one != config)


def changed(config: un.FitConfig, changes: Mapping[str, Any]) -> un.FitConfig:
    """The config with some fields changed, in sections field by field.

    Raises:
        ValueError: an unknown field or a value out of range.
    """
    return un.FitConfig.model_validate(_merged(config.model_dump(), changes))


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, Mapping) and key in merged else value
    return merged


def _method(name: str, config: un.FitConfig, device: str) -> EstimatorMethod:
    settings = f"{changed(config, {'seed': 0}).model_dump_json()} {device}"
    return EstimatorMethod(name, partial(UnisonoEstimator, name, config, device), settings)
