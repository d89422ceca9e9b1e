"""Content encoder, which removes style by instance normalisation, and style encoder, which keeps what was removed."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unisono.config import Architecture
from unisono.nn.layers import MemberLinear, instance_norm, tokens_of


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
        return instance_norm(tokens_of(h, self._shape.n_channels))[0].flatten(2)


class StyleEncoder(nn.Module):
    """What normalisation took away to the posterior of style: token statistics, depth, and the batch's offset."""

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
