"""Draws: target codes drawn from the posterior of content, straight or by way of a third modality; takes no mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unisono.nn import infer
from unisono.nn.model import Network
from unisono.nn.styles import Style, StyleBook
from unisono.preprocessing.closed_form import ClosedFormTerms
from unisono.types import Modality, Pair

Array = NDArray[np.float32]

DRAWS = 32
"""Draws of a chain unless told: their mean is then within a sixth of their spread."""
_SEED = 41


@dataclass(frozen=True, eq=False)
class Chain:
    """Two steps of the central dogma, source → middle → target, each with its networks and closed-form company.

    The first step draws content from the source's posterior and decodes it to codes of the middle modality, a draw for
    each member; the second reads these as if they had been measured, draws again, and decodes. So the spread of the
    draws holds what the source leaves open about the middle, what the middle leaves open about the target, and how far
    the members disagree in both. The mean over draws is E[target | source] if, as the dogma has it, the target depends
    on the source through the middle alone.
    """

    network: Network
    styles: Mapping[Modality, StyleBook]
    closed_form: Mapping[Pair, ClosedFormTerms]
    middle: Modality

    def draws(self, source: Modality, x: Array, target: Modality, style: Style, n_draws: int) -> Array:
        """Scaled codes of the target, draw x cell x code, from batch-centred codes of the source."""
        average = self.styles[self.middle].average
        beside_first = beside(self.network, source, x, self.middle, average, self.closed_form[source, self.middle])
        first, second = [], []
        for turn in _turns(self.network, n_draws, n_steps=2):
            passed = _decoded(self.network, source, x, self.middle, average, turn.noise[0]) + beside_first
            first.append(passed.mean(axis=0))
            second.append(_decoded(self.network, self.middle, passed, target, style, turn.noise[1])[: turn.n_members])
        middle = np.asarray(np.mean(first, axis=0), dtype=np.float32)
        average, closed_form = self.styles[target].average, self.closed_form[self.middle, target]
        return np.concatenate(second) + beside(self.network, self.middle, middle, target, average, closed_form)


def direct_draws(network: Network, source: Modality, x: Array, target: Modality, style: Style, n_draws: int) -> Array:
    """Scaled codes of the target, draw x cell x code, by the networks alone, from batch-centred codes of the source."""
    turns = _turns(network, n_draws, n_steps=1)
    return np.concatenate(
        [_decoded(network, source, x, target, style, turn.noise[0])[: turn.n_members] for turn in turns]
    )


def beside(
    network: Network, source: Modality, x: Array, target: Modality, average: Style, closed_form: ClosedFormTerms
) -> Array:
    """What the closed-form company adds to the networks' codes, cell x code; zero where it has no share."""
    if closed_form.kernel is None:
        return np.zeros((len(x), len(average.offset)), dtype=np.float32)
    z = infer.contents(network, source, x)
    of_network = infer.decoded(network, target, z, average.latent, average.offset)
    return np.float32(closed_form.share) * (closed_form.kernel.predict(x) - of_network)


def _decoded(network: Network, source: Modality, x: Array, target: Modality, style: Style, noise: Array) -> Array:
    z = infer.drawn_contents(network, source, x, noise)
    return infer.decoded_by_members(network, target, z, style.latent, style.offset)


class _Turn(NamedTuple):
    """One draw of every member, of which the first few count; `noise` is step x member x content."""

    noise: Array
    n_members: int


def _turns(network: Network, n_draws: int, n_steps: int) -> Iterator[_Turn]:
    """Turns until there are enough draws; every other one mirrors the noise of the one before."""
    rng = np.random.default_rng(_SEED)
    size, shape = infer.n_members(network), (n_steps, infer.n_members(network), network.content_dim)
    noise = np.zeros(shape, dtype=np.float32)
    for number, start in enumerate(range(0, n_draws, size)):
        noise = -noise if number % 2 else rng.standard_normal(shape, dtype=np.float32)
        yield _Turn(noise, min(size, n_draws - start))
