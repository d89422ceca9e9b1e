"""Network: encoders, style encoders, decoders and heads of all modalities; deterministic, it never samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unisono.config import FitConfig, Likelihood
from unisono.nn.decoders import Decoder, FeatureHead
from unisono.nn.encoders import ContentEncoder, Posterior, StyleEncoder
from unisono.types import Modality

MAX_LOG_SCALE = math.log(100.0)
_MAX_CORRELATION = 0.9
"""Correlation above which a dimension gains no more weight: ρ / (1 − ρ²) would else let one dimension decide."""
_FIRST_LINEAR_WEIGHT = 0.2
_BIAS_NORM = 0.5
"""Norm, in units of a typical cell's, of the constant that stands beside content when cells are compared."""


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """What a modality's networks are built from: matrices of the linear path and of the transform.

    Attributes:
        encoder: code x content, decoder: content x code, of the linear path.
        loadings: feature x scaled code, intercept and log_bias: one a feature, of the feature head.
        likelihood: of the modality's counts.
    """

    encoder: Tensor
    decoder: Tensor
    loadings: Tensor
    intercept: Tensor
    log_bias: Tensor
    likelihood: Likelihood


class Network(nn.Module):
    """The ensemble: for every modality a content encoder, a style encoder, a decoder and a feature head."""

    first_dim_weight: Tensor
    first_bias_norm: Tensor
    linear_weight: Tensor

    def __init__(
        self,
        initial_weights: Mapping[Modality, InitialWeights],
        correlation: Float[Tensor, " content"],
        config: FitConfig,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        shape, n_members = config.architecture, config.n_members
        self._uses_style = shape.style
        self._style_dim = shape.style_dim
        self.contents = nn.ModuleDict()
        self.styles = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for modality, initial in initial_weights.items():
            n_codes = initial.encoder.shape[0]
            self.contents[modality] = ContentEncoder(initial.encoder, correlation, shape, n_members, generator)
            self.styles[modality] = StyleEncoder(n_codes, shape, n_members, generator)
            self.decoders[modality] = Decoder(initial.decoder, shape, n_members, generator)
            self.heads[modality] = FeatureHead(
                initial.loadings, initial.intercept, initial.log_bias, initial.likelihood
            )
        bounded = correlation.clamp(max=_MAX_CORRELATION)
        slope = bounded / (1.0 - bounded**2)
        self.register_buffer("first_dim_weight", (slope / correlation).sqrt())
        self.register_buffer("first_bias_norm", _BIAS_NORM * slope.sum().sqrt().reshape(1))
        weight = _FIRST_LINEAR_WEIGHT if shape.linear_weight is None else shape.linear_weight
        self.register_buffer("linear_weight", torch.tensor(weight if shape.linear_path else 0.0))
        self.dim_weight = nn.Parameter(self.first_dim_weight.expand(n_members, 1, -1).clone())
        self.bias_norm = nn.Parameter(self.first_bias_norm.expand(n_members, 1, 1).clone())
        self.log_scale = nn.Parameter(torch.full((n_members,), math.log(10.0)))

    @property
    def content_dim(self) -> int:
        """Dimensions of content."""
        return int(self.first_dim_weight.shape[0])

    def content(
        self, modality: Modality, x: Float[Tensor, "member cell code"]
    ) -> tuple[Posterior, Float[Tensor, "member cell statistic"]]:
        """Posterior of content given batch-centred codes, and the statistics that make its style."""
        posterior: tuple[Posterior, Tensor] = self.contents[modality](x)
        return posterior

    def style(
        self,
        modality: Modality,
        statistics: Float[Tensor, "member cell statistic"],
        depth: Float[Tensor, "member cell"],
        offset: Float[Tensor, "member cell code"],
    ) -> Posterior:
        """Posterior of style; fixed at the prior's mean, with no variance, when the style path is switched off."""
        if not self._uses_style:
            none = statistics.new_zeros(*statistics.shape[:2], self._style_dim)
            return Posterior(none, torch.full_like(none, -60.0))
        posterior: Posterior = self.styles[modality](statistics, depth, offset)
        return posterior

    def decode(
        self,
        modality: Modality,
        z: Float[Tensor, "member cell content"],
        style: Float[Tensor, "member cell style"],
        offset: Float[Tensor, "member cell code"],
    ) -> Float[Tensor, "member cell code"]:
        """Scaled codes of a modality from content in the voice of a style."""
        codes: Tensor = self.decoders[modality](z, style, offset)
        return codes

    def head(self, modality: Modality) -> FeatureHead:
        head = self.heads[modality]
        assert type(head) is FeatureHead
        return head

    def similarity_features(self, z: Float[Tensor, "member cell content"]) -> Float[Tensor, "member cell compared"]:
        """Content as unit vectors whose inner product is the similarity of two cells.

        A learned weight a dimension, shared by the modalities, says how far each one is believed. It starts where the
        inner product is the log density ratio of a pair under probabilistic CCA, Σ ρ u v / (1 − ρ²) for canonical
        variates u and v. A learned constant beside content keeps cells of small norm, whose content says little, from
        being compared by direction alone.
        """
        return _unit(z * self.dim_weight, self.bias_norm)

    def linear_content(self, modality: Modality, x: Float[Tensor, "cell code"]) -> Float[Tensor, "cell compared"]:
        """Content by the linear path alone, compared as at the start: the closed-form member of the ensemble."""
        content = x @ self.contents[modality].get_buffer("linear")
        return _unit(content * self.first_dim_weight, self.first_bias_norm)

    def inverse_temperature(self) -> Float[Tensor, " member"]:
        """Log of the learned inverse temperature, clamped at log 100."""
        return self.log_scale.clamp(max=MAX_LOG_SCALE)


def _unit(z: Float[Tensor, "*cell content"], constant: Float[Tensor, "*one"]) -> Float[Tensor, "*cell compared"]:
    return functional.normalize(torch.cat([z, constant.expand(*z.shape[:-1], 1)], dim=-1), dim=-1)
