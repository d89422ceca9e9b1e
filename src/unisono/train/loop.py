"""The loop: one generator that trains an epoch at a time and says how it went; never touches the data's files."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from unisono.config import FitConfig
from unisono.nn.model import Network
from unisono.nn.objective import terms
from unisono.train.feed import Feed
from unisono.train.held_out import Figures, HeldOut

_CLIP = 5.0
_WARMUP_STEPS = 20


@dataclass(frozen=True)
class Epoch:
    """What an epoch brought.

    Attributes:
        number: from 1; 0 stands for the closed-form start.
        terms: weighted terms of the objective, means over the epoch's steps, nats or shares of variance.
        figures: of the held-out cells after it; None in epochs without evaluation.
        is_best: whether these are the weights that will be kept so far.
    """

    number: int
    terms: dict[str, float]
    figures: Figures | None
    is_best: bool


def train(network: Network, feed: Feed, held_out: HeldOut | None, config: FitConfig) -> Iterator[Epoch]:
    """Train `network` in place; when the iterator ends, it holds the best weights that the held-out cells saw.

    The start, which is the closed-form solution, is a candidate too. The weights judged and kept are the running
    mean over steps (Polyak averaging), so the learning rate can stay constant and training can stop at any epoch.
    Without held-out cells the mean after the last epoch is kept.
    """
    averaged = copy.deepcopy(network).eval()
    start = held_out.figures(averaged) if held_out else None
    yield Epoch(0, {}, start, is_best=True)
    best, best_cost, since_best = copy.deepcopy(averaged.state_dict()), 2.0, 0
    optimiser = _optimiser(network, config)
    step_number = 0
    for number in range(1, config.max_epochs + 1):
        network.train()
        generator = torch.Generator(device=network.log_scale.device).manual_seed(_seed(config.seed, number))
        kl_share = min(1.0, number / max(config.kl_warmup_epochs, 1))
        sums: dict[str, torch.Tensor] = {}
        for batch in feed.epoch(number):
            step_number += 1
            found = terms(network, batch, config, kl_share, generator)
            _step(network, optimiser, torch.stack(list(found.values())).sum(), config, step_number)
            _average(averaged, network, step_number, feed.steps_per_epoch)
            for name, value in found.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
        means = {name: float(value) / feed.steps_per_epoch for name, value in sums.items()}
        if held_out is None or start is None:
            best = averaged.state_dict()
            yield Epoch(number, means, None, is_best=True)
            continue
        if number % config.epochs_per_evaluation and number < config.max_epochs:
            yield Epoch(number, means, None, is_best=False)
            continue
        figures = held_out.figures(averaged)
        cost = figures.cost_against(start)
        is_best = cost < best_cost
        since_best = 0 if is_best else since_best + 1
        if is_best:
            best, best_cost = copy.deepcopy(averaged.state_dict()), cost
        yield Epoch(number, means, figures, is_best)
        if since_best >= config.patience:
            break
    network.load_state_dict(best)
    network.eval()


def _optimiser(network: Network, config: FitConfig) -> torch.optim.AdamW:
    """AdamW whose decay pulls at the matrices of the networks, not at biases, heads or temperatures."""
    decayed = [p for name, p in network.named_parameters() if name.endswith("weight")]
    free = [p for name, p in network.named_parameters() if not name.endswith("weight")]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _step(
    network: Network, optimiser: torch.optim.Optimizer, loss: torch.Tensor, config: FitConfig, number: int
) -> None:
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * min(1.0, number / _WARMUP_STEPS)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
    optimiser.step()


@torch.no_grad()
def _average(averaged: Network, network: Network, number: int, steps_per_epoch: int) -> None:
    """Move the running mean towards the weights; it looks back over about five epochs, less at the start."""
    share = 1.0 / min(number, 5 * steps_per_epoch)
    for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, share)


def _seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % (2**63)
