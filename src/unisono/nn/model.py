"""Network: encoders, style encoders, decoders and heads of all modalities; deterministic, it never samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unisono.config import Architecture, FitConfig, Likelihood
from unisono.nn.modules import ContentEncoder, Decoder, FeatureHead, Posterior, StyleEncoder
from unisono.types import Modality

_LOG_VAR_OF_NONE = -60.0
"""A variance so small that a draw is its mean, in float32."""


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """What a modality's networks are built from: matrices of the linear path and of the projection.

    Attributes:
        encoder: code x content, decoder: content x code, of the linear path.
        loadings: feature x scaled code, intercept and log_bias: one per feature, of the feature head.
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
        self._max_log_scale = -math.log(shape.min_temperature)
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
                initial.loadings, initial.intercept, initial.log_bias, initial.likelihood, shape.value_sharpness
            )
        bounded = correlation.clamp(max=shape.max_correlation)
        slope = bounded / (1.0 - bounded**2)
        self.register_buffer("first_dim_weight", (slope / correlation).sqrt())
        self.register_buffer("first_bias_norm", shape.bias_norm * slope.sum().sqrt().reshape(1))
        weight = shape.initial_linear_weight if shape.linear_weight is None else shape.linear_weight
        self.register_buffer("linear_weight", torch.tensor(weight if shape.linear_path else 0.0))
        self.dim_weight = nn.Parameter(self.first_dim_weight.expand(n_members, 1, -1).clone())
        self.bias_norm = nn.Parameter(self.first_bias_norm.expand(n_members, 1, 1).clone())
        self.log_scale = nn.Parameter(torch.full((n_members,), -math.log(shape.initial_temperature)))

    @classmethod
    def of_state(
        cls, config: FitConfig, likelihoods: Mapping[Modality, Likelihood], state: Mapping[str, Tensor]
    ) -> Network:
        """The network of a config with saved weights in it, whose shapes give the sizes.

        Raises:
            RuntimeError: the weights are not those of such a network.
            KeyError: weights of a modality are missing.
        """
        initial_weights = {}
        for m in likelihoods:
            encoder, loadings = state[f"contents.{m}.linear"], state[f"heads.{m}.loadings"]
            if encoder.shape[1] != config.architecture.content_dim:
                raise RuntimeError(
                    f"{m}: {encoder.shape[1]} dimensions of content, {config.architecture.content_dim} expected"
                )
            initial_weights[m] = InitialWeights(
                encoder=torch.zeros_like(encoder),
                decoder=torch.zeros_like(encoder.T),
                loadings=torch.zeros_like(loadings),
                intercept=torch.zeros(len(loadings)),
                log_bias=torch.zeros(len(loadings)),
                likelihood=likelihoods[m],
            )
        network = cls(initial_weights, torch.zeros(config.architecture.content_dim), config, torch.Generator())
        network.load_state_dict(dict(state))
        return network

    @staticmethod
    def shapes(config: FitConfig, sizes: Mapping[Modality, tuple[int, int]]) -> dict[str, tuple[int, ...]]:
        """Name and shape of each array in the state of the network of a config, which is not built.

        Args:
            config: gives all other sizes.
            sizes: codes and features of each modality.
        """
        content, n = config.architecture.content_dim, config.n_members
        found: dict[str, tuple[int, ...]] = {"first_dim_weight": (content,), "first_bias_norm": (1,)}
        found |= {"linear_weight": (), "dim_weight": (n, 1, content), "bias_norm": (n, 1, 1), "log_scale": (n,)}
        for m, (code, feature) in sizes.items():
            found |= {f"contents.{m}.linear": (code, content), f"contents.{m}.log_var": (content,)}
            found |= {f"decoders.{m}.linear": (content, code), f"heads.{m}.loadings": (feature, code)}
            found |= {f"heads.{m}.{name}": (feature,) for name in ("intercept", "log_bias", "log_theta")}
            found[f"heads.{m}.log_slope"] = ()
            for name, (n_in, n_out) in _layers(config.architecture, m, code).items():
                found |= {f"{name}.weight": (n, n_in, n_out), f"{name}.bias": (n, 1, n_out)}
        return found

    @property
    def n_members(self) -> int:
        """Networks in the ensemble."""
        return int(self.log_scale.shape[0])

    @property
    def content_dim(self) -> int:
        """Dimensions of content."""
        return int(self.first_dim_weight.shape[0])

    @property
    def style_dim(self) -> int:
        """Dimensions of style."""
        return self._style_dim

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
            return Posterior(none, torch.full_like(none, _LOG_VAR_OF_NONE))
        posterior: Posterior = self.styles[modality](statistics, depth, offset)
        return posterior

    def decode(
        self,
        modality: Modality,
        z: Float[Tensor, "member cell content"],
        style: Float[Tensor, "member cell style"],
        offset: Float[Tensor, "member cell code"],
    ) -> Float[Tensor, "member cell code"]:
        """Scaled codes of a modality from content in a style."""
        codes: Tensor = self.decoders[modality](z, style, offset)
        return codes

    def head(self, modality: Modality) -> FeatureHead:
        head = self.heads[modality]
        assert type(head) is FeatureHead
        return head

    def similarity_features(self, z: Float[Tensor, "member cell content"]) -> Float[Tensor, "member cell compared"]:
        """Content as unit vectors whose inner product is the similarity of two cells.

        A learned weight per dimension, shared by the modalities, scales each one. It starts where the
        inner product is the log density ratio of a pair under probabilistic CCA, Σ ρ u v / (1 − ρ²) for canonical
        variates u and v. A learned constant appended to content keeps cells of small norm, which are uncertain,
        from being compared by direction alone.
        """
        return _unit(z * self.dim_weight, self.bias_norm)

    def linear_content(self, modality: Modality, x: Float[Tensor, "cell code"]) -> Float[Tensor, "cell compared"]:
        """Content by the linear path alone, compared as at the start: the closed-form member of the ensemble."""
        content = x @ self.contents[modality].get_buffer("linear")
        return _unit(content * self.first_dim_weight, self.first_bias_norm)

    def inverse_temperature(self) -> Float[Tensor, " member"]:
        """Log of the learned inverse temperature, clamped (at log 100 by default, as in CLIP)."""
        return self.log_scale.clamp(max=self._max_log_scale)


def _layers(shape: Architecture, m: Modality, code: int) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of each `MemberLinear` of a modality with so many codes."""
    width, content, style = shape.n_channels * shape.n_tokens, shape.content_dim, shape.style_dim
    affine, hidden = 2 * shape.n_channels, shape.style_hidden * shape.style_dim
    found = {
        f"contents.{m}.to_tokens": (code, width),
        f"contents.{m}.to_mu": (width, content),
        f"contents.{m}.to_log_var": (width, content),
        f"styles.{m}.hidden": (affine + 1 + code, hidden),
        f"styles.{m}.to_mu": (hidden, style),
        f"styles.{m}.to_log_var": (hidden, style),
        f"decoders.{m}.to_tokens": (content, width),
        f"decoders.{m}.to_codes": (width, code),
    }
    for block in range(shape.n_blocks):
        found |= {f"{part}.{m}.mix.{block}": (width, width) for part in ("contents", "decoders")}
        found[f"decoders.{m}.styles.{block}"] = (style, affine)
    return found


def _unit(z: Float[Tensor, "*cell content"], constant: Float[Tensor, "*one"]) -> Float[Tensor, "*cell compared"]:
    return functional.normalize(torch.cat([z, constant.expand(*z.shape[:-1], 1)], dim=-1), dim=-1)
