"""Losses as functions of tensors, in nats, one value per cell; weights and sums are elsewhere."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional


def gaussian_kl(
    mu: Float[Tensor, "member cell dim"], log_var: Float[Tensor, "member cell dim"]
) -> Float[Tensor, "member cell"]:
    """KL(N(mu, exp(log_var)) ‖ N(0, I)) in nats per cell; 0 where the posterior is the prior.

    References:
        Kingma & Welling, "Auto-encoding variational Bayes", 2014, appendix B.
    """
    return 0.5 * (mu.square() + log_var.exp() - 1.0 - log_var).sum(dim=-1)


def reparameterised(
    mu: Float[Tensor, "*axes"], log_var: Float[Tensor, "*axes"], epsilon: Float[Tensor, "*axes"]
) -> Float[Tensor, "*axes"]:
    """A draw z = mu + sigma ⊙ epsilon, epsilon being standard normal; gradients reach mu and log_var through it."""
    return mu + torch.exp(0.5 * log_var) * epsilon


def negative_binomial_nll(
    counts: Float[Tensor, "*axes"], log_mean: Float[Tensor, "*axes"], log_theta: Float[Tensor, "*axes"]
) -> Float[Tensor, "*axes"]:
    """−log NB(counts; mean m, inverse dispersion θ), variance m + m²/θ, in nats.

    References:
        Lopez et al., "Deep generative modeling for single-cell transcriptomics", 2018.
    """
    theta = torch.exp(log_theta)
    log_total = torch.logaddexp(log_mean, log_theta)
    is_seen = counts > 0  # most counts are 0, where the binomial coefficient is 1
    k, theta_seen = counts[is_seen], theta[is_seen]
    log_binomial = torch.lgamma(k + theta_seen) - torch.lgamma(theta_seen) - torch.lgamma(k + 1.0)
    log_choose = torch.zeros_like(log_total).masked_scatter(is_seen, log_binomial)
    return -(log_choose + theta * (log_theta - log_total) + counts * (log_mean - log_total))


def bernoulli_nll(is_seen: Float[Tensor, "*axes"], logits: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """−log Bernoulli(is_seen; logistic(logits)) in nats; log 2 at logit 0."""
    return functional.binary_cross_entropy_with_logits(logits, is_seen, reduction="none")


def code_error(
    predicted: Float[Tensor, "member cell code"],
    target: Float[Tensor, "member cell code"],
    weight: Float[Tensor, " code"],
) -> Float[Tensor, "member cell"]:
    """Weighted squared error of a cell's code; with weights that sum the code's variance to 1, the mean scores 1."""
    return ((predicted - target).square() * weight).sum(dim=-1)


def measured_code_error(
    predicted: Float[Tensor, "member cell code"],
    target: Float[Tensor, "member cell code"],
    roots: Float[Tensor, "row code code"],
    row_of: Int[Tensor, "member cell"],
) -> Float[Tensor, "member cell"]:
    """|R e|² of the error e of a cell's code, with R that of the cell's row; `code_error` where R² is diagonal."""
    gap = predicted - target
    by_row = torch.stack([(gap @ root).square().sum(dim=-1) for root in roots], dim=-1)
    return by_row.gather(-1, row_of[..., None])[..., 0]


def info_nce(
    left: Float[Tensor, "member cell dim"],
    right: Float[Tensor, "member cell dim"],
    log_scale: Float[Tensor, " member"],
    is_negative: Bool[Tensor, "member cell cell"],
    has_both: Bool[Tensor, "member cell"],
) -> Float[Tensor, "member cell"]:
    """Symmetric contrastive loss of each cell in nats: log n at chance among n, 0 when it is sure of its partner.

    Rows of `left` and `right` are unit vectors, row i of both is the same cell. `log_scale` is the log of the inverse
    temperature, clamped at log 100 by the caller. Cell j enters the choice of cell i where `is_negative[i, j]` (same
    technical batch) or j = i; cells without both views (`has_both` false) score 0 and are no negatives.

    References:
        Radford et al., "Learning transferable visual models from natural language supervision", 2021, fig. 3.
    """
    scores = torch.exp(log_scale)[:, None, None] * left @ right.transpose(1, 2)
    itself = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    enters = (is_negative & has_both[:, None, :] & has_both[:, :, None]) | itself
    scores = scores.masked_fill(~enters, float("-inf"))
    partner = scores.diagonal(dim1=1, dim2=2)
    loss = 0.5 * (torch.logsumexp(scores, dim=2) + torch.logsumexp(scores, dim=1)) - partner
    return torch.where(has_both, loss, torch.zeros_like(loss))


def info_nce_of_some(
    left: Float[Tensor, "member cell dim"],
    right: Float[Tensor, "member cell dim"],
    log_scale: Float[Tensor, " member"],
    is_negative: Bool[Tensor, "member some cell"],
    has_both: Bool[Tensor, "member cell"],
    some: slice,
) -> Float[Tensor, "member some"]:
    """`info_nce` of some cells in a row, among all: without the products of the others with each other.

    `is_negative` has a row for each of these cells; it has to be symmetric between cells.
    """
    scale, others = torch.exp(log_scale)[:, None, None], has_both[:, None, :]
    enters = is_negative & others & has_both[:, some, None]
    enters.diagonal(offset=some.start, dim1=1, dim2=2).fill_(True)
    forth = (scale * left[:, some] @ right.transpose(1, 2)).masked_fill(~enters, float("-inf"))
    back = (scale * right[:, some] @ left.transpose(1, 2)).masked_fill(~enters, float("-inf"))
    partner = forth.diagonal(offset=some.start, dim1=1, dim2=2)
    loss = 0.5 * (torch.logsumexp(forth, dim=2) + torch.logsumexp(back, dim=2)) - partner
    return torch.where(has_both[:, some], loss, torch.zeros_like(loss))


def gaussian_nll(
    x: Float[Tensor, "*axes"], mean: Float[Tensor, "*axes"], log_var: Float[Tensor, "*axes"]
) -> Float[Tensor, "*axes"]:
    """−log N(x; mean, exp(log_var)) in nats, without the constant ½ log 2π."""
    return 0.5 * ((x - mean).square() * torch.exp(-log_var) + log_var)
