"""Unisono: predict one modality of a cell from another, and match cells across modalities, with one fitted model."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unisono import datasets, metrics, modalities, pl
    from unisono.api import fit, load
    from unisono.config import FitConfig
    from unisono.evaluation.disentanglement import disentanglement
    from unisono.evaluation.scores import Scores, evaluate
    from unisono.io.matching import Matching
    from unisono.messages import BadInput, InputWarning
    from unisono.model.unisono import Unisono

__all__ = [
    "BadInput",
    "FitConfig",
    "InputWarning",
    "Matching",
    "Scores",
    "Unisono",
    "datasets",
    "disentanglement",
    "evaluate",
    "fit",
    "load",
    "metrics",
    "modalities",
    "pl",
]

_ROOMS = ("datasets", "metrics", "modalities", "pl")
_HOMES = {
    "BadInput": "unisono.messages",
    "FitConfig": "unisono.config",
    "InputWarning": "unisono.messages",
    "Matching": "unisono.io.matching",
    "Scores": "unisono.evaluation.scores",
    "Unisono": "unisono.model.unisono",
    "disentanglement": "unisono.evaluation.disentanglement",
    "evaluate": "unisono.evaluation.scores",
    "fit": "unisono.api",
    "load": "unisono.api",
}


def __getattr__(name: str) -> Any:
    """Names are fetched when first used, so that importing the package loads neither torch nor anndata."""
    if name in _ROOMS:
        return import_module(f"unisono.{name}")
    if name == "__version__":
        return import_module("importlib.metadata").version("unisono")
    if name not in _HOMES:
        raise AttributeError(f"module 'unisono' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
