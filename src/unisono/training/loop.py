"""The loop: a generator that trains one epoch at a time and yields its scores; never touches a file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from typing import Protocol

import torch

from unisono.config import FitConfig
from unisono.nn.model import Network
from unisono.nn.objective import Batch, terms
from unisono.nn.parts import gradient_by_parts, is_one_part
from unisono.training.ranks import ALONE, Ranks
from unisono.training.validation import ValidationScores


class Epochs(Protocol):
    """Mini-batches, epoch by epoch."""

    @property
    def steps_per_epoch(self) -> int:
        """The same in every epoch."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """One pass over the cells of an epoch, which depends on the config and its number alone."""


Score = Callable[[Network], ValidationScores]
"""How well a network, as part of the whole predictor, does on the validation cells."""


@dataclass(frozen=True)
class Epoch:
    """The outcome of an epoch.

    Attributes:
        number: from 1; 0 stands for the closed-form start.
        terms: weighted terms of the objective, means over the epoch's steps, nats or fractions of variance.
        scores: of the validation cells after it; None in epochs without evaluation.
        is_best: whether its weights are the best so far.
    """

    number: int
    terms: dict[str, float]
    scores: ValidationScores | None
    is_best: bool


OnEpoch = Callable[[Epoch], None]


@dataclass(eq=False)
class Training:
    """The state of training between two epochs; with the data and the config it determines all that follows.

    Attributes:
        network: being trained.
        averaged: running mean of its weights (Polyak averaging): what is scored and kept.
        best: the averaged weights with the best scores so far.
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
        return [epoch for epoch in self.epochs if epoch.scores]

    @property
    def best_epoch(self) -> int:
        """Number of the epoch whose weights are the best so far."""
        return max((epoch.number for epoch in self.epochs if epoch.is_best), default=0)

    def is_over(self, config: FitConfig) -> bool:
        """Whether all epochs are done, or the scores have not improved for `patience` evaluations."""
        evaluated = self.evaluated
        best = max((i for i, epoch in enumerate(evaluated) if epoch.is_best), default=0)
        is_stuck = bool(evaluated) and len(evaluated) - 1 - best >= config.patience
        return is_stuck or (bool(self.epochs) and self.epochs[-1].number >= config.max_epochs)


def train(
    training: Training, mini_batches: Epochs, score: Score | None, config: FitConfig, ranks: Ranks = ALONE
) -> Iterator[Epoch]:
    """Train `training.network` in place, epoch by epoch; when the iterator ends it holds the best weights.

    The start, which is the closed-form solution, is a candidate too. Because the averaged weights are scored, the
    learning rate can stay constant and training can stop at any epoch. Without validation cells the average after the
    last epoch is kept. Every draw depends on the seed and the epoch's number alone, so that training resumed
    from a checkpoint ends with the same bits. Several ranks share the cells of each step; the first one scores.

    Raises:
        RankError: the weights of a rank differ from those of the first, or it is gone.
    """
    ranks.require_equal("data, settings or first weights", _weights(training), config, training.epochs)
    if not training.epochs:
        start = Epoch(0, {}, _scores(training, score, ranks), is_best=True)
        training.epochs.append(start)
        yield start
    while not training.is_over(config):
        number = training.epochs[-1].number + 1
        means = _train_epoch(training, mini_batches, config, number, ranks)
        is_evaluated = number % config.epochs_per_evaluation == 0 or number == config.max_epochs
        scores = _scores(training, score, ranks) if is_evaluated else None
        is_best = score is None or (scores is not None and _cost(training, scores) < _best_cost(training))
        if is_best:
            training.best = _copied(training.averaged)
        epoch = Epoch(number, means, scores, is_best)
        training.epochs.append(epoch)
        yield epoch
    training.network.load_state_dict(training.best)
    training.network.eval()


def _scores(training: Training, score: Score | None, ranks: Ranks) -> ValidationScores | None:
    """Those of the first rank, for all; None without validation cells."""
    ranks.require_equal("weights", _weights(training))
    if score is None:
        return None
    own = score(training.averaged) if ranks.is_first else ValidationScores(0.0, 0.0)
    return ValidationScores(*ranks.from_first(astuple(own)))


def _weights(training: Training) -> dict[str, torch.Tensor]:
    """All of them: of the network, and their running mean."""
    parts = {"network": training.network, "averaged": training.averaged}
    return {f"{part}.{name}": value for part, of in parts.items() for name, value in of.state_dict().items()}


def _train_epoch(
    training: Training, mini_batches: Epochs, config: FitConfig, number: int, ranks: Ranks
) -> dict[str, float]:
    """One pass over the cells; the mean of each term over its steps."""
    network = training.network.train()
    seed = (config.seed * 1_000_003 + number) % 2**63
    generator = torch.Generator(device=network.log_scale.device).manual_seed(seed)
    kl_fraction = min(1.0, number / max(config.kl_warmup_epochs, 1))
    sums: dict[str, torch.Tensor] = {}
    for batch in mini_batches.epoch(number):
        training.n_steps += 1
        training.optimiser.zero_grad(set_to_none=True)
        if is_one_part(batch, config, ranks):
            losses = terms(network, batch, config, kl_fraction, generator)
            if losses:
                torch.autograd.backward(torch.stack(list(losses.values())).sum())
        else:
            losses = gradient_by_parts(network, batch, config, kl_fraction, generator, ranks)
        if losses:
            _step(training, config)
        _average(training, config.averaging_epochs * mini_batches.steps_per_epoch)
        for name, value in losses.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value.detach()
    total = ranks.summed(torch.stack(list(sums.values()))) if sums else ()
    return {name: float(value) / mini_batches.steps_per_epoch for name, value in zip(sums, total, strict=True)}


def _cost(training: Training, scores: ValidationScores) -> float:
    start = training.epochs[0].scores
    return scores.cost_against(start) if start else 0.0


def _best_cost(training: Training) -> float:
    return min(_cost(training, epoch.scores) for epoch in training.evaluated if epoch.scores)


def _optimiser(network: Network, config: FitConfig) -> torch.optim.AdamW:
    """AdamW whose decay applies to the matrices of the networks, not at biases, heads or temperatures."""
    decayed = [p for name, p in network.named_parameters() if name.endswith("weight")]
    free = [p for name, p in network.named_parameters() if not name.endswith("weight")]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    is_fused = network.log_scale.device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=is_fused)


def _step(training: Training, config: FitConfig) -> None:
    """Move the weights along their gradient."""
    for group in training.optimiser.param_groups:
        group["lr"] = config.learning_rate * min(1.0, training.n_steps / config.warmup_steps)
    torch.nn.utils.clip_grad_norm_(training.network.parameters(), config.gradient_clip)
    training.optimiser.step()


@torch.no_grad()
def _average(training: Training, window: float) -> None:
    """Move the running mean towards the weights; over a window of so many steps, fewer at the start."""
    weight = 1.0 / min(training.n_steps, window)
    means: list[torch.Tensor] = list(training.averaged.parameters())
    values: list[torch.Tensor] = list(training.network.parameters())
    torch._foreach_lerp_(means, values, weight)


def _copied(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}
