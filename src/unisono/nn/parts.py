"""The gradient of the objective in parts: cells encoded some at a time, or by several ranks; it is exact, and no step.

The networks of one cell never see another one, so that all that passes between cells is the posteriors. These are
computed first; the objective is then differentiated with respect to them, some cells at a time, as if they were
given; and what they are told is carried back through the encoders, some cells at a time.

References:
    Gao, Zhang, Han & Callan, "Scaling deep contrastive learning batch size under memory limited setup", 2021.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from unisono.config import FitConfig
from unisono.nn import losses
from unisono.nn.model import Network
from unisono.nn.modules import Posterior
from unisono.nn.objective import Batch, Noise, Posteriors, drawn_noise, posteriors, terms_within_cells
from unisono.types import Modality

_ENTRIES_AT_A_TIME = 2**22
"""Similarities of one member that the contrastive term holds at once."""


@runtime_checkable
class Collectives(Protocol):
    """What ranks tell each other: each has the same number of cells of every mini-batch."""

    @property
    def rank(self) -> int:
        """The number of this one, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    def gathered(self, values: Tensor) -> Tensor:
        """Of all ranks, one after the other along the second axis."""

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""


def is_one_part(batch: Batch, config: FitConfig, ranks: Collectives) -> bool:
    """Whether one rank holds all networks of a mini-batch at once, so that nothing is gained by parts."""
    at_a_time = config.cells_at_a_time
    return ranks.size == 1 and (at_a_time is None or batch.technical.shape[1] <= at_a_time)


def gradient_by_parts(
    network: Network,
    batch: Batch,
    config: FitConfig,
    kl_fraction: float,
    generator: torch.Generator,
    ranks: Collectives,
) -> dict[str, Float[Tensor, ""]]:
    """Add the gradient of `terms`, of all ranks, to that of the network; what this rank adds to each term.

    Args:
        network: changed, as its parameters gain their gradients.
        batch: all cells of the step, the same on every rank, of which each computes its share.
        config: weights of the terms, and `cells_at_a_time`.
        kl_fraction: as of `terms`.
        generator: in the same state on every rank.
        ranks: that share the work.
    """
    noise = drawn_noise(network, batch, generator)
    n_more = -batch.technical.shape[1] % ranks.size
    batch, noise = batch.padded(n_more), {m: _padded(each, n_more) for m, each in noise.items()}
    n_cells = batch.technical.shape[1] // ranks.size
    parts = list(_parts(ranks.rank * n_cells, n_cells, config.cells_at_a_time or n_cells))
    with torch.set_grad_enabled(len(parts) == 1):
        encoded = [_encoded(network, batch, part) for part in parts]
    everyone = ranks.gathered(torch.cat([each.detach() for each in encoded], dim=1))
    leaves = [leaf.contiguous().requires_grad_() for leaf in torch.split(everyone, _widths(network, batch), dim=2)]
    found = _as_posteriors(leaves, batch)
    sums: dict[str, Tensor] = {}
    for part in parts:
        own = terms_within_cells(network, batch, found, noise, config, kl_fraction, part)
        if own:
            torch.autograd.backward(torch.stack(list(own.values())).sum())
        sums = {name: sums.get(name, 0.0) + value.detach() for name, value in own.items()}
    if config.weights.contrastive > 0:
        sums |= _contrastive(network, batch, found, config, slice(parts[0].start, parts[-1].stop))
    if sums:
        told = ranks.summed(torch.cat([_gradient(leaf) for leaf in leaves], dim=2))
        for part, each in zip(parts, encoded, strict=True):
            again = each if len(parts) == 1 else _encoded(network, batch, part)
            if again.requires_grad:
                torch.autograd.backward(again, told[:, part])
        _sum_over_ranks(network, ranks)
    return sums


def _contrastive(
    network: Network, batch: Batch, found: Mapping[Modality, Posteriors], config: FitConfig, own: slice
) -> dict[str, Tensor]:
    """The contrastive term of some cells among all, some rows of similarities at a time; adds its gradient."""
    features = {m: network.similarity_features(found[m].content.mu) for m in batch.views}
    leaves = {m: each.detach().requires_grad_() for m, each in features.items()}
    total, n_rows = features[next(iter(features))].new_zeros(()), max(1, _ENTRIES_AT_A_TIME // batch.technical.shape[1])
    for a, b in combinations(batch.views, 2):
        has_both = batch.views[a].has & batch.views[b].has
        n_pairs = has_both.sum().clamp(min=1)
        for rows in _parts(own.start, own.stop - own.start, n_rows):
            same_batch = batch.technical[:, rows, None] == batch.technical[:, None, :]
            log_scale = network.inverse_temperature()
            loss = losses.info_nce_of_some(leaves[a], leaves[b], log_scale, same_batch, has_both, rows)
            value = config.weights.contrastive * loss.sum() / n_pairs
            torch.autograd.backward(value)
            total = total + value.detach()
    if len(leaves) > 1:
        torch.autograd.backward(list(features.values()), [_gradient(leaf) for leaf in leaves.values()])
    return {"contrastive": total}


def _parts(start: int, n_cells: int, at_a_time: int) -> Iterator[slice]:
    """Slices of nearly one size that hold so many cells from a start on, each at most `at_a_time`."""
    n_parts = max(1, -(-n_cells // at_a_time))
    ends = [start + n_cells * i // n_parts for i in range(n_parts + 1)]
    return (slice(*pair) for pair in pairwise(ends))


def _padded(noise: Noise, n_more: int) -> Noise:
    """With zeros for cells behind the others."""
    return Noise(*(torch.nn.functional.pad(values, (0, 0, 0, n_more)) for values in noise))


def _encoded(network: Network, batch: Batch, cells: slice) -> Float[Tensor, "member some posterior"]:
    """The posteriors of some cells in all modalities, next to each other."""
    found = [posteriors(network, m, view.part(cells)) for m, view in batch.views.items()]
    return torch.cat([values for each in found for posterior in each for values in posterior], dim=2)


def _widths(network: Network, batch: Batch) -> list[int]:
    """Of the columns of `_encoded`: mean and log variance, of content and style, modality by modality."""
    return [n for _ in batch.views for n in (network.content_dim,) * 2 + (network.style_dim,) * 2]


def _as_posteriors(leaves: list[Tensor], batch: Batch) -> dict[Modality, Posteriors]:
    """The inverse of putting them next to each other."""
    pairs = [Posterior(*pair) for pair in zip(leaves[::2], leaves[1::2], strict=True)]
    return {
        m: Posteriors(*pair) for m, pair in zip(batch.views, zip(pairs[::2], pairs[1::2], strict=True), strict=True)
    }


def _gradient(leaf: Tensor) -> Tensor:
    """Zero where no term depends on it."""
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _sum_over_ranks(network: Network, ranks: Collectives) -> None:
    """Give every parameter the sum of its gradients on all ranks, in one message; changes the network's gradients."""
    if ranks.size == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    total = ranks.summed(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, torch.split(total, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
