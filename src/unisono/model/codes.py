"""Codes: what is predicted of a target's codes, in the mean and by draws; carries none of them to features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unisono.model.draws import Chain, beside, direct_draws
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.nn.styles import Style
from unisono.preprocessing.closed_form import ClosedFormTerms
from unisono.types import Modality

Array = NDArray[np.float32]


class Codes(NamedTuple):
    """Scaled codes of a target.

    Attributes:
        mean: cell x code.
        draws: draw x cell x code; None where none were asked for.
    """

    mean: Array
    draws: Array | None

    def with_depth(self, depth: Array) -> Codes:
        """One more code, the log depth that is expected of each cell, the same in every draw."""
        return Codes(with_column(self.mean, depth), None if self.draws is None else with_column(self.draws, depth))


def direct_codes(
    network: Network,
    source: Modality,
    x: Array,
    target: Modality,
    style: Style,
    average: Style,
    closed_form: ClosedFormTerms,
    n_draws: int,
) -> Codes:
    """From batch-centred codes of the source: the networks in a style, their company in the average one."""
    company = beside(network, source, x, target, average, closed_form)
    z = infer.contents(network, source, x)
    mean = infer.decoded(network, target, z, style.latent, style.offset) + company
    if n_draws == 0:
        return Codes(mean, None)
    return Codes(mean, direct_draws(network, source, x, target, style, n_draws) + company)


def chained_codes(chain: Chain, source: Modality, x: Array, target: Modality, style: Style, n_draws: int) -> Codes:
    """From batch-centred codes of the source, by way of a third modality; the mean is that of the draws."""
    draws = chain.draws(source, x, target, style, n_draws)
    return Codes(draws.mean(axis=0), draws)


def with_column(values: Array, column: Array) -> Array:
    """One more column along the last axis, the same for every draw."""
    return np.concatenate([values, np.broadcast_to(column, values.shape[:-1])[..., None]], axis=-1)
