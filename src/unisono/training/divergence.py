"""Which terms and modalities make a loss that is not finite, and the counts behind it; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations

import torch

from unisono.config import FitConfig
from unisono.nn.model import Network
from unisono.nn.objective import Batch, terms
from unisono.types import Modality


def what_is_not_finite(network: Network, batch: Batch, config: FitConfig, losses: Mapping[str, torch.Tensor]) -> str:
    """The terms of a step that are not finite themselves or by their gradient, of which modalities, and their counts.

    A term that is not finite with the noise of the step, but is with other noise, counts as one of all modalities.

    Args:
        network: as it was in that step.
        batch: of the step.
        config: weights of the terms.
        losses: the terms.
    """
    found: dict[tuple[Modality, ...], list[str]] = {}
    for n_modalities in (1, 2):
        if not any(found.values()):
            found = {
                some: list(_wrong(network, batch, config, some)) for some in combinations(batch.views, n_modalities)
            }
    if not any(found.values()):
        wrong = [name for name, value in losses.items() if not torch.isfinite(value)] or ["the gradient"]
        found = {tuple(batch.views): wrong}
    told = [f"{name} of {' and '.join(some)}" for some, names in found.items() for name in names]
    concerned = [m for m in batch.views if any(m in some for some, names in found.items() if names)]
    counts = [f"{m} up to {float(batch.views[m].counts.max()):.3g}" for m in concerned]
    return f"{', '.join(told)} (counts in its {batch.technical.shape[1]} cells: {', '.join(counts)})"


def _wrong(network: Network, batch: Batch, config: FitConfig, some: tuple[Modality, ...]) -> Iterator[str]:
    """Names of the terms of some modalities that are not finite, or have a gradient that is not."""
    generator = torch.Generator(device=network.log_scale.device).manual_seed(config.seed)
    views = {m: batch.views[m] for m in some}
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for name, value in terms(network, replace(batch, views=views), config, 1.0, generator).items():
        gradient = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
        if not all(torch.isfinite(part).all() for part in (value, *gradient) if part is not None):
            yield name
