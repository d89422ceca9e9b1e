"""Modules of one modality: encoders of content and style, which instance normalisation parts, decoder, feature head."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unisono.config import Architecture, Likelihood

_EPSILON = 1e-5


class MemberLinear(nn.Module):
    """One affine map per member, computed as a single batched product.

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
    """Each channel of each cell at mean 0 and variance 1 over its tokens; and the mean and log deviation removed.

    A cell is normalised by itself alone, so a batch may hold a single cell; what is removed is its style.

    References:
        Ulyanov, Vedaldi & Lempitsky, "Instance normalization", 2016.
        Chou, Yeh & Lee, "One-shot voice conversion by separating speaker and content representations with instance
        normalization", 2019, eq. 2.
    """
    mean = tokens.mean(dim=-1)
    centred = tokens - mean[..., None]
    variance = centred.square().mean(dim=-1) + _EPSILON
    return centred * torch.rsqrt(variance)[..., None], mean, 0.5 * torch.log(variance)


def instance_normalised(
    tokens: Float[Tensor, "member cell channel token"],
) -> Float[Tensor, "member cell channel token"]:
    """As `instance_norm`, without what was removed, by the kernel of layer normalisation without parameters."""
    return functional.layer_norm(tokens, tokens.shape[-1:], eps=_EPSILON)


def adaptive_instance_norm(
    tokens: Float[Tensor, "member cell channel token"],
    shift: Float[Tensor, "member cell channel"],
    log_scale: Float[Tensor, "member cell channel"],
) -> Float[Tensor, "member cell channel token"]:
    """Instance normalisation, then scale and shift by the style.

    References:
        Huang & Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", 2017, eq. 8.
    """
    return torch.addcmul(shift[..., None], instance_normalised(tokens), torch.exp(log_scale)[..., None])


class Posterior(NamedTuple):
    """A diagonal Gaussian q(z | x) = N(mu, exp(log_var))."""

    mu: Float[Tensor, "member cell dim"]
    log_var: Float[Tensor, "member cell dim"]


