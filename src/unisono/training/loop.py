"""The loop: one generator that trains an epoch at a time and says how it went; never touches a file."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from unisono.config import FitConfig
from unisono.nn.model import Network
from unisono.nn.objective import terms
from unisono.training.mini_batches import MiniBatches
from unisono.training.validation import Figures, Validation

_CLIP = 5.0
_WARMUP_STEPS = 20
_EPOCHS_LOOKED_BACK = 5


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


@dataclass(eq=False)
class Training:
    """Where training stands between two epochs; with the data and the config it determines all that follows.

    Attributes:
        network: being trained.
        averaged: running mean of its weights (Polyak averaging): what is judged and kept.
        best: the averaged weights that the held-out cells liked best.
        optimiser: of `network`.
        epochs: all so far, the start among them.
        n_steps: so far.
    """

    network: Network
    averaged: Network
    best: dict[str, torch.Tensor]
    optimiser: torch.optim.AdamW
    epochs: list[Epoch] = field(default_factory=list)
    n_steps: int = 0

    @classmethod
    def start(cls, network: Network, config: FitConfig) -> Training:
        """Before the first step; `network` will be changed by training."""
        averaged = copy.deepcopy(network).eval()
        return cls(network, averaged, _copied(averaged), _optimiser(network, config))

    @property
    def evaluated(self) -> list[Epoch]:
        return [epoch for epoch in self.epochs if epoch.figures]

    @property
    def best_epoch(self) -> int:
        """Number of the epoch whose weights are the best so far."""
        return max((epoch.number for epoch in self.epochs if epoch.is_best), default=0)

    def is_over(self, config: FitConfig) -> bool:
        """Whether all epochs are done, or the held-out cells have seen no progress for too long."""
        evaluated = self.evaluated
        best = max((i for i, epoch in enumerate(evaluated) if epoch.is_best), default=0)
        is_stuck = bool(evaluated) and len(evaluated) - 1 - best >= config.patience
        return is_stuck or (bool(self.epochs) and self.epochs[-1].number >= config.max_epochs)


def train(
    training: Training, mini_batches: MiniBatches, held_out: Validation | None, config: FitConfig
) -> Iterator[Epoch]:
    """Train `training.network` in place, epoch by epoch; when the iterator ends it holds the best weights.

    The start, which is the closed-form solution, is a candidate too. Because the averaged weights are judged, the
    learning rate can stay constant and training can stop at any epoch. Without held-out cells the average after the
    last epoch is kept. Every draw depends on the seed and the epoch's number alone, so that a training taken up again
    from a checkpoint ends with the same bits.
    """
    if not training.epochs:
        start = Epoch(0, {}, held_out.figures(training.averaged) if held_out else None, is_best=True)
        training.epochs.append(start)
        yield start
    while not training.is_over(config):
        number = training.epochs[-1].number + 1
        means = _train_epoch(training, mini_batches, config, number)
        is_judged = number % config.epochs_per_evaluation == 0 or number == config.max_epochs
        figures = held_out.figures(training.averaged) if held_out and is_judged else None
        is_best = held_out is None or (figures is not None and _cost(training, figures) < _best_cost(training))
        if is_best:
            training.best = _copied(training.averaged)
        epoch = Epoch(number, means, figures, is_best)
        training.epochs.append(epoch)
        yield epoch
    training.network.load_state_dict(training.best)
    training.network.eval()


def _train_epoch(training: Training, mini_batches: MiniBatches, config: FitConfig, number: int) -> dict[str, float]:
    """One pass over the cells; the mean of each term over its steps."""
    network = training.network.train()
    generator = torch.Generator(device=network.log_scale.device).manual_seed(_seed(config.seed, number))
    kl_share = min(1.0, number / max(config.kl_warmup_epochs, 1))
    sums: dict[str, torch.Tensor] = {}
    for batch in mini_batches.epoch(number):
        training.n_steps += 1
        found = terms(network, batch, config, kl_share, generator)
        if found:
            _step(training, torch.stack(list(found.values())).sum(), config)
        _average(training, mini_batches.steps_per_epoch)
        for name, value in found.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
    return {name: float(value) / mini_batches.steps_per_epoch for name, value in sums.items()}


def _cost(training: Training, figures: Figures) -> float:
    start = training.epochs[0].figures
    return figures.cost_against(start) if start else 0.0


def _best_cost(training: Training) -> float:
    return min(_cost(training, epoch.figures) for epoch in training.evaluated if epoch.figures)


def _optimiser(network: Network, config: FitConfig) -> torch.optim.AdamW:
    """AdamW whose decay pulls at the matrices of the networks, not at biases, heads or temperatures."""
    decayed = [p for name, p in network.named_parameters() if name.endswith("weight")]
    free = [p for name, p in network.named_parameters() if not name.endswith("weight")]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _step(training: Training, loss: torch.Tensor, config: FitConfig) -> None:
    for group in training.optimiser.param_groups:
        group["lr"] = config.learning_rate * min(1.0, training.n_steps / _WARMUP_STEPS)
    training.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(training.network.parameters(), _CLIP)
    training.optimiser.step()


@torch.no_grad()
def _average(training: Training, steps_per_epoch: int) -> None:
    """Move the running mean towards the weights; it looks back over about five epochs, less at the start."""
    share = 1.0 / min(training.n_steps, _EPOCHS_LOOKED_BACK * steps_per_epoch)
    for mean, value in zip(training.averaged.parameters(), training.network.parameters(), strict=True):
        mean.lerp_(value, share)


def _copied(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def _seed(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + epoch) % (2**63)
