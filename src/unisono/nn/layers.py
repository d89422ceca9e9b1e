"""Layers whose parameters carry a member axis, and the two normalisations that part content from style."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

_EPSILON = 1e-5


class MemberLinear(nn.Module):
    """One affine map a member, computed as a single batched product.

    Weights start uniform in ±1/√n_in as in `torch.nn.Linear`, or at zero, so that the layer first adds nothing.
    """

    def __init__(
        self, n_members: int, n_in: int, n_out: int, generator: torch.Generator, starts_at_zero: bool = False
    ) -> None:
        super().__init__()
        bound = 0.0 if starts_at_zero else 1.0 / math.sqrt(n_in)
        weight = (2.0 * torch.rand(n_members, n_in, n_out, generator=generator) - 1.0) * bound
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def forward(self, x: Float[Tensor, "member cell n_in"]) -> Float[Tensor, "member cell n_out"]:
        return torch.baddbmm(self.bias, x, self.weight)


def tokens_of(h: Float[Tensor, "member cell width"], n_channels: int) -> Float[Tensor, "member cell channel token"]:
    """The token axis: a cell's vector read as channels x tokens."""
    return h.reshape(*h.shape[:2], n_channels, h.shape[2] // n_channels)


def instance_norm(
    tokens: Float[Tensor, "member cell channel token"],
) -> tuple[
    Float[Tensor, "member cell channel token"],
    Float[Tensor, "member cell channel"],
    Float[Tensor, "member cell channel"],
]:
    """Each channel of each cell at mean 0 and variance 1 over its tokens; with it the mean and log deviation removed.

    A cell is normalised by itself alone, so a batch may hold a single cell, and what is taken out is the cell's style.

    References:
        Ulyanov, Vedaldi & Lempitsky, "Instance normalization", 2016.
        Chou, Yeh & Lee, "One-shot voice conversion by separating speaker and content representations with instance
        normalization", 2019, eq. 2.
    """
    mean = tokens.mean(dim=-1)
    centred = tokens - mean[..., None]
    variance = centred.square().mean(dim=-1) + _EPSILON
    return centred * torch.rsqrt(variance)[..., None], mean, 0.5 * torch.log(variance)


def adaptive_instance_norm(
    tokens: Float[Tensor, "member cell channel token"],
    shift: Float[Tensor, "member cell channel"],
    log_scale: Float[Tensor, "member cell channel"],
) -> Float[Tensor, "member cell channel token"]:
    """Instance normalisation, then the scale and shift that the style asks for.

    References:
        Huang & Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", 2017, eq. 8.
    """
    normalised, _, _ = instance_norm(tokens)
    return normalised * torch.exp(log_scale)[..., None] + shift[..., None]
