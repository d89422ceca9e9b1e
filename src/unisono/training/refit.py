"""Refit: where cells are few, fit once more on all of them, for as long as the held-out ones found best."""

from __future__ import annotations

from collections.abc import Callable

import torch

from unisono.config import FitConfig
from unisono.training.loop import Epoch, Training, train
from unisono.training.mini_batches import MiniBatches
from unisono.training.prepare import Prepared, prepare
from unisono.types import Cells


def refit(
    cells: Cells,
    config: FitConfig,
    n_epochs: int,
    device: torch.device,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Prepared:
    """Transforms, linear path and networks from all cells, trained for `n_epochs` with nobody to judge them."""
    on_all = config.model_copy(update={"held_out": 0.0, "max_epochs": n_epochs})
    prepared = prepare(cells, on_all, device)
    mini_batches = MiniBatches(prepared.views, prepared.technical, on_all, device)
    for epoch in train(Training.start(prepared.network, on_all), mini_batches, None, on_all):
        if on_epoch:
            on_epoch(epoch)
    return prepared
