"""What training starts from, made of simulated cells as a fit makes it; holds no test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.predictor import Predictor
from unisono.nn.model import Network
from unisono.training.fit import fit_views, scorer, start_of
from unisono.training.loop import Score
from unisono.training.split import split
from unisono.training.validation import Validation
from unisono.training.views import Views
from unisono.types import Cells


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
    views = fit_views(training, config)
    predictor = start_of(views, len(cells.names), config, torch.device("cpu"))
    return Prepared(config, views, np.unique(training.batch, return_inverse=True)[1], validation_cells, predictor)
