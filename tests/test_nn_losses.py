"""Losses equal torch's and scipy's distributions, and the contrastive one a plain cross-entropy."""

import math

import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

from unisono.nn import losses


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gaussian_kl_equals_that_of_torch_distributions():
    mu, log_var = randn(2, 7, 3), randn(2, 7, 3, seed=1)
    wanted = kl_divergence(Normal(mu, torch.exp(0.5 * log_var)), Normal(0.0, 1.0)).sum(dim=-1)
    torch.testing.assert_close(losses.gaussian_kl(mu, log_var), wanted)


def test_gaussian_kl_is_zero_at_the_prior_and_only_there():
    zero = torch.zeros(1, 2, 3, dtype=torch.float64)
    assert (losses.gaussian_kl(zero, zero) == 0).all()
    assert (losses.gaussian_kl(zero + 0.1, zero) > 0).all()
    assert (losses.gaussian_kl(zero, zero - 0.1) > 0).all()


def test_draws_have_the_mean_and_the_variance_of_the_posterior():
    mu, log_var = torch.tensor([-2.0, 0.5, 7.0]), torch.tensor([-1.0, 0.3, 2.0])
    n = 20_000
    draws = losses.reparameterised(mu.expand(n, 3), log_var.expand(n, 3), randn(n, 3).float())
    error = torch.exp(0.5 * log_var) / math.sqrt(n)
    assert ((draws.mean(dim=0) - mu).abs() < 4.5 * error).all()
    torch.testing.assert_close(draws.var(dim=0), log_var.exp(), rtol=0.05, atol=0)


def test_gradients_reach_mean_and_variance_through_a_draw():
    mu, log_var = randn(2, 7, 3).requires_grad_(), randn(2, 7, 3, seed=1).requires_grad_()
    draw = losses.reparameterised(mu, log_var, randn(2, 7, 3, seed=2))
    draw.sum().backward()
    torch.testing.assert_close(mu.grad, torch.ones_like(mu))
    torch.testing.assert_close(log_var.grad, 0.5 * (draw - mu).detach())
    assert (log_var.grad != 0).all()


def test_a_draw_is_the_mean_where_the_noise_is_zero_and_moves_by_its_deviation():
    mu, log_var = randn(2, 7, 3), randn(2, 7, 3, seed=1)
    assert (losses.reparameterised(mu, log_var, torch.zeros_like(mu)) == mu).all()
    moved = losses.reparameterised(mu, log_var, torch.full_like(mu, 2.0)) - mu
    torch.testing.assert_close(moved, 2.0 * log_var.exp().sqrt())


def test_negative_binomial_equals_that_of_scipy():
    counts = torch.tensor([0.0, 1.0, 2.0, 7.0, 31.0, 500.0], dtype=torch.float64)[:, None]
    log_mean = torch.linspace(-3.0, 6.0, 5, dtype=torch.float64)
    log_theta = torch.tensor(0.7, dtype=torch.float64)
    found = losses.negative_binomial_nll(counts.expand(6, 5), log_mean.expand(6, 5), log_theta.expand(6, 5))
    theta, mean = log_theta.exp().numpy(), log_mean.exp().numpy()
    wanted = -stats.nbinom.logpmf(counts.numpy(), theta, theta / (theta + mean))
    torch.testing.assert_close(found, torch.as_tensor(wanted), rtol=1e-8, atol=1e-8)


def test_negative_binomial_nears_poisson_as_dispersion_vanishes():
    counts, log_mean = torch.arange(7.0).double(), torch.full((7,), 1.1).double()
    found = losses.negative_binomial_nll(counts, log_mean, torch.full((7,), 14.0).double())
    wanted = -stats.poisson.logpmf(counts.numpy(), math.exp(1.1))
    torch.testing.assert_close(found, torch.as_tensor(wanted), rtol=1e-4, atol=1e-4)


def test_bernoulli_equals_that_of_torch_and_is_log_two_at_logit_zero():
    logits, is_open = 3.0 * randn(2, 7, 3), (randn(2, 7, 3, seed=1) > 0).double()
    torch.testing.assert_close(losses.bernoulli_nll(is_open, logits), -Bernoulli(logits=logits).log_prob(is_open))
    at_zero = losses.bernoulli_nll(is_open, torch.zeros_like(logits))
    torch.testing.assert_close(at_zero, torch.full_like(logits, math.log(2.0)))


