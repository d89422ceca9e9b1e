"""Inference gives posterior means and mean predictions, the same in chunks of any size."""

import numpy as np
import pytest
import torch

from unisono.config import Architecture, FitConfig
from unisono.nn import infer
from unisono.nn.model import InitialWeights, Network

N_CODES, N_FEATURES = {"atac": 6, "rna": 11}, {"atac": 17, "rna": 13}
LIKELIHOODS = {"atac": "bernoulli", "rna": "negative_binomial"}
SIZES = {"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


RHO = torch.tensor([0.9, 0.5, 0.2, 0.04])


def network_of(**switches):
    initial_weights = {
        m: InitialWeights(randn(c, 4), randn(4, c), randn(f, c), *randn(2, f), LIKELIHOODS[m])
        for (m, c), f in zip(N_CODES.items(), N_FEATURES.values(), strict=True)
    }
    config = FitConfig(n_members=3, architecture={**SIZES, **switches})
    made = Network(initial_weights, RHO, config, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return made


@pytest.fixture
def network():
    return network_of()


X = randn(7, 11, seed=2).numpy()
DEPTH, OFFSET = randn(7, seed=3).numpy(), randn(7, 11, seed=4).numpy()


def test_contents_are_posterior_means_of_every_member(network):
    found = infer.contents(network, "rna", X)
    wanted = network.content("rna", torch.as_tensor(X).expand(3, 7, 11))[0].mu
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 0.1


def cosines(z, constant):
    z = np.concatenate([z, np.broadcast_to(constant, (*z.shape[:-1], 1))], axis=-1)
    unit = z / np.linalg.norm(z, axis=-1, keepdims=True)
    return np.einsum("mid,mjd->ij", unit, unit) / len(z)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_inner_product_of_two_vectors_is_the_mean_cosine_of_members_and_the_weighted_linear_path(network, weight):
    found = infer.vectors(network, "rna", X, weight)
    metric, reach = network.dim_weight.detach().numpy(), network.bias_norm.detach().numpy()
    members = cosines(infer.contents(network, "rna", X) * metric, reach)
    linear = X @ network.contents["rna"].linear.numpy() * network.first_dim_weight.numpy()
    linear = cosines(linear[None], network.first_bias_norm.numpy())
    assert np.abs(members - linear).max() > 0.1
    np.testing.assert_allclose(found @ found.T, (1 - weight) * members + weight * linear, atol=1e-5)


def test_the_linear_path_has_the_weight_of_the_architecture_and_none_where_it_is_switched_off():
    assert Architecture().linear_weight is None
    assert network_of().linear_weight == pytest.approx(0.2)
    assert network_of(linear_weight=0.7).linear_weight == pytest.approx(0.7)
    assert network_of(linear_path=False, linear_weight=0.7).linear_weight == 0.0


def test_the_weight_of_the_network_is_used_where_none_is_given(network):
    np.testing.assert_array_equal(infer.vectors(network, "rna", X), infer.vectors(network, "rna", X, 0.2))
    assert np.abs(infer.vectors(network, "rna", X) - infer.vectors(network, "rna", X, 0.6)).max() > 0.01


def test_styles_are_posterior_means_of_every_member(network):
    found = infer.styles(network, "rna", X, DEPTH, OFFSET)
    _, statistics = network.content("rna", torch.as_tensor(X).expand(3, 7, 11))
    depth, offset = torch.as_tensor(DEPTH).expand(3, 7), torch.as_tensor(OFFSET).expand(3, 7, 11)
    wanted = network.style("rna", statistics, depth, offset).mu
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_each_member_decodes_all_cells_in_one_style(network):
    z, style, offset = randn(3, 7, 4, seed=5).numpy(), randn(3, 2, seed=6).numpy(), randn(6, seed=7).numpy()
    found = infer.decoded(network, "atac", z, style, offset)
    members = network.decode(
        "atac",
        torch.as_tensor(z),
        torch.as_tensor(style)[:, None].expand(3, 7, 2),
        torch.as_tensor(offset).expand(3, 7, 6),
    )
    np.testing.assert_allclose(found, members.detach().numpy(), rtol=1e-4, atol=1e-5)
    other = infer.decoded(network, "atac", z, style + 1.0, offset)
    assert np.abs(found - other).max() > 0.1


@pytest.mark.parametrize("size", [1, 3, 7])
def test_cells_in_chunks_give_what_they_give_at_once(network, monkeypatch, size):
    z, style, offset = randn(3, 7, 4, seed=5).numpy(), randn(3, 2, seed=6).numpy(), randn(6, seed=7).numpy()

    def everything():
        return (
            infer.contents(network, "rna", X),
            infer.vectors(network, "rna", X),
            infer.styles(network, "rna", X, DEPTH, OFFSET),
            infer.decoded(network, "atac", z, style, offset),
        )

    whole = everything()
    monkeypatch.setattr(infer, "_CELLS_AT_A_TIME", size)
    for found, wanted in zip(everything(), whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_no_cell_at_all_gives_no_rows(network):
    assert infer.contents(network, "rna", X[:0]).shape == (3, 0, 4)
    assert infer.vectors(network, "rna", X[:0]).shape[0] == 0


def test_the_readout_is_what_the_head_computes(network):
    codes = randn(3, 7, 6, seed=8)
    loadings, intercept = infer.readout(network, "atac")
    wanted = network.head("atac").logits(codes, torch.zeros(3, 7), torch.arange(17)).detach().numpy()
    np.testing.assert_allclose(codes.numpy() @ loadings.T + intercept, wanted, rtol=1e-4, atol=1e-5)
    codes = randn(3, 7, 11, seed=8)
    loadings, intercept = infer.readout(network, "rna")
    wanted = network.head("rna").values(codes, torch.arange(13)).detach().numpy()
    np.testing.assert_allclose(codes.numpy() @ loadings.T + intercept, wanted, rtol=1e-4, atol=1e-5)


def test_inference_leaves_the_weights_as_they_were(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    infer.contents(network, "rna", X)
    infer.readout(network, "atac")[1][:] = 0.0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_members_are_counted(network):
    assert network.n_members == 3
