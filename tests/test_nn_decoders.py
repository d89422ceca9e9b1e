"""The decoder starts as the linear path and speaks in the style it is given; heads follow their formulas."""

import numpy as np
import torch

from unisono.config import Architecture
from unisono.nn.modules import Decoder, FeatureHead

SHAPE = Architecture(content_dim=4, style_dim=2, n_channels=3, n_tokens=5, n_blocks=2)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stirred(module, seed=5):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return module


def decoder_of(**switches):
    shape = SHAPE.model_copy(update=switches)
    return Decoder(randn(4, 11, seed=9), shape, 2, torch.Generator().manual_seed(0)).double()


Z, STYLE, OFFSET = randn(2, 7, 4, seed=1), randn(2, 7, 2, seed=2), randn(2, 7, 11, seed=3)


def test_a_fresh_decoder_gives_offset_plus_the_linear_path():
    decoder = decoder_of()
    torch.testing.assert_close(decoder(Z, STYLE, OFFSET), OFFSET + Z @ decoder.linear)


def test_without_the_linear_path_the_network_does_not_start_at_zero():
    decoder = decoder_of(linear_path=False)
    found = decoder(Z, STYLE, OFFSET) - OFFSET
    assert found.abs().max() > 0.01
    decoder.linear.zero_()
    torch.testing.assert_close(decoder(Z, STYLE, OFFSET) - OFFSET, found)


def test_another_style_changes_the_codes_once_weights_have_moved_and_not_before():
    fresh, trained = decoder_of(), stirred(decoder_of())
    torch.testing.assert_close(fresh(Z, STYLE + 1.0, OFFSET), fresh(Z, STYLE, OFFSET))
    difference = (trained(Z, STYLE + 1.0, OFFSET) - trained(Z, STYLE, OFFSET)).abs().amax(dim=-1)
    assert (difference > 0.01).all()


def test_every_block_has_its_own_style_layer():
    decoder = stirred(decoder_of())
    before = decoder(Z, STYLE, OFFSET)
    for block in range(2):
        kept = decoder.styles[block].weight.detach().clone()
        with torch.no_grad():
            decoder.styles[block].weight.zero_()
            assert (decoder(Z, STYLE, OFFSET) - before).abs().max() > 1e-3
            decoder.styles[block].weight.copy_(kept)


def test_the_offset_is_added_as_it_is():
    decoder = stirred(decoder_of())
    shift = randn(11, seed=8)
    torch.testing.assert_close(decoder(Z, STYLE, OFFSET + shift), decoder(Z, STYLE, OFFSET) + shift)


def test_what_the_network_adds_to_the_linear_path_does_not_depend_on_its_matrix():
    decoder = stirred(decoder_of())
    added = decoder(Z, STYLE, OFFSET) - Z @ decoder.linear
    assert (added - OFFSET).abs().max() > 0.1
    decoder.linear.mul_(3.0)
    torch.testing.assert_close(decoder(Z, STYLE, OFFSET) - Z @ decoder.linear, added)


def test_codes_of_a_cell_depend_on_no_other_cell_and_on_no_other_member():
    decoder = stirred(decoder_of())
    found = decoder(Z, STYLE, OFFSET)
    torch.testing.assert_close(decoder(Z[:, 3:4], STYLE[:, 3:4], OFFSET[:, 3:4]), found[:, 3:4])
    changed = Z.clone()
    changed[0] += 1.0
    torch.testing.assert_close(decoder(changed, STYLE, OFFSET)[1], found[1], rtol=0, atol=0)
    assert (decoder(changed, STYLE, OFFSET)[0] - found[0]).abs().max() > 0.1


FEATURES = torch.tensor([12, 0, 5])
CODES = randn(2, 7, 11, seed=4)


def head_of():
    head = FeatureHead(randn(13, 11, seed=5), randn(13, seed=6), randn(13, seed=7), "bernoulli", 10.0).double()
    with torch.no_grad():
        head.log_slope.fill_(0.4)
    return head


def test_values_are_loadings_times_codes_plus_intercept_of_the_features_asked_for():
    head = head_of()
    wanted = np.einsum("mcd,fd->mcf", CODES.numpy(), head.loadings.numpy()) + head.intercept.numpy()
    torch.testing.assert_close(head.values(CODES, FEATURES), torch.as_tensor(wanted)[..., FEATURES])


def test_mean_counts_are_the_value_sent_back_times_size_and_bias():
    head, values, log_size = head_of(), randn(2, 7, 3, seed=8).abs() + 2.0, randn(2, 7, seed=9)
    found = head.log_mean_counts(values, log_size, FEATURES).exp()
    bias = head.log_bias.detach().exp()[FEATURES]
    wanted = torch.expm1(values) * bias * log_size.exp()[..., None]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)


def test_mean_counts_stay_positive_and_finite_for_negative_values():
    head = head_of()
    found = head.log_mean_counts(torch.full((2, 7, 3), -50.0).double(), torch.zeros(2, 7).double(), FEATURES)
    wanted = np.log(np.expm1(1e-4)) + head.log_bias.detach()[FEATURES]
    torch.testing.assert_close(found, wanted.expand(2, 7, 3), rtol=1e-6, atol=1e-6)


def test_logits_are_intercept_and_bias_plus_the_slope_times_what_the_code_says_plus_log_depth():
    head = head_of()
    speaks = (CODES @ head.loadings.T)[..., FEATURES]
    log_size = randn(*CODES.shape[:2], seed=9)
    wanted = (head.intercept + head.log_bias)[FEATURES] + np.exp(0.4) * speaks + log_size[..., None]
    found = head.logits(CODES, log_size, FEATURES)
    torch.testing.assert_close(found, wanted)
    assert (found - head.values(CODES, FEATURES)).abs().max() > 0.1


def test_a_fresh_head_learns_bias_dispersion_and_slope_and_keeps_its_loadings():
    assert {name for name, _ in head_of().named_parameters()} == {"log_bias", "log_theta", "log_slope"}


def test_the_log_mean_of_large_values_and_its_gradient_are_finite_and_go_on_where_they_were():
    head = FeatureHead(randn(9, 11), randn(9), torch.zeros(9), "negative_binomial", 10.0)
    values = torch.tensor([1.5, 19.5, 20.5, 88.0, 400.0]).expand(1, 1, 5).clone().requires_grad_()
    found = head.log_mean_counts(values, torch.zeros(1, 1), torch.arange(5))
    found.sum().backward()
    torch.testing.assert_close(found.detach()[0, 0, 1:], values.detach()[0, 0, 1:], rtol=0, atol=2e-4)
    torch.testing.assert_close(found.detach()[0, 0, 0], torch.tensor(1.5).expm1().log(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(values.grad[0, 0, 1:], torch.ones(4))