class ContentEncoder(nn.Module):
    """Codes to the posterior of content: probabilistic CCA plus what a network over tokens adds to it.

    The code is projected to C channels x T tokens; instance normalisation runs over the tokens. The network's last
    layer starts at zero, so training starts from the exact posterior of the linear-Gaussian model.
    """

    linear: Tensor
    log_var: Tensor

    def __init__(
        self,
        linear: Float[Tensor, "code content"],
        correlation: Float[Tensor, " content"],
        shape: Architecture,
        n_members: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_codes, width = linear.shape[0], shape.n_channels * shape.n_tokens
        self._shape = shape
        self.register_buffer("linear", linear.clone())
        self.register_buffer("log_var", torch.log1p(-correlation))
        self.to_tokens = MemberLinear(n_members, n_codes, width, generator)
        self.mix = nn.ModuleList(MemberLinear(n_members, width, width, generator) for _ in range(shape.n_blocks))
        self.to_mu = MemberLinear(n_members, width, shape.content_dim, generator, starts_at_zero=shape.linear_path)
        self.to_log_var = MemberLinear(n_members, width, shape.content_dim, generator, starts_at_zero=True)

    def forward(self, x: Float[Tensor, "member cell code"]) -> tuple[Posterior, Float[Tensor, "member cell statistic"]]:
        """Posterior of content, and the statistics that the first normalisation removed (means, log deviations)."""
        tokens = tokens_of(self.to_tokens(x), self._shape.n_channels)
        normalised, mean, log_deviation = instance_norm(tokens)
        h = (normalised if self._shape.instance_norm else tokens).flatten(2)
        for mix in self.mix:
            h = h + mix(functional.gelu(self._normalised(h)))
        h = functional.gelu(self._normalised(h))
        residual = self.to_mu(h)
        mu = x @ self.linear + residual if self._shape.linear_path else residual
        log_var = torch.clamp(self.log_var + self.to_log_var(h), *self._shape.log_var_range)
        return Posterior(mu, log_var), torch.cat([mean, log_deviation], dim=-1)

    def _normalised(self, h: Float[Tensor, "member cell width"]) -> Float[Tensor, "member cell width"]:
        if not self._shape.instance_norm:
            return h
        return instance_normalised(tokens_of(h, self._shape.n_channels)).flatten(2)


class StyleEncoder(nn.Module):
    """The posterior of style from what normalisation removed (token statistics), depth, and the batch's offset."""

    def __init__(self, n_codes: int, shape: Architecture, n_members: int, generator: torch.Generator) -> None:
        super().__init__()
        n_in, n_hidden = 2 * shape.n_channels + 1 + n_codes, shape.style_hidden * shape.style_dim
        self._log_var_range = shape.log_var_range
        self.hidden = MemberLinear(n_members, n_in, n_hidden, generator)
        self.to_mu = MemberLinear(n_members, n_hidden, shape.style_dim, generator)
        self.to_log_var = MemberLinear(n_members, n_hidden, shape.style_dim, generator, starts_at_zero=True)

    def forward(
        self,
        statistics: Float[Tensor, "member cell statistic"],
        depth: Float[Tensor, "member cell"],
        offset: Float[Tensor, "member cell code"],
    ) -> Posterior:
        h = functional.gelu(self.hidden(torch.cat([statistics, depth[..., None], offset], dim=-1)))
        return Posterior(self.to_mu(h), torch.clamp(self.to_log_var(h), *self._log_var_range))


_MIN_VALUE = 1e-4
_LINEAR_FROM = 20.0
"""From here on log(expm1(x)) is x in float32; expm1 overflows from 89 on, and its gradient is then NaN."""


class Decoder(nn.Module):
    """Content in a style: the linear decoder of probabilistic CCA plus a network driven by AdaIN.

    Where the linear decoder is all zero, the network is alone, and does not start at zero.
    """

    linear: Tensor

    def __init__(
        self, linear: Float[Tensor, "content code"], shape: Architecture, n_members: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        n_codes, width = linear.shape[1], shape.n_channels * shape.n_tokens
        self._shape = shape
        self.register_buffer("linear", linear.clone())
        self.to_tokens = MemberLinear(n_members, shape.content_dim, width, generator)
        self.mix = nn.ModuleList(MemberLinear(n_members, width, width, generator) for _ in range(shape.n_blocks))
        self.styles = nn.ModuleList(
            MemberLinear(n_members, shape.style_dim, 2 * shape.n_channels, generator) for _ in range(shape.n_blocks)
        )
        has_path = shape.linear_path and bool(linear.any())
        self.to_codes = MemberLinear(n_members, width, n_codes, generator, starts_at_zero=has_path)

    def forward(
        self,
        z: Float[Tensor, "member cell content"],
        style: Float[Tensor, "member cell style"],
        offset: Float[Tensor, "member cell code"],
    ) -> Float[Tensor, "member cell code"]:
        """Scaled codes; `offset` is that of the style's batch, the part of style that is known exactly."""
        h = self.to_tokens(z)
        for mix, to_affine in zip(self.mix, self.styles, strict=True):
            shift, log_scale = to_affine(style).chunk(2, dim=-1)
            styled = adaptive_instance_norm(tokens_of(h, self._shape.n_channels), shift, log_scale).flatten(2)
            h = h + mix(functional.gelu(styled))
        residual: Tensor = self.to_codes(functional.gelu(h))
        return offset + residual + z @ self.linear if self._shape.linear_path else offset + residual


class FeatureHead(nn.Module):
    """Codes to values of single features on the modality's scale, and to the parameters of their likelihood.

    Value of feature g: loadings[g] · code + intercept[g]. Only the sampled features are computed, so that
    the cost of a step does not depend on their number.
    """

    loadings: Tensor
    intercept: Tensor

    def __init__(
        self,
        loadings: Float[Tensor, "feature code"],
        intercept: Float[Tensor, " feature"],
        log_bias: Float[Tensor, " feature"],
        likelihood: Likelihood,
        sharpness: float,
    ) -> None:
        super().__init__()
        self.likelihood = likelihood
        self._sharpness = sharpness
        self.register_buffer("loadings", loadings.clone())
        self.register_buffer("intercept", intercept.clone())
        self.log_bias = nn.Parameter(log_bias.clone())
        self.log_theta = nn.Parameter(torch.zeros_like(log_bias))
        self.log_slope = nn.Parameter(torch.zeros(()))

    def values(
        self, codes: Float[Tensor, "member cell code"], features: Int[Tensor, " sampled"]
    ) -> Float[Tensor, "member cell sampled"]:
        """Conditional means on the modality's scale, for a Gaussian or a negative binomial likelihood."""
        return codes @ self.loadings[features].T + self.intercept[features]

    def readout(self) -> tuple[Float[Tensor, "feature code"], Float[Tensor, " feature"]]:
        """Loadings and intercepts that carry codes to the modality's scale; to logits, for a Bernoulli likelihood."""
        if self.likelihood == "bernoulli":
            return torch.exp(self.log_slope) * self.loadings, self.intercept + self.log_bias
        return self.loadings, self.intercept

    def log_mean_counts(
        self,
        values: Float[Tensor, "member cell sampled"],
        log_size: Float[Tensor, "member cell"],
        features: Int[Tensor, " sampled"],
    ) -> Float[Tensor, "member cell sampled"]:
        """Log of the expected count: expm1 of the value, times the cell's size and the feature's bias.

        The bias compensates for E[log1p x] being below log1p E[x].
        """
        positive = functional.softplus(values, beta=self._sharpness) + _MIN_VALUE
        log_expm1 = torch.log(torch.expm1(positive.clamp(max=_LINEAR_FROM)))
        log_expm1 = torch.where(positive < _LINEAR_FROM, log_expm1, positive)
        return log_expm1 + self.log_bias[features] + log_size[..., None]

    def logits(
        self,
        codes: Float[Tensor, "member cell code"],
        log_size: Float[Tensor, "member cell"],
        features: Int[Tensor, " sampled"],
    ) -> Float[Tensor, "member cell sampled"]:
        """Logits of being seen: intercept, bias, deviation by the code times a learned slope, and log depth.

        The odds of a rare feature grow in proportion to the counts of the cell.
        """
        deviation = torch.exp(self.log_slope) * (codes @ self.loadings[features].T)
        return self.intercept[features] + self.log_bias[features] + deviation + log_size[..., None]
