"""Decoder: content and a style to codes by AdaIN; and heads that carry codes to likelihoods of raw counts."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from unisono.config import Architecture, Likelihood
from unisono.nn.layers import MemberLinear, adaptive_instance_norm, tokens_of

_MIN_VALUE = 1e-4


class Decoder(nn.Module):
    """Content in a style: the linear decoder of probabilistic CCA plus a network driven by AdaIN.

    Where the linear decoder is all zero, the network is alone, and does not start at zero.
    """

    linear: Tensor

    def __init__(
        self,
        linear: Float[Tensor, "content code"],
        shape: Architecture,
        n_members: int,
        generator: torch.Generator,
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
        """Scaled codes; `offset` is where the style's batch lies, the part of style that is known exactly."""
        h = self.to_tokens(z)
        for mix, to_affine in zip(self.mix, self.styles, strict=True):
            shift, log_scale = to_affine(style).chunk(2, dim=-1)
            styled = adaptive_instance_norm(tokens_of(h, self._shape.n_channels), shift, log_scale).flatten(2)
            h = h + mix(functional.gelu(styled))
        residual: Tensor = self.to_codes(functional.gelu(h))
        return offset + residual + z @ self.linear if self._shape.linear_path else offset + residual


class FeatureHead(nn.Module):
    """Codes to values of single features on the modality's scale, and to the parameters of their likelihood.

    Value of feature g: loadings[g] · code + intercept[g]. Only the features asked for are computed, so a step costs
    the same for a hundred peaks and for a million.
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
        """Log of the expected count: the value sent back through log1p, times the cell's size and the feature's bias.

        The bias makes up for E[log1p x] lying below log1p E[x].
        """
        positive = functional.softplus(values, beta=self._sharpness) + _MIN_VALUE
        return torch.log(torch.expm1(positive)) + self.log_bias[features] + log_size[..., None]

    def logits(
        self,
        codes: Float[Tensor, "member cell code"],
        log_size: Float[Tensor, "member cell"],
        features: Int[Tensor, " sampled"],
    ) -> Float[Tensor, "member cell sampled"]:
        """Logits of being seen open: intercept, bias, what the code speaks for times a learned slope, and log depth.

        Where a peak is rarely seen, its odds of being seen grow in proportion to the fragments of the cell.
        """
        speaks = torch.exp(self.log_slope) * (codes @ self.loadings[features].T)
        return self.intercept[features] + self.log_bias[features] + speaks + log_size[..., None]