def test_gaussian_nll_equals_that_of_torch_up_to_its_constant():
    x, mean, log_var = randn(2, 7, 3), randn(2, 7, 3, seed=1), randn(2, 7, 3, seed=2)
    wanted = -Normal(mean, torch.exp(0.5 * log_var)).log_prob(x) - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(losses.gaussian_nll(x, mean, log_var), wanted)


def test_the_mean_code_scores_one_and_the_right_code_zero():
    wanted = 3.0 * randn(2, 53, 5) + 7.0
    centred = wanted - wanted.mean(dim=(0, 1))
    weight = torch.tensor([5.0, 1.0, 2.0, 0.5, 0.1]).double()
    weight = weight / (weight * centred.square().mean(dim=(0, 1))).sum()
    mean = wanted.mean(dim=(0, 1)).expand_as(wanted)
    assert losses.code_error(mean, wanted, weight).mean().item() == pytest.approx(1.0)
    assert (losses.code_error(wanted, wanted, weight) == 0).all()


def test_code_error_weighs_each_code():
    found, wanted = randn(2, 7, 3), randn(2, 7, 3, seed=1)
    weight = torch.tensor([1.0, 10.0, 0.0]).double()
    by_hand = (found[..., 0] - wanted[..., 0]) ** 2 + 10 * (found[..., 1] - wanted[..., 1]) ** 2
    torch.testing.assert_close(losses.code_error(found, wanted, weight), by_hand)


LOG_TEN = torch.full((2,), math.log(10.0), dtype=torch.float64)


def contrast(left, right, technical=None, has_both=None, log_scale=LOG_TEN):
    """info_nce of 2 members x 7 cells, all of one batch and with both views unless told."""
    n = left.shape[1]
    technical = torch.zeros(n, dtype=torch.int64) if technical is None else technical
    has_both = torch.ones(n, dtype=torch.bool) if has_both is None else has_both
    same = (technical[:, None] == technical[None]).expand(2, n, n)
    return losses.info_nce(left, right, log_scale, same, has_both.expand(2, n))


@pytest.fixture
def unit():
    return functional.normalize(randn(2, 7, 5), dim=-1), functional.normalize(randn(2, 7, 5, seed=1), dim=-1)


def test_cells_that_all_look_alike_score_log_n(unit):
    same = unit[0][:, :1].expand(2, 7, 5)
    torch.testing.assert_close(contrast(same, same), torch.full((2, 7), math.log(7.0)).double())


def test_no_similarity_at_all_scores_log_n():
    left, right = torch.zeros(2, 7, 8).double(), torch.zeros(2, 7, 8).double()
    left[..., 0], right[..., 1] = 1.0, 1.0
    torch.testing.assert_close(contrast(left, right), torch.full((2, 7), math.log(7.0)).double())


def test_cells_that_name_their_partners_surely_score_zero():
    apart = torch.eye(7, dtype=torch.float64).expand(2, 7, 7)
    assert (contrast(apart, apart, log_scale=torch.full((2,), math.log(100.0)).double()) < 1e-12).all()
    style_transfer = apart.roll(1, dims=1)
    assert (contrast(apart, style_transfer, log_scale=torch.full((2,), math.log(100.0)).double()) > 99.0).all()


def test_loss_equals_plain_cross_entropy_both_ways(unit):
    left, right = unit
    labels = torch.arange(7)
    for member in range(2):
        scores = 10.0 * left[member] @ right[member].T
        wanted = (functional.cross_entropy(scores, labels) + functional.cross_entropy(scores.T, labels)) / 2
        torch.testing.assert_close(contrast(left, right)[member].mean(), wanted)


def test_loss_of_each_cell_is_the_mean_of_its_row_and_its_column(unit):
    left, right = unit
    scores = 10.0 * left[1] @ right[1].T
    labels = torch.arange(7)
    rows = functional.cross_entropy(scores, labels, reduction="none")
    columns = functional.cross_entropy(scores.T, labels, reduction="none")
    assert (rows - columns).abs().max() > 0.5
    torch.testing.assert_close(contrast(left, right)[1], (rows + columns) / 2)


