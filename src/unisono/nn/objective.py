"""The objective: terms of one mini-batch, apart until the weighted sum; the only place that samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unisono.config import FitConfig, Likelihood
from unisono.nn import losses
from unisono.nn.model import Network
from unisono.nn.modules import FeatureHead, Posterior
from unisono.types import Modality


@dataclass(frozen=True, eq=False)
class MeasuredCells:
    """Which features were measured in which cells, where not all were.

    Attributes:
        row_of: row of each cell.
        features: whether the cells of a row were measured for a feature.
        roots: of each row, the matrix of `losses.measured_code_error`.
    """

    row_of: Int[Tensor, "*cells"]
    features: Bool[Tensor, "row feature"]
    roots: Float[Tensor, "row code code"]

    def take(self, cells: Int[Tensor, "member cell"], features: Int[Tensor, " sampled"]) -> MeasuredCells:
        """Of some of the cells and some of the features."""
        return replace(self, row_of=self.row_of[cells], features=self.features[:, features])


@dataclass(frozen=True, eq=False)
class ViewBatch:
    """One modality of a mini-batch.

    Attributes:
        x: batch-centred codes of the thinned counts: the input of the encoder.
        depth: standardised log depth of the thinned counts.
        offset: offset of each cell's batch.
        target: scaled codes of the full counts, with the batch's offset: the target of the decoder.
        counts: raw counts of the sampled features, 0 or 1 for a Bernoulli likelihood.
        features: which features were sampled.
        log_size: log of the factor from a value on the modality's scale to counts; log depth about its
            mean for a Bernoulli likelihood.
        has: whether the cell has this modality; rows of cells that lack it hold zeros.
        code_weight: weights of `losses.code_error`.
        measured: which of the sampled features were measured; None where all were, in every training cell.
        factors: of the values of the sampled features, which make batches alike; None where they are as they are.
    """

    x: Float[Tensor, "member cell code"]
    depth: Float[Tensor, "member cell"]
    offset: Float[Tensor, "member cell code"]
    target: Float[Tensor, "member cell code"]
    counts: Float[Tensor, "member cell sampled"]
    features: Int[Tensor, " sampled"]
    log_size: Float[Tensor, "member cell"]
    has: Bool[Tensor, "member cell"]
    code_weight: Float[Tensor, " code"]
    measured: MeasuredCells | None = None
    factors: Float[Tensor, "member cell sampled"] | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """A mini-batch of cells, each member with cells of its own.

    Attributes:
        views: by modality.
        technical: index of each cell's technical batch.
        permuted: for each cell another one of the same batch, whose style it takes in reconstruction across modalities.
    """

    views: Mapping[Modality, ViewBatch]
    technical: Int[Tensor, "member cell"]
    permuted: Int[Tensor, "member cell"]


def terms(
    network: Network, batch: Batch, config: FitConfig, kl_fraction: float, generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms of the objective, means over cells and members; terms of weight zero are absent.

    `kl_fraction` is the fraction of the KL's weight reached in the warm-up, 0 to 1.
    """
    weights = config.weights
    encoded = {m: _encode(network, m, view, generator) for m, view in batch.views.items()}
    result: dict[str, Tensor] = {}

    def add(name: str, weight: float, per_cell: Tensor, mask: Tensor) -> None:
        value = weight * (per_cell * mask).sum() / mask.sum().clamp(min=1)
        result[name] = result[name] + value if name in result else value

    reconstructs = weights.likelihood > 0 or weights.readout > 0
    for target, view in batch.views.items():
        n_features = network.head(target).log_bias.shape[0]
        if weights.kl > 0 and kl_fraction > 0:
            kl = losses.gaussian_kl(*encoded[target].content)
            if config.architecture.style:
                kl = kl + losses.gaussian_kl(*encoded[target].style)
            add("kl", weights.kl * kl_fraction / n_features, kl, view.has)
        if not reconstructs:
            continue
        for source in batch.views:
            is_cross = source != target
            if is_cross and weights.cross == 0:
                continue
            style, mask = encoded[target].drawn_style, view.has & batch.views[source].has
            prefix, factor = "own", 1.0
            if is_cross:
                style = torch.gather(style, 1, batch.permuted[..., None].expand_as(style))
                mask = mask & torch.gather(view.has, 1, batch.permuted)
                prefix, factor = "cross", weights.cross
            codes = network.decode(target, encoded[source].drawn_content, style, view.offset)
            if weights.likelihood > 0:
                nll = _nll(network.head(target), codes, view)
                add(f"{prefix}_likelihood", weights.likelihood * factor, nll, mask)
            if weights.readout > 0:
                add(f"{prefix}_readout", weights.readout * factor, _code_error(codes, view), mask)
    if weights.contrastive > 0:
        same_batch = batch.technical[:, :, None] == batch.technical[:, None, :]
        for a, b in combinations(batch.views, 2):
            has_both = batch.views[a].has & batch.views[b].has
            loss = losses.info_nce(
                network.similarity_features(encoded[a].content.mu),
                network.similarity_features(encoded[b].content.mu),
                network.inverse_temperature(),
                same_batch,
                has_both,
            )
            add("contrastive", weights.contrastive, loss, has_both)
    return result


