"""The averaged Jacobian is the derivative of the mean prediction, for any network, style and chunk size."""

import numpy as np
import pytest
import torch

from unisono.config import FitConfig
from unisono.nn import infer
from unisono.nn.infer import mean_jacobian
from unisono.nn.model import InitialWeights, Network

N_CODES, N_FEATURES = {"atac": 6, "rna": 11}, {"atac": 17, "rna": 13}
LIKELIHOODS = {"atac": "bernoulli", "rna": "negative_binomial"}
SIZES = {"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5}


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network_of(spread=0.3, **switches):
    """Three members whose weights lie `spread` from their start, where only the linear path speaks."""
    initial_weights = {
        m: InitialWeights(randn(c, 4), randn(4, c), randn(f, c), *randn(2, f), LIKELIHOODS[m])
        for (m, c), f in zip(N_CODES.items(), N_FEATURES.values(), strict=True)
    }
    config = FitConfig(n_members=3, architecture={**SIZES, **switches})
    made = Network(initial_weights, torch.tensor([0.9, 0.5, 0.2, 0.04]), config, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return made


X, LATENT, OFFSET = randn(7, 11, seed=2).numpy(), randn(3, 2, seed=6).numpy(), randn(6, seed=7).numpy()


def by_differences(network, x, latent, offset, step=1e-4):
    """Central differences of the mean prediction, in double precision."""
    network, latent, offset = network.double(), latent.astype(float), offset.astype(float)

    def mean(x):
        z = infer.contents(network, "rna", x)
        return infer.decoded(network, "atac", z, latent, offset).mean(axis=(0, 1))

    shifts = step * np.eye(x.shape[1])
    return np.stack([(mean(x + s) - mean(x - s)) / (2 * step) for s in shifts], axis=1)


@pytest.mark.parametrize("switches", [{}, {"instance_norm": False}, {"linear_path": False}, {"n_blocks": 2}])
def test_it_is_what_finite_differences_of_the_mean_prediction_say(switches):
    found = mean_jacobian(network_of(**switches), "rna", "atac", X, LATENT, OFFSET)
    assert found.shape == (6, 11)
    assert found.dtype == np.float32
    wanted = by_differences(network_of(**switches), X.astype(float), LATENT, OFFSET)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


def test_the_way_back_has_a_jacobian_of_its_own():
    there = mean_jacobian(network_of(), "rna", "atac", X, LATENT, OFFSET)
    back = mean_jacobian(network_of(), "atac", "rna", X[:, :6], LATENT, randn(11, seed=8).numpy())
    assert back.shape == (11, 6)
    assert np.abs(back - there.T).max() > 0.1


def test_before_training_it_is_the_linear_path_whatever_the_cells():
    network = network_of(spread=0.0)
    linear = network.contents["rna"].linear @ network.decoders["atac"].linear
    found = mean_jacobian(network, "rna", "atac", X, LATENT, OFFSET)
    np.testing.assert_allclose(found, linear.numpy().T, rtol=1e-4, atol=1e-5)


def test_it_is_the_mean_over_cells_and_depends_on_them():
    one_by_one = [mean_jacobian(network_of(), "rna", "atac", X[[i]], LATENT, OFFSET) for i in range(7)]
    found = mean_jacobian(network_of(), "rna", "atac", X, LATENT, OFFSET)
    np.testing.assert_allclose(found, np.mean(one_by_one, axis=0), rtol=1e-4, atol=1e-5)
    assert np.abs(one_by_one[0] - one_by_one[1]).max() > 0.1


@pytest.mark.parametrize("size", [1, 3, 7])
def test_cells_in_chunks_give_what_they_give_at_once(monkeypatch, size):
    whole = mean_jacobian(network_of(), "rna", "atac", X, LATENT, OFFSET)
    monkeypatch.setattr(infer, "_CELLS_OF_A_JACOBIAN", size)
    np.testing.assert_allclose(
        mean_jacobian(network_of(), "rna", "atac", X, LATENT, OFFSET), whole, rtol=1e-4, atol=1e-5
    )


def test_the_latent_style_bends_it_and_the_offset_does_not():
    network = network_of()
    plain = mean_jacobian(network, "rna", "atac", X, LATENT, OFFSET)
    np.testing.assert_allclose(mean_jacobian(network, "rna", "atac", X, LATENT, OFFSET + 2.0), plain, rtol=1e-5)
    assert np.abs(mean_jacobian(network, "rna", "atac", X, LATENT + 1.0, OFFSET) - plain).max() > 0.1


def test_twice_the_same_to_the_bit_and_the_network_stays_as_it_was():
    network = network_of()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = (mean_jacobian(network, "rna", "atac", X, LATENT, OFFSET) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_no_cell_is_refused():
    with pytest.raises(ValueError, match=r"rna->atac: no cell to average"):
        mean_jacobian(network_of(), "rna", "atac", X[:0], LATENT, OFFSET)
