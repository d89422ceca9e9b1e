"""Unisono as a method of the benchmark, whole or with one part switched off; decides nothing of the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from unisono.api import fit_cells
from unisono.config import FitConfig
from unisono_bench.contenders import MethodContender
from unisono_bench.methods import Groups, Matched
from unisono.model.unisono import Unisono
from unisono.types import Cells, Modality, View

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
    "no-kernel-member": {"architecture": {"kernel_member": False}},
    "no-refit": {"refit_below": 0},
}
"""Part switched off → fields of `FitConfig` that do so; a new switch is one line."""


@final
@dataclass(frozen=True)
class UnisonoMethod:
    """Unisono with all choices but the seed.

    Attributes:
        name: what tables call it.
        config: its seed is of no account.
        device: where the networks are trained.
    """

    name: str
    config: FitConfig
    device: str = "auto"

    def fit(self, training: Cells, seed: int) -> FittedUnisono:
        """As `unisono fit` does; see `Method.fit`."""
        return FittedUnisono(fit_cells(training, changed(self.config, {"seed": seed}), device=self.device))


@final
@dataclass(frozen=True, eq=False)
class FittedUnisono:
    """A fitted model behind the interface of the benchmark."""

    model: Unisono

    def predict(self, source: View, target: Modality) -> NDArray[np.float32] | None:
        """In average style, as `unisono predict` does; None for a modality that the model does not know."""
        if source.modality == target or not {source.modality, target} <= set(self.model.modalities):
            return None
        return self.model.prediction_of(source, target).dense()

    def vectors(self, left: View, right: View, *, depth: bool, groups: Groups | None) -> Matched | None:
        """As `unisono match` compares them; None for a modality that the model does not know."""
        if not {left.modality, right.modality} <= set(self.model.modalities):
            return None
        similarity = self.model.fitted.similarity(left, right, depth=depth, groups=groups)
        return Matched(*similarity.vectors, similarity.beta)


@final
@dataclass(frozen=True)
class _Maker:
    """Makes the method in the process that runs it."""

    method: UnisonoMethod

    def __call__(self) -> UnisonoMethod:
        return self.method


def whole(config: FitConfig, device: str) -> MethodContender:
    """Unisono as it is."""
    return _contender(NAME, config, device)


def without_parts(config: FitConfig, device: str) -> tuple[MethodContender, ...]:
    """Unisono with one part switched off each; parts that the config has switched off itself are left out."""
    reduced = {part: changed(config, changes) for part, changes in ABLATIONS.items()}
    return tuple(_contender(f"{NAME}-{part}", one, device) for part, one in reduced.items() if one != config)


def changed(config: FitConfig, changes: Mapping[str, Any]) -> FitConfig:
    """The config with some fields changed, in sections field by field.

    Raises:
        ValueError: an unknown field or a value out of range.
    """
    return FitConfig.model_validate(_merged(config.model_dump(), changes))


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, Mapping) and key in merged else value
    return merged


def _contender(name: str, config: FitConfig, device: str) -> MethodContender:
    settings = f"{changed(config, {'seed': 0}).model_dump_json()} {device}"
    return MethodContender(name, _Maker(UnisonoMethod(name, config, device)), settings)
