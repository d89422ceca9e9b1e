"""The loop: a generator that trains one epoch at a time and yields its scores; never touches a file."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from itertools import islice
from math import isfinite
from typing import Protocol

import torch

from unisono.config import FitConfig
from unisono.messages import BadInput, bad_input
from unisono.nn.model import Network
from unisono.nn.objective import Batch, drawn_noise, terms
from unisono.nn.parts import gradient_by_parts, is_one_part
from unisono.training.divergence import what_is_not_finite
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
class Unfinished:
    """What has been done of an epoch; all its draws are made anew where it is resumed.

    Attributes:
        n_batches: mini-batches so far.
        n_summed: those of them that were a step.
        has_rolled_back: whether the weights returned to the best ones in between.
        sums: of the weighted terms over these steps.
    """

    n_batches: int = 0
    n_summed: int = 0
    has_rolled_back: bool = False
    sums: dict[str, torch.Tensor] = field(default_factory=dict)

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        """Add the terms of a step."""
        self.n_summed += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value

    @property
    def means(self) -> dict[str, float]:
        return {name: float(value) / self.n_summed for name, value in self.sums.items()}


@dataclass(eq=False)
class Training:
    """The state of training between two steps; with the data and the config it determines all that follows.

    Attributes:
        network: being trained.
        averaged: running mean of its weights (Polyak averaging): what is scored and kept.
        best: the averaged weights with the best scores so far.
        optimiser: of `network`.
        epochs: all so far, the start among them.
        n_steps: so far.
        rate: fraction of the learning rate that is left, 1 where all losses were finite.
        n_skipped: mini-batches that were no step, as their loss or its gradient was not finite.
        n_in_a_row: of these, the last ones.
        first_skipped: where the first one was, and what was not finite.
        unfinished: of the epoch that runs.
    """

    network: Network
    averaged: Network
    best: dict[str, torch.Tensor]
    optimiser: torch.optim.AdamW
    epochs: list[Epoch] = field(default_factory=list)
    n_steps: int = 0
    rate: float = 1.0
    n_skipped: int = 0
    n_in_a_row: int = 0
    first_skipped: str = ""
    unfinished: Unfinished = field(default_factory=Unfinished)

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

    @property
    def is_finite(self) -> bool:
        """Whether no weight is NaN or infinite."""
        weights = [*self.network.parameters(), *self.averaged.parameters()]
        return bool(torch.stack([torch.isfinite(weight).all() for weight in weights]).all())

    def is_over(self, config: FitConfig) -> bool:
        """Whether all epochs are done, or the scores have not improved for `patience` evaluations."""
        evaluated = self.evaluated
        best = max((i for i, epoch in enumerate(evaluated) if epoch.is_best), default=0)
        is_stuck = bool(evaluated) and len(evaluated) - 1 - best >= config.patience
        return is_stuck or (bool(self.epochs) and self.epochs[-1].number >= config.max_epochs)


def train(
    training: Training,
    mini_batches: Epochs,
    score: Score | None,
    config: FitConfig,
    ranks: Ranks = ALONE,
    after_step: Callable[[], None] | None = None,
) -> Iterator[Epoch]:
    """Train `training.network` in place, epoch by epoch; when the iterator ends it holds the best weights.

    The start, which is the closed-form solution, is a candidate too. Because the averaged weights are scored, the
    learning rate can stay constant and training can stop at any epoch. Without validation cells the average after the
    last epoch is kept. Every draw depends on the seed, the epoch's number and the step's place in it alone, so that
    training resumed from a checkpoint ends with the same bits. Several ranks share the cells of each step; the first
    one scores. `after_step` is called on each rank after each mini-batch, when `training` can be saved.

    A step whose loss or gradient is not finite is skipped. The second one in a row returns to the best weights so far,
    at a fraction of the learning rate.

    Raises:
        BadInput: E078 too many steps in a row were not finite, or all.
        RankError: the weights of a rank differ from those of the first, or it is gone.
    """
    ranks.require_equal("data, settings or first weights", _weights(training), config, training.epochs)
    if not training.epochs:
        start = Epoch(0, {}, _scores(training, score, ranks), is_best=True)
        training.epochs.append(start)
        yield start
    while not training.is_over(config):
        number = training.epochs[-1].number + 1
        _train_epoch(training, mini_batches, config, number, ranks, after_step)
        scores = _sound_scores(training, score, config, number, ranks)
        if score is None:
            is_best = not training.unfinished.has_rolled_back
        else:
            is_best = scores is not None and _cost(training, scores) < _best_cost(training)
        if is_best:
            training.best = _copied(training.averaged)
        epoch = Epoch(number, training.unfinished.means, scores, is_best)
        training.unfinished = Unfinished()
        training.epochs.append(epoch)
        yield epoch
    if training.n_skipped and not training.n_steps:
        raise _diverged(
            f"no step of all {training.n_skipped} is finite, the first in {training.first_skipped}.", config
        )
    training.network.load_state_dict(training.best)
    training.network.eval()


def _sound_scores(
    training: Training, score: Score | None, config: FitConfig, number: int, ranks: Ranks
) -> ValidationScores | None:
    """The scores after an epoch in which there are any; where they or the weights are not finite, none are kept."""
    is_evaluated = number % config.epochs_per_evaluation == 0 or number == config.max_epochs
    is_sound = training.is_finite
    scores = _scores(training, score, ranks) if is_evaluated and is_sound else None
    if is_sound and (scores is None or all(map(isfinite, astuple(scores)))):
        return scores
    _roll_back(training, config)
    return None


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
    training: Training,
    mini_batches: Epochs,
    config: FitConfig,
    number: int,
    ranks: Ranks,
    after_step: Callable[[], None] | None,
) -> None:
    """One pass over the cells, or what is left of it."""
    network = training.network.train()
    seed = (config.seed * 1_000_003 + number) % 2**63
    generator = torch.Generator(device=network.log_scale.device).manual_seed(seed)
    kl_fraction = min(1.0, number / max(config.kl_warmup_epochs, 1))
    batches = mini_batches.epoch(number)
    for batch in islice(batches, training.unfinished.n_batches):
        drawn_noise(network, batch, generator)
    for batch in batches:
        training.optimiser.zero_grad(set_to_none=True)
        losses = _gradient(network, batch, config, kl_fraction, generator, ranks)
        if _step(training, config, losses):
            _average(training, config.averaging_epochs * mini_batches.steps_per_epoch)
            training.unfinished.add(losses)
            training.n_in_a_row = 0
        else:
            _skip(training, config, lambda: what_is_not_finite(network, batch, config, losses))  # noqa: B023
        training.unfinished.n_batches += 1
        if after_step:
            after_step()


def _gradient(
    network: Network,
    batch: Batch,
    config: FitConfig,
    kl_fraction: float,
    generator: torch.Generator,
    ranks: Ranks,
) -> dict[str, torch.Tensor]:
    """Give every parameter its gradient; the terms, of all ranks."""
    if not is_one_part(batch, config, ranks):
        own = gradient_by_parts(network, batch, config, kl_fraction, generator, ranks)
        total = ranks.summed(torch.stack(list(own.values()))) if own else ()
        return dict(zip(own, total, strict=True))
    losses = terms(network, batch, config, kl_fraction, generator)
    if losses:
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
    return {name: value.detach() for name, value in losses.items()}


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


def _step(training: Training, config: FitConfig, losses: dict[str, torch.Tensor]) -> bool:
    """Move the weights along their gradient; False where this, or a loss, is not finite, and they stay as they are."""
    n_steps = training.n_steps + 1
    if losses:
        for group in training.optimiser.param_groups:
            group["lr"] = config.learning_rate * training.rate * min(1.0, n_steps / config.warmup_steps)
        norm = torch.nn.utils.clip_grad_norm_(training.network.parameters(), config.gradient_clip)
        if not torch.isfinite(torch.stack([*losses.values(), norm])).all():
            return False
        training.optimiser.step()
    training.n_steps = n_steps
    return True


def _skip(training: Training, config: FitConfig, reason: Callable[[], str]) -> None:
    """Count a step that was not finite; return to the best weights where the one before was not, either.

    Raises:
        BadInput: E078 there were too many in a row.
    """
    training.n_skipped += 1
    training.n_in_a_row += 1
    is_last = training.n_in_a_row >= config.max_skipped_steps
    if is_last or not training.first_skipped:
        place = f"epoch {training.epochs[-1].number + 1}, step {training.unfinished.n_batches + 1}"
        found = f"{place}: {reason()}"
        training.first_skipped = training.first_skipped or found
        if is_last:
            raise _diverged(f"{training.n_in_a_row} steps in a row are not finite, the last in {found}.", config)
    if training.n_in_a_row > 1:
        _roll_back(training, config)


def _diverged(what: str, config: FitConfig) -> BadInput:
    remedy = f"look at these counts, or lower learning_rate ({config.learning_rate:g}) or the weights of the terms"
    return bad_input("E078", "training", what, remedy)


def _roll_back(training: Training, config: FitConfig) -> None:
    """Return to the best weights so far, at a fraction of the learning rate."""
    training.network.load_state_dict(training.best)
    training.averaged.load_state_dict(training.best)
    training.optimiser = _optimiser(training.network, config)
    training.rate *= config.rate_after_divergence
    training.unfinished.has_rolled_back = True


@torch.no_grad()
def _average(training: Training, window: float) -> None:
    """Move the running mean towards the weights; over a window of so many steps, fewer at the start."""
    weight = 1.0 / min(training.n_steps, window)
    means: list[torch.Tensor] = list(training.averaged.parameters())
    values: list[torch.Tensor] = list(training.network.parameters())
    torch._foreach_lerp_(means, values, weight)


def _copied(network: Network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}