def test_swapping_the_sides_changes_nothing_but_shuffling_one_side_does(unit):
    left, right = unit
    torch.testing.assert_close(contrast(left, right), contrast(right, left))
    assert (contrast(left, right.roll(1, dims=1)) - contrast(left, right)).abs().max() > 0.1


def test_each_member_has_its_own_temperature(unit):
    left, right = unit
    log_scale = torch.tensor([0.0, math.log(30.0)]).double()
    found = contrast(left, right, log_scale=log_scale)
    for member, scale in enumerate((1.0, 30.0)):
        both = torch.full((2,), math.log(scale)).double()
        torch.testing.assert_close(found[member], contrast(left, right, log_scale=both)[member])
    assert (found[0] - found[1]).abs().max() > 0.1


TECHNICAL = torch.tensor([0, 0, 0, 1, 1, 0, 1])


def test_cells_of_other_batches_are_no_negatives(unit):
    left, right = unit
    found = contrast(left, right, TECHNICAL)
    moved_left, moved_right = left.clone(), right.clone()
    moved_left[:, TECHNICAL == 1], moved_right[:, TECHNICAL == 1] = unit[1][:, :3], unit[0][:, 4:]
    moved = contrast(moved_left, moved_right, TECHNICAL)
    torch.testing.assert_close(found[:, TECHNICAL == 0], moved[:, TECHNICAL == 0])
    assert (found[:, TECHNICAL == 1] - moved[:, TECHNICAL == 1]).abs().max() > 0.1


def test_each_batch_scores_as_if_it_were_alone(unit):
    left, right = unit
    found = contrast(left, right, TECHNICAL)
    for name in (0, 1):
        rows = name == TECHNICAL
        torch.testing.assert_close(found[:, rows], contrast(left[:, rows], right[:, rows]))
    assert (found < contrast(left, right)).all()


def test_cells_without_both_views_score_zero_and_are_nobodys_negatives(unit):
    left, right = unit
    has_both = torch.tensor([True, False, True, True, True, False, True])
    found = contrast(left, right, has_both=has_both)
    assert (found[:, ~has_both] == 0).all()
    torch.testing.assert_close(found[:, has_both], contrast(left[:, has_both], right[:, has_both]))


def test_gradients_stay_finite_where_cells_lack_a_view_or_are_alone(unit):
    left, right = (side.clone().requires_grad_() for side in unit)
    has_both = torch.tensor([True, False, True, True, True, False, True])
    contrast(left, right, torch.tensor([0, 0, 0, 1, 1, 0, 2]), has_both).sum().backward()
    assert torch.isfinite(left.grad).all()
    assert (left.grad[:, [1, 5, 6]] == 0).all()
    assert (left.grad[:, 0] != 0).any()


def test_the_error_over_all_features_is_the_weighted_error_of_the_code():
    predicted, target, weight = torch.randn(2, 7, 5), torch.randn(2, 7, 5), torch.rand(5)
    roots = torch.stack([torch.diag(weight.sqrt()), torch.zeros(5, 5)])
    row_of = torch.tensor([[0, 1, 0, 0, 1, 0, 1], [1, 0, 0, 1, 0, 0, 0]])
    found = losses.measured_code_error(predicted, target, roots, row_of)
    wanted = losses.code_error(predicted, target, weight) * (row_of == 0)
    torch.testing.assert_close(found, wanted)


def test_the_error_over_measured_features_ignores_what_moves_the_others_alone():
    """With B of orthonormal columns and B_m some of its rows, |B_m e|² is eᵀ B_mᵀ B_m e."""
    basis = torch.linalg.qr(torch.randn(11, 3, dtype=torch.float64))[0]
    part = basis[[0, 2, 3, 7]]
    values, vectors = torch.linalg.eigh(part.T @ part)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    error = torch.randn(1, 7, 3, dtype=torch.float64)
    found = losses.measured_code_error(error, torch.zeros_like(error), root[None], torch.zeros(1, 7, dtype=torch.long))
    torch.testing.assert_close(found, (error @ part.T).square().sum(dim=-1))
