"""CLIP on codes: two plain multilayer perceptrons trained to name each other's cells; no thinning, no ensemble."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from unisono_bench.baselines.codes import Codes
from unisono_bench.baselines.matcher import PairedCodes, Project

if TYPE_CHECKING:
    from torch import Tensor, nn

WIDTH, N_DIMENSIONS, DROPOUT = 256, 32, 0.1
LEARNING_RATE, BATCH_SIZE = 1e-3, 512
MAX_EPOCHS, PATIENCE = 60, 10
LOG_SCALE_AT_START, MAX_LOG_SCALE = log(1 / 0.07), log(100.0)


def fit_clip(learning: PairedCodes, held_out: PairedCodes, seed: int) -> tuple[Project, Project]:
    """Two networks, hidden layers 256 and 256, GELU, dropout 0.1, unit vectors of 32, AdamW, batches of 512.

    The inverse temperature is learned and kept at or below 100. Training ends after 60 epochs, or after 10 in a row
    that do not lower the loss on held-out cells; the weights are those of the best epoch. The global generator of
    torch is left as it was found.

    References:
        Radford et al., "Learning transferable visual models from natural language supervision", 2021, fig. 3.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sides = torch.nn.ModuleList([_network(side.shape[1]) for side in learning])
        _train(sides, learning, held_out, np.random.default_rng([seed, 31]))
    return Network(sides[0]), Network(sides[1])


@final
@dataclass(frozen=True, eq=False)
class Network:
    """A trained perceptron as a function of codes."""

    layers: nn.Module

    def __call__(self, x: Codes) -> NDArray[np.float32]:
        import torch

        with torch.no_grad():
            return np.asarray(self.layers(torch.as_tensor(x)).numpy(), dtype=np.float32)


def clip_loss(left: Tensor, right: Tensor, log_scale: Tensor) -> Tensor:
    """Mean symmetric cross-entropy in nats; log(n) where all n cells look alike, 0 when each names its partner.

    Args:
        left: cell x dimension, of any length; row i of both is the same cell.
        right: cell x dimension.
        log_scale: log of the inverse temperature; counts as at most log 100.
    """
    import torch
    from torch.nn import functional

    left, right = functional.normalize(left, dim=1), functional.normalize(right, dim=1)
    scores = torch.exp(log_scale.clamp(max=MAX_LOG_SCALE)) * left @ right.T
    partner = torch.arange(len(scores))
    return 0.5 * (functional.cross_entropy(scores, partner) + functional.cross_entropy(scores.T, partner))


def _network(n_codes: int) -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(n_codes, WIDTH),
        nn.GELU(),
        nn.Dropout(DROPOUT),
        nn.Linear(WIDTH, WIDTH),
        nn.GELU(),
        nn.Dropout(DROPOUT),
        nn.Linear(WIDTH, N_DIMENSIONS),
    )


def _train(sides: nn.ModuleList, learning: PairedCodes, held_out: PairedCodes, rng: np.random.Generator) -> None:
    """Changes the networks of both sides: they end with the weights of their best epoch, in evaluation mode."""
    import torch

    log_scale = torch.nn.Parameter(torch.tensor(LOG_SCALE_AT_START))
    optimiser = torch.optim.AdamW([*sides.parameters(), log_scale], lr=LEARNING_RATE)
    best_loss, best_epoch, best = np.inf, 0, deepcopy(sides.state_dict())
    for epoch in range(MAX_EPOCHS):
        sides.train()
        for rows in _batches(len(learning.left), rng):
            loss = _loss(sides, PairedCodes(learning.left[rows], learning.right[rows]), log_scale)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        sides.eval()
        with torch.no_grad():
            loss_held_out = float(_loss(sides, held_out, log_scale))
        if loss_held_out < best_loss:
            best_loss, best_epoch, best = loss_held_out, epoch, deepcopy(sides.state_dict())
        if epoch - best_epoch >= PATIENCE:
            break
    sides.load_state_dict(best)


def _loss(sides: nn.ModuleList, cells: PairedCodes, log_scale: Tensor) -> Tensor:
    import torch

    left, right = (network(torch.as_tensor(codes)) for network, codes in zip(sides, cells, strict=True))
    return clip_loss(left, right, log_scale)


def _batches(n_cells: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Random batches of near equal size, none above 512."""
    return np.array_split(rng.permutation(n_cells), max(1, -(-n_cells // BATCH_SIZE)))