@dataclass(frozen=True, eq=False)
class _Encoded:
    content: Posterior
    style: Posterior
    drawn_content: Tensor
    drawn_style: Tensor


def _encode(network: Network, modality: Modality, view: ViewBatch, generator: torch.Generator) -> _Encoded:
    content, statistics = network.content(modality, view.x)
    style = network.style(modality, statistics, view.depth, view.offset)
    return _Encoded(
        content, style, losses.reparameterised(*content, generator), losses.reparameterised(*style, generator)
    )


def _nll(head: FeatureHead, codes: Float[Tensor, "member cell code"], view: ViewBatch) -> Float[Tensor, "member cell"]:
    """Negative log likelihood of the sampled features that were measured, in nats per feature."""
    nll = _NLL[head.likelihood](head, codes, view)
    if view.measured is None:
        return nll.mean(dim=-1)
    is_measured = view.measured.features[view.measured.row_of]
    return (nll * is_measured).sum(dim=-1) / is_measured.sum(dim=-1).clamp(min=1)


def _code_error(codes: Float[Tensor, "member cell code"], view: ViewBatch) -> Float[Tensor, "member cell"]:
    """Squared error of the decoded code, over the measured features."""
    if view.measured is None:
        return losses.code_error(codes, view.target, view.code_weight)
    return losses.measured_code_error(codes, view.target, view.measured.roots, view.measured.row_of)


def _bernoulli(
    head: FeatureHead, codes: Float[Tensor, "member cell code"], view: ViewBatch
) -> Float[Tensor, "member cell sampled"]:
    return losses.bernoulli_nll(view.counts, head.logits(codes, view.log_size, view.features))


def _gaussian(
    head: FeatureHead, codes: Float[Tensor, "member cell code"], view: ViewBatch
) -> Float[Tensor, "member cell sampled"]:
    """Of log1p of the counts over the cell's size."""
    values = head.values(codes, view.features)
    measured = torch.log1p(view.counts * torch.exp(-view.log_size)[..., None])
    if view.factors is not None:
        measured = measured * view.factors
    return losses.gaussian_nll(measured, values, -head.log_theta[view.features].expand_as(values))


def _negative_binomial(
    head: FeatureHead, codes: Float[Tensor, "member cell code"], view: ViewBatch
) -> Float[Tensor, "member cell sampled"]:
    values = head.values(codes, view.features)
    if view.factors is not None:
        values = values / view.factors
    log_mean = head.log_mean_counts(values, view.log_size, view.features)
    return losses.negative_binomial_nll(view.counts, log_mean, head.log_theta[view.features].expand_as(values))


_NLL: dict[Likelihood, Callable[[FeatureHead, Tensor, ViewBatch], Tensor]] = {
    "bernoulli": _bernoulli,
    "gaussian": _gaussian,
    "negative_binomial": _negative_binomial,
}
