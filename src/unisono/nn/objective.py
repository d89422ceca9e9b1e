"""The objective: terms of one mini-batch, apart until the weighted sum; the only place that samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from unisono.config import FitConfig, Likelihood
from unisono.nn import losses
from unisono.nn.model import Network
from unisono.nn.modules import FeatureHead, Posterior
from unisono.types import Modality

ALL_CELLS = slice(None)


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

    def part(self, cells: slice) -> ViewBatch:
        """Of some of the cells."""
        return self if cells == ALL_CELLS else self._changed(lambda values: values[:, cells])

    def padded(self, n_more: int) -> ViewBatch:
        """With copies of the first cell behind the others, which count as without this modality."""
        longer = self._changed(lambda values: _with_copies(values, n_more))
        return replace(longer, has=functional.pad(self.has, (0, n_more)))

    def _changed(self, change: Callable[[Tensor], Tensor]) -> ViewBatch:
        """With another selection of cells in every column."""
        measured = self.measured and replace(self.measured, row_of=change(self.measured.row_of))
        factors = None if self.factors is None else change(self.factors)
        return replace(
            self, **{name: change(getattr(self, name)) for name in _COLUMNS}, measured=measured, factors=factors
        )


_COLUMNS = ("x", "depth", "offset", "target", "counts", "log_size", "has")


def _with_copies(values: Tensor, n_more: int) -> Tensor:
    """Values of members and cells with copies of the first cell behind the others."""
    return torch.cat([values, values[:, :1].expand(-1, n_more, *values.shape[2:])], dim=1)


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

    def padded(self, n_more: int) -> Batch:
        """With more cells behind the others that have no modality, and so take part in no term."""
        if n_more == 0:
            return self
        n_members, n_cells = self.technical.shape
        themselves = torch.arange(n_cells, n_cells + n_more, device=self.permuted.device).expand(n_members, -1)
        return Batch(
            {m: view.padded(n_more) for m, view in self.views.items()},
            _with_copies(self.technical, n_more),
            torch.cat([self.permuted, themselves], dim=1),
        )


class Posteriors(NamedTuple):
    """What one modality says of cells: q(content | x) and q(style | x)."""

    content: Posterior
    style: Posterior


class Noise(NamedTuple):
    """Standard normal draws for the content and the style of each cell in one modality."""

    content: Float[Tensor, "member cell content"]
    style: Float[Tensor, "member cell style"]


def terms(
    network: Network, batch: Batch, config: FitConfig, kl_fraction: float, generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms of the objective, means over cells and members; terms of weight zero are absent.

    `kl_fraction` is the fraction of the KL's weight reached in the warm-up, 0 to 1.
    """
    noise = drawn_noise(network, batch, generator)
    found = {m: posteriors(network, m, view) for m, view in batch.views.items()}
    result = terms_within_cells(network, batch, found, noise, config, kl_fraction)
    if config.weights.contrastive > 0:
        same_batch = batch.technical[:, :, None] == batch.technical[:, None, :]
        for a, b in combinations(batch.views, 2):
            has_both = batch.views[a].has & batch.views[b].has
            left, right = (network.similarity_features(found[m].content.mu) for m in (a, b))
            loss = losses.info_nce(left, right, network.inverse_temperature(), same_batch, has_both)
            _add(result, "contrastive", config.weights.contrastive, loss * has_both, has_both)
    return result


def drawn_noise(network: Network, batch: Batch, generator: torch.Generator) -> dict[Modality, Noise]:
    """The noise of a mini-batch; the same whoever computes which of its cells."""

    def draw(x: Tensor, n_dims: int) -> Tensor:
        return torch.randn(*x.shape[:2], n_dims, generator=generator, device=x.device, dtype=x.dtype)

    return {m: Noise(draw(v.x, network.content_dim), draw(v.x, network.style_dim)) for m, v in batch.views.items()}


def posteriors(network: Network, modality: Modality, view: ViewBatch) -> Posteriors:
    """Those of the cells of a view."""
    content, statistics = network.content(modality, view.x)
    return Posteriors(content, network.style(modality, statistics, view.depth, view.offset))


def terms_within_cells(
    network: Network,
    batch: Batch,
    found: Mapping[Modality, Posteriors],
    noise: Mapping[Modality, Noise],
    config: FitConfig,
    kl_fraction: float,
    cells: slice = ALL_CELLS,
) -> dict[str, Float[Tensor, ""]]:
    """The terms that are sums over cells, all but the contrastive one: of some cells, over the number of all.

    Added up over slices that hold each cell once, they are the means over the whole mini-batch.

    Args:
        network: whose decoders reconstruct these cells.
        batch: all cells of the mini-batch.
        found: posteriors of all of them, whose styles these cells may take.
        noise: of all of them.
        config: weights of the terms.
        kl_fraction: as of `terms`.
        cells: for whom the terms are computed.
    """
    weights, views = config.weights, {m: view.part(cells) for m, view in batch.views.items()}
    contents = {
        m: losses.reparameterised(*(_of(x, cells) for x in (*found[m].content, noise[m].content))) for m in views
    }
    styles = {m: losses.reparameterised(*found[m].style, noise[m].style) for m in views}
    permuted = _of(batch.permuted, cells)
    result: dict[str, Tensor] = {}

    def add(name: str, weight: float, per_cell: Tensor, mask: Tensor) -> None:
        _add(result, name, weight, per_cell * _of(mask, cells), mask)

    reconstructs = weights.likelihood > 0 or weights.readout > 0
    for target, view in views.items():
        n_features, has = network.head(target).log_bias.shape[0], batch.views[target].has
        if weights.kl > 0 and kl_fraction > 0:
            kl = losses.gaussian_kl(*(_of(x, cells) for x in found[target].content))
            if config.architecture.style:
                kl = kl + losses.gaussian_kl(*(_of(x, cells) for x in found[target].style))
            add("kl", weights.kl * kl_fraction / n_features, kl, has)
        if not reconstructs:
            continue
        for source in views:
            is_cross = source != target
            if is_cross and weights.cross == 0:
                continue
            mask, prefix, factor = has & batch.views[source].has, "own", 1.0
            if is_cross:
                style = torch.gather(styles[target], 1, permuted[..., None].expand(-1, -1, styles[target].shape[2]))
                mask = mask & torch.gather(has, 1, batch.permuted)
                prefix, factor = "cross", weights.cross
            else:
                style = _of(styles[target], cells)
            codes = network.decode(target, contents[source], style, view.offset)
            if weights.likelihood > 0:
                nll = _nll(network.head(target), codes, view)
                add(f"{prefix}_likelihood", weights.likelihood * factor, nll, mask)
            if weights.readout > 0:
                add(f"{prefix}_readout", weights.readout * factor, _code_error(codes, view), mask)
    return result


def _add(result: dict[str, Tensor], name: str, weight: float, masked: Tensor, mask: Tensor) -> None:
    """Add to a term the sum of values over the number of cells in a mask; changes `result`."""
    value = weight * masked.sum() / mask.sum().clamp(min=1)
    result[name] = result[name] + value if name in result else value


def _of(values: Tensor, cells: slice) -> Tensor:
    """Some cells of values of members and cells."""
    return values if cells == ALL_CELLS else values[:, cells]


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
