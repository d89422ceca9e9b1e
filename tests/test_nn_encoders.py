"""The content encoder starts as the linear path, removes style by instance norm and hands on what it removed."""

import pytest
import torch

from unisono.config import Architecture
from unisono.nn.modules import ContentEncoder, StyleEncoder

SHAPE = Architecture(content_dim=4, style_dim=2, n_channels=3, n_tokens=5, n_blocks=2)
RHO = torch.tensor([0.9, 0.5, 0.2, 0.001], dtype=torch.float64)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encoder_of(seed=0, n_members=2, **switches):
    shape = SHAPE.model_copy(update=switches)
    linear = randn(11, 4, seed=9)
    return ContentEncoder(linear, RHO, shape, n_members, torch.Generator().manual_seed(seed)).double()


def stirred(module, seed=5):
    """The module with every parameter moved away from its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return module


X = randn(2, 7, 11, seed=3)


def test_a_fresh_encoder_gives_the_linear_path():
    encoder = encoder_of()
    torch.testing.assert_close(encoder(X)[0].mu, X @ encoder.linear)


def test_a_fresh_posterior_has_the_variance_that_probabilistic_cca_leaves():
    log_var = encoder_of()(X)[0].log_var
    torch.testing.assert_close(log_var.exp(), (1 - RHO).expand(2, 7, 4))


def test_without_the_linear_path_the_network_does_not_start_at_zero():
    encoder = encoder_of(linear_path=False)
    mu = encoder(X)[0].mu
    assert mu.abs().max() > 0.01
    with torch.no_grad():
        encoder.linear.zero_()
    torch.testing.assert_close(encoder(X)[0].mu, mu)


def test_what_the_network_adds_to_the_linear_path_does_not_depend_on_its_matrix():
    encoder = stirred(encoder_of())
    added = encoder(X)[0].mu - X @ encoder.linear
    assert added.abs().max() > 0.1
    encoder.linear.mul_(3.0)
    torch.testing.assert_close(encoder(X)[0].mu - X @ encoder.linear, added)


def test_statistics_are_the_means_and_log_deviations_of_the_first_tokens():
    encoder = stirred(encoder_of())
    tokens = encoder.to_tokens(X).unflatten(-1, (3, 5))
    wanted = torch.cat([tokens.mean(dim=-1), 0.5 * torch.log(tokens.var(dim=-1, correction=0) + 1e-5)], dim=-1)
    torch.testing.assert_close(encoder(X)[1], wanted)


def residual(encoder, x):
    return encoder(x)[0].mu - x @ encoder.linear


def test_the_network_does_not_hear_the_scale_of_a_cells_code_where_instance_norm_is_on():
    with_norm, without = stirred(encoder_of()), stirred(encoder_of(instance_norm=False))
    with torch.no_grad():
        for encoder in (with_norm, without):
            encoder.to_tokens.bias.zero_()
    x = 1e3 * X
    torch.testing.assert_close(residual(with_norm, 2.0 * x), residual(with_norm, x), rtol=1e-3, atol=1e-4)
    assert (residual(without, 2.0 * x) - residual(without, x)).abs().max() > 1.0


def test_switching_instance_norm_off_changes_content_and_leaves_the_statistics():
    with_norm, without = stirred(encoder_of()), stirred(encoder_of(instance_norm=False))
    assert (with_norm(X)[0].mu - without(X)[0].mu).abs().max() > 0.1
    torch.testing.assert_close(with_norm(X)[1], without(X)[1])


@pytest.mark.parametrize("block", [0, 1])
def test_what_a_block_adds_to_a_whole_channel_is_removed_as_well_where_instance_norm_is_on(block):
    """A shift that all tokens of a channel share is what the next normalisation takes out."""
    for instance_norm in (True, False):
        encoder = stirred(encoder_of(instance_norm=instance_norm))
        before = encoder(X)[0].mu
        with torch.no_grad():
            encoder.mix[block].bias.add_(torch.tensor([3.0, -2.0, 1.0]).repeat_interleave(5))
        moved = (encoder(X)[0].mu - before).abs().max()
        assert moved < 1e-4 if instance_norm else moved > 0.1


@pytest.mark.parametrize("instance_norm", [True, False])
def test_every_block_takes_part(instance_norm):
    encoder = stirred(encoder_of(instance_norm=instance_norm))
    before = encoder(X)[0].mu
    for block in range(2):
        kept = encoder.mix[block].weight.detach().clone()
        with torch.no_grad():
            encoder.mix[block].weight.zero_()
            assert (encoder(X)[0].mu - before).abs().max() > 1e-3
            encoder.mix[block].weight.copy_(kept)


def test_content_of_a_cell_does_not_depend_on_the_other_cells_of_the_batch():
    encoder = stirred(encoder_of())
    whole, alone = encoder(X), encoder(X[:, 4:5])
    torch.testing.assert_close(alone[0].mu, whole[0].mu[:, 4:5])
    torch.testing.assert_close(alone[0].log_var, whole[0].log_var[:, 4:5])
    torch.testing.assert_close(alone[1], whole[1][:, 4:5])


def test_a_member_does_not_hear_the_other_members():
    encoder = stirred(encoder_of())
    changed = X.clone()
    changed[0] += 1.0
    torch.testing.assert_close(encoder(changed)[0].mu[1], encoder(X)[0].mu[1], rtol=0, atol=0)
    assert (encoder(changed)[0].mu[0] - encoder(X)[0].mu[0]).abs().max() > 0.1


def test_members_that_see_the_same_cells_say_different_things():
    mu = stirred(encoder_of())(X[:1].expand(2, 7, 11))[0].mu
    assert (mu[0] - mu[1]).abs().max() > 0.1


def test_log_variances_stay_between_minus_eight_and_four():
    encoder = encoder_of()
    with torch.no_grad():
        encoder.to_log_var.bias.copy_(torch.tensor([100.0, -100.0, 0.0, 0.0]))
    log_var = encoder(X)[0].log_var
    assert (log_var[..., 0] == 4.0).all()
    assert (log_var[..., 1] == -8.0).all()


STATISTICS, DEPTH, OFFSET = randn(2, 7, 6, seed=1), randn(2, 7, seed=2), randn(2, 7, 11, seed=4)


def style_encoder():
    return stirred(StyleEncoder(11, SHAPE, 2, torch.Generator().manual_seed(0)).double())


@pytest.mark.parametrize("changed", ["statistics", "depth", "offset"])
def test_style_hears_statistics_depth_and_offset(changed):
    encoder, given = style_encoder(), {"statistics": STATISTICS, "depth": DEPTH, "offset": OFFSET}
    found = encoder(**given).mu
    given[changed] = given[changed] + 1.0
    assert ((encoder(**given).mu - found).abs().amax(dim=-1) > 1e-3).all()


def test_style_of_a_cell_does_not_depend_on_the_other_cells():
    encoder = style_encoder()
    alone = encoder(STATISTICS[:, 2:3], DEPTH[:, 2:3], OFFSET[:, 2:3])
    torch.testing.assert_close(alone.mu, encoder(STATISTICS, DEPTH, OFFSET).mu[:, 2:3])


def test_a_fresh_style_has_unit_variance():
    encoder = StyleEncoder(11, SHAPE, 2, torch.Generator().manual_seed(0)).double()
    found = encoder(STATISTICS, DEPTH, OFFSET)
    assert (found.log_var == 0).all()
    assert found.mu.abs().max() > 0.01
