"""Layers keep members apart, and the two normalisations are each other's inverse."""

import math

import torch
from torch.nn import functional

from unisono.nn.modules import MemberLinear, adaptive_instance_norm, instance_norm
from unisono.nn.modules import tokens_of as split_tokens


def tokens_of(seed=0):
    """2 members x 7 cells x 3 channels x 5 tokens, each channel with a mean and deviation of its own."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(2, 7, 3, 5, generator=generator, dtype=torch.float64)
    return 4.0 * draw + torch.randn(2, 7, 3, 1, generator=generator, dtype=torch.float64) * 9.0


def test_a_cells_vector_is_read_channel_by_channel_and_can_be_read_back():
    tokens = tokens_of()
    torch.testing.assert_close(split_tokens(tokens.flatten(2), 3), tokens, rtol=0, atol=0)
    assert split_tokens(torch.arange(15.0).reshape(1, 1, 15), 3)[0, 0, 1].tolist() == [5, 6, 7, 8, 9]


def test_every_channel_of_every_cell_has_mean_zero_and_variance_one():
    found, _, _ = instance_norm(tokens_of())
    torch.testing.assert_close(found.mean(dim=-1), torch.zeros(2, 7, 3, dtype=torch.float64))
    torch.testing.assert_close(found.var(dim=-1, correction=0), torch.ones(2, 7, 3).double(), rtol=1e-4, atol=0)


def test_instance_norm_equals_that_of_torch():
    tokens = tokens_of()
    wanted = functional.instance_norm(tokens.reshape(14, 3, 5), eps=1e-5).reshape(2, 7, 3, 5)
    torch.testing.assert_close(instance_norm(tokens)[0], wanted)


def test_what_was_removed_gives_back_the_tokens():
    tokens = tokens_of()
    found, mean, log_deviation = instance_norm(tokens)
    torch.testing.assert_close(found * torch.exp(log_deviation)[..., None] + mean[..., None], tokens)


def test_the_removed_statistics_are_mean_and_log_deviation_over_tokens():
    tokens = tokens_of()
    _, mean, log_deviation = instance_norm(tokens)
    torch.testing.assert_close(mean, tokens.mean(dim=-1))
    torch.testing.assert_close(log_deviation, tokens.std(dim=-1, correction=0).log(), rtol=1e-4, atol=1e-5)


def test_shift_and_scale_of_a_channel_are_removed_but_those_of_a_token_are_not():
    tokens = tokens_of() * 1e3
    found = instance_norm(tokens)[0]
    per_channel = torch.tensor([0.5, 2.0, 30.0]).double()[:, None]
    torch.testing.assert_close(instance_norm(tokens * per_channel + 7.0 * per_channel)[0], found, rtol=1e-5, atol=1e-6)
    per_token = torch.tensor([0.5, 2.0, 30.0, 1.0, 1.0]).double()
    assert (instance_norm(tokens * per_token)[0] - found).abs().max() > 0.1


def test_a_constant_channel_becomes_zero_and_not_infinite():
    found, mean, log_deviation = instance_norm(torch.full((1, 2, 3, 5), 4.0))
    torch.testing.assert_close(found, torch.zeros(1, 2, 3, 5))
    torch.testing.assert_close(mean, torch.full((1, 2, 3), 4.0))
    assert torch.isfinite(log_deviation).all()


def test_adaptive_instance_norm_gives_the_mean_and_deviation_asked_for():
    generator = torch.Generator().manual_seed(1)
    shift, log_scale = torch.randn(2, 2, 7, 3, generator=generator, dtype=torch.float64)
    found = adaptive_instance_norm(tokens_of(), shift, log_scale)
    torch.testing.assert_close(found.mean(dim=-1), shift)
    torch.testing.assert_close(found.std(dim=-1, correction=0), log_scale.exp(), rtol=1e-4, atol=0)


def test_adaptive_instance_norm_with_the_removed_statistics_gives_back_the_tokens():
    tokens = tokens_of()
    _, mean, log_deviation = instance_norm(tokens)
    torch.testing.assert_close(adaptive_instance_norm(tokens, mean, log_deviation), tokens)


def test_adaptive_instance_norm_forgets_the_scale_of_the_content():
    tokens, zero = tokens_of() * 1e3, torch.zeros(2, 7, 3, dtype=torch.float64)
    one, other = (adaptive_instance_norm(t, zero, zero) for t in (tokens, 5.0 * tokens - 11.0))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def linear_of(n_members=3, seed=0, **kwargs):
    return MemberLinear(n_members, 5, 11, torch.Generator().manual_seed(seed), **kwargs).double()


def test_a_member_linear_equals_one_torch_linear_a_member():
    layer = linear_of()
    with torch.no_grad():
        layer.bias.copy_(torch.randn(layer.bias.shape))
    x = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for member in range(3):
        wanted = functional.linear(x[member], layer.weight[member].T, layer.bias[member, 0])
        torch.testing.assert_close(layer(x)[member], wanted)


def test_members_start_apart_and_neither_sees_the_others_input():
    layer = linear_of()
    assert (layer.weight[0] - layer.weight[1]).abs().max() > 0.1
    x = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    changed = x.clone()
    changed[1] += 1.0
    difference = (layer(changed) - layer(x)).abs().amax(dim=(1, 2))
    assert difference[1] > 0.1
    assert difference[0] == difference[2] == 0.0


def test_weights_start_uniform_within_one_over_the_root_of_the_inputs():
    weight = MemberLinear(13, 7, 101, torch.Generator().manual_seed(0)).weight
    bound = 1 / math.sqrt(7)
    assert weight.abs().max() < bound * (1 + 1e-6)
    assert abs(weight.std().item() - bound / math.sqrt(3)) < 0.02 * bound
    assert abs(weight.mean().item()) < 0.02 * bound


def test_a_layer_that_starts_at_zero_adds_nothing_but_has_a_gradient():
    layer = linear_of(starts_at_zero=True)
    x = torch.ones(3, 7, 5, dtype=torch.float64)
    found = layer(x)
    assert (found == 0).all()
    found.sum().backward()
    torch.testing.assert_close(layer.weight.grad, torch.full_like(layer.weight, 7.0))


def test_weights_follow_the_generator_and_another_seed_gives_others():
    torch.testing.assert_close(linear_of(seed=1).weight, linear_of(seed=1).weight, rtol=0, atol=0)
    assert (linear_of(seed=1).weight != linear_of(seed=2).weight).any()
