"""The network starts as the closed form, compares contents as unit vectors and keeps modalities apart."""

import math

import pytest
import torch

from unisono.config import FitConfig
from unisono.nn.model import InitialWeights, Network

RHO = torch.tensor([0.9, 0.5, 0.2, 0.04])
N_CODES, N_FEATURES = {"rna": 11, "adt": 5}, {"rna": 13, "adt": 6}
SIZES = {"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network_of(seed=0, n_members=2, **switches):
    initial_weights = {
        m: InitialWeights(
            randn(N_CODES[m], 4),
            randn(4, N_CODES[m]),
            randn(N_FEATURES[m], N_CODES[m]),
            *randn(2, N_FEATURES[m]),
            "gaussian",
        )
        for m in N_CODES
    }
    config = FitConfig(n_members=n_members, architecture={**SIZES, **switches})
    return Network(initial_weights, RHO, config, torch.Generator().manual_seed(seed)).double()


def test_content_starts_as_the_linear_path_of_its_own_modality():
    network = network_of()
    for m, n_codes in N_CODES.items():
        x = randn(2, 7, n_codes, seed=1).double()
        torch.testing.assert_close(network.content(m, x)[0].mu, x @ randn(n_codes, 4).double())


def test_decoding_starts_as_the_linear_path_of_its_own_modality():
    network = network_of()
    z, style = randn(2, 7, 4, seed=1).double(), randn(2, 7, 2, seed=2).double()
    for m, n_codes in N_CODES.items():
        offset = randn(2, 7, n_codes, seed=3).double()
        torch.testing.assert_close(network.decode(m, z, style, offset), offset + z @ randn(4, n_codes).double())


def weight_of(rho):
    """Of u v in the log density ratio of canonical variates, for a correlation of 0.9 at most."""
    rho = rho.double().clamp(max=0.9)
    return rho / (1 - rho**2)


def test_similarity_starts_as_the_log_density_ratio_of_canonical_variates():
    network, u, v = network_of(), randn(2, 7, 4, seed=1).double(), randn(2, 7, 4, seed=2).double()
    assert network.dim_weight.shape == (2, 1, 4)
    left, right = (side * RHO.double().sqrt() * network.dim_weight for side in (u, v))
    torch.testing.assert_close((left * right).sum(-1), (weight_of(RHO) * u * v).sum(-1), rtol=1e-4, atol=1e-6)


def test_compared_contents_are_unit_vectors_that_hear_the_metric_and_say_little_where_content_is_short():
    network, z = network_of(), randn(2, 7, 4, seed=1).double()
    found = network.similarity_features(z)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(2, 7).double())
    reach = 0.5 * weight_of(RHO).sum().sqrt()
    weighted = torch.cat([z * (weight_of(RHO) / RHO.double()).sqrt(), reach.expand(2, 7, 1)], dim=-1)
    torch.testing.assert_close(found, weighted / weighted.norm(dim=-1, keepdim=True), rtol=1e-4, atol=1e-6)
    near, far = network.similarity_features(0.01 * z), network.similarity_features(100.0 * z)
    assert (near @ near.transpose(1, 2)).min() > 0.99
    assert (far @ far.transpose(1, 2)).min() < 0.5


def test_inverse_temperature_starts_at_ten_and_is_clamped_at_a_hundred():
    network = network_of()
    torch.testing.assert_close(network.inverse_temperature().exp(), torch.full((2,), 10.0).double())
    with torch.no_grad():
        network.log_scale.copy_(torch.tensor([99.0, 1.5]))
    assert network.inverse_temperature().tolist() == pytest.approx([math.log(100.0), 1.5])


def test_style_is_a_function_of_its_inputs_and_constant_once_switched_off():
    statistics, depth, offset = (t.double() for t in (randn(2, 7, 6), randn(2, 7), randn(2, 7, 11)))
    on, off = network_of(), network_of(style=False)
    assert on.style("rna", statistics, depth, offset).mu.std() > 0.01
    silent = off.style("rna", statistics, depth, offset)
    assert (silent.mu == 0).all()
    assert (torch.exp(0.5 * silent.log_var) < 1e-12).all()


def test_one_seed_gives_the_same_weights_and_another_seed_others():
    one, same, other = (network_of(seed=s).state_dict() for s in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert all((one[name] != other[name]).any() for name in one if name.endswith("to_tokens.weight"))


def test_heads_keep_the_features_of_their_blueprint():
    network = network_of()
    for m in N_FEATURES:
        torch.testing.assert_close(network.head(m).loadings, randn(N_FEATURES[m], N_CODES[m]).double())
        intercept, log_bias = randn(2, N_FEATURES[m]).double()
        torch.testing.assert_close(network.head(m).intercept, intercept)
        torch.testing.assert_close(network.head(m).log_bias.detach(), log_bias)


def test_changing_the_blueprint_leaves_the_network_as_it_was():
    encoder = randn(11, 4)
    initial = InitialWeights(encoder, randn(4, 11), randn(13, 11), *randn(2, 13), "gaussian")
    network = Network({"rna": initial}, RHO, FitConfig(architecture=SIZES), torch.Generator().manual_seed(0))
    encoder.zero_()
    assert network.content("rna", randn(3, 7, 11))[0].mu.abs().max() > 0.1


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_shapes_are_those_of_the_network_that_a_config_builds(n_blocks):
    changes = {"n_blocks": n_blocks, "style_hidden": 7}
    config = FitConfig(n_members=2, architecture={**SIZES, **changes})
    sizes = {m: (N_CODES[m], N_FEATURES[m]) for m in N_CODES}
    found = {name: tuple(value.shape) for name, value in network_of(**changes).state_dict().items()}
    assert Network.shapes(config, sizes) == found
    assert Network.shapes(config, {"rna": sizes["rna"]}) != found
