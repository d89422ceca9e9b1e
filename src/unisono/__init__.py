"""Unisono: predict one modality of a cell from another, and match cells across modalities, with one fitted model."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # without the module typing: the command line answers signals the sooner
if TYPE_CHECKING:
    from typing import Any

    from unisono import (
        cluster,
        datasets,
        interpretation,
        matching,
        metrics,
        modalities,
        palette,
        pl,
        preprocessing,
        splits,
        tl,
    )
    from unisono.api import fit, load
    from unisono.config import FitConfig
    from unisono.evaluation.disentanglement import disentanglement
    from unisono.evaluation.score_table import Scores
    from unisono.evaluation.scores import evaluate
    from unisono.io.fingerprint import fingerprint
    from unisono.io.matching import Matching
    from unisono.io.tables import read_factored
    from unisono.messages import BadInput, InputWarning
    from unisono.model.cell_index import CellIndex
    from unisono.model.unisono import Unisono
    from unisono.pretrained import models
    from unisono.reading import check, open, read, read_cells  # noqa: A004
    from unisono.types import Cells, View

__all__ = [
    "BadInput",
    "CellIndex",
    "Cells",
    "FitConfig",
    "InputWarning",
    "Matching",
    "Scores",
    "Unisono",
    "View",
    "check",
    "cluster",
    "datasets",
    "disentanglement",
    "evaluate",
    "fingerprint",
    "fit",
    "interpretation",
    "load",
    "matching",
    "metrics",
    "modalities",
    "models",
    "open",
    "palette",
    "pl",
    "preprocessing",
    "read",
    "read_cells",
    "read_factored",
    "splits",
    "tl",
]

_ROOMS = (
    "cluster",
    "datasets",
    "interpretation",
    "matching",
    "metrics",
    "modalities",
    "palette",
    "pl",
    "preprocessing",
    "splits",
    "tl",
)
_HOMES = {
    "BadInput": "unisono.messages",
    "CellIndex": "unisono.model.cell_index",
    "Cells": "unisono.types",
    "FitConfig": "unisono.config",
    "InputWarning": "unisono.messages",
    "Matching": "unisono.io.matching",
    "Scores": "unisono.evaluation.score_table",
    "Unisono": "unisono.model.unisono",
    "View": "unisono.types",
    "check": "unisono.reading",
    "disentanglement": "unisono.evaluation.disentanglement",
    "evaluate": "unisono.evaluation.scores",
    "fingerprint": "unisono.io.fingerprint",
    "fit": "unisono.api",
    "load": "unisono.api",
    "models": "unisono.pretrained",
    "open": "unisono.reading",
    "read": "unisono.reading",
    "read_cells": "unisono.reading",
    "read_factored": "unisono.io.tables",
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
