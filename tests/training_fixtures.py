"""What the tests of training share: a small config, simulated cells, what a fit makes of them, weights; no test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.inference.predictor import Predictor
from unisono.nn.model import Network
from unisono.training.fit import fit_views, scorer, start_of
from unisono.training.loop import Score
from unisono.training.mini_batches import Views
from unisono.training.validation import Validation, split
from unisono.types import Cells

CPU = torch.device("cpu")
_SHAPE = {"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5}


def small_config(**changes: Any) -> FitConfig:
    """Two members of 7 codes and 4 content dimensions; `architecture` is merged into the small one."""
    shape = {**_SHAPE, **changes.pop("architecture", {})}
    return FitConfig.preset("default", **{"n_members": 2, "n_codes": 7, "architecture": shape} | changes)


def simulated(**changes: Any) -> Cells:
    """307 cells of three modalities in two batches."""
    sizes = {"n_cells": 307, "n_genes": 83, "n_peaks": 149, "n_proteins": 17, "seed": 6}
    return simulate_cells(Recipe(**sizes | changes)).cells


@cache
def cells_of_two_modalities() -> Cells:
    """103 cells, for tests in which little depends on a third modality."""
    views = simulated(n_cells=103, n_genes=53, n_peaks=71, n_proteins=11, seed=7).views
    return Cells({"rna": views["rna"], "adt": views["adt"]})


def state_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of a network's weights."""
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are the same to the bit."""
    return all(torch.equal(one[name], other[name]) for name in one)


@dataclass(frozen=True)
class Prepared:
    """Everything that is fixed before the first step."""

    config: FitConfig
    views: Views
    technical: NDArray[np.intp]
    validation_cells: Cells | None
    predictor: Predictor

    @property
    def network(self) -> Network:
        return self.predictor.network

    @property
    def validation(self) -> Validation:
        return Validation(self.validation_cells, self.views, self.config)

    @property
    def score(self) -> Score:
        """What scores a network while it trains."""
        return scorer(self.predictor, self.views, self.validation, self.config)


def prepare(cells: Cells, config: FitConfig) -> Prepared:
    """The stages of a fit before training."""
    training, validation_cells = split(cells, config)
    views = fit_views(training, config, {})
    predictor = start_of(views, len(cells.names), config, CPU)
    return Prepared(config, views, np.unique(training.batch, return_inverse=True)[1], validation_cells, predictor)
