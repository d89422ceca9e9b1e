"""The gradient in parts is that of the whole, by however many ranks and cells at a time, with terms of every kind."""

import threading
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from test_nn_objective import HAS, PEER, SAMPLED, TECHNICAL, batch_of, changed, config_of, network_of, randn

from unisono.nn import losses, parts
from unisono.nn.objective import MeasuredCells, terms
from unisono.nn.parts import gradient_by_parts, is_one_part


@dataclass
class Threads:
    """Ranks that are threads of this process."""

    rank: int
    size: int
    table: dict
    barrier: Any

    def _told(self, values):
        self.table[self.rank] = values
        self.barrier.wait()
        found = [self.table[rank] for rank in range(self.size)]
        self.barrier.wait()
        return found

    def gathered(self, values):
        return torch.cat(self._told(values), dim=1)

    def summed(self, values):
        return torch.stack(self._told(values)).sum(dim=0)


def by_parts(n_ranks, config, batch, kl_fraction=0.7):
    """Terms and gradients that ranks find together; each has the same gradients."""
    table, barrier, found = {}, threading.Barrier(n_ranks, timeout=30), {}

    def work(rank):
        network = network_of(config)
        own = gradient_by_parts(
            network,
            batch,
            config,
            kl_fraction,
            torch.Generator().manual_seed(5),
            Threads(rank, n_ranks, table, barrier),
        )
        found[rank] = own, {name: p.grad for name, p in network.named_parameters()}

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(n_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == n_ranks
    for _, gradients in found.values():
        torch.testing.assert_close(gradients, found[0][1], rtol=0, atol=0)
    return {name: sum(own[name] for own, _ in found.values()) for name in found[0][0]}, found[0][1]


def whole(config, batch, kl_fraction=0.7):
    network = network_of(config)
    found = terms(network, batch, config, kl_fraction, torch.Generator().manual_seed(5))
    torch.autograd.backward(torch.stack(list(found.values())).sum())
    return {name: value.detach() for name, value in found.items()}, {n: p.grad for n, p in network.named_parameters()}


def batch_of_everything():
    """Cells that lack modalities, features that were not measured, factors of values."""
    rows = torch.tensor([[0, 1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0, 1]])
    features = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]]).bool()
    measured = MeasuredCells(rows, features, randn(2, 5, 5, seed=8))
    factors = 1.0 + 0.3 * randn(2, 7, 5, seed=9).abs()
    assert not all(has.all() for has in HAS.values())
    assert len(SAMPLED["adt"]) == 5
    return batch_of(changed("adt", measured=measured, factors=factors))


@pytest.mark.parametrize(("n_ranks", "at_a_time"), [(1, 3), (1, 1), (2, None), (3, None), (2, 3), (3, 2), (9, None)])
def test_parts_have_the_terms_and_the_gradient_of_the_whole(n_ranks, at_a_time):
    """Of 7 cells, which neither 2 nor 3 divide; of 9 ranks two have no cell at all."""
    config = config_of(cells_at_a_time=at_a_time)
    batch = batch_of_everything()
    (found, gradients), (wanted, wanted_gradients) = by_parts(n_ranks, config, batch), whole(config, batch)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients, wanted_gradients, rtol=1e-8, atol=1e-11)
    assert {"kl", "own_likelihood", "cross_likelihood", "own_readout", "cross_readout", "contrastive"} == set(found)


def test_negatives_of_other_ranks_count_and_send_gradients_back():
    """Without them, or with them as constants, the gradient is another one."""
    config = config_of(weights=dict.fromkeys(("likelihood", "kl", "readout", "cross"), 0.0))
    batch = batch_of(technical=torch.zeros_like(TECHNICAL))
    _, gradients = by_parts(2, config, batch)
    _, wanted = whole(config, batch)
    for name in ("contents.rna.mix.0.weight", "dim_weight", "log_scale", "bias_norm"):
        torch.testing.assert_close(gradients[name], wanted[name], rtol=1e-8, atol=1e-12)
        assert (wanted[name] != 0).any()


def test_similarities_are_compared_some_rows_at_a_time(monkeypatch):
    config = config_of()
    wanted, wanted_gradients = by_parts(2, config, batch_of())
    monkeypatch.setattr(parts, "_ENTRIES_AT_A_TIME", 8)
    found, gradients = by_parts(2, config, batch_of())
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients, wanted_gradients, rtol=1e-9, atol=1e-12)


def test_the_contrastive_loss_of_some_cells_is_that_of_all():
    left, right = (torch.nn.functional.normalize(randn(2, 7, 3, seed=s), dim=-1) for s in (0, 1))
    same, has_both = TECHNICAL[:, :, None] == TECHNICAL[:, None, :], HAS["rna"] & HAS["adt"]
    wanted = losses.info_nce(left, right, randn(2, seed=4), same, has_both)
    for some in (slice(0, 2), slice(2, 7)):
        found = losses.info_nce_of_some(left, right, randn(2, seed=4), same[:, some], has_both, some)
        torch.testing.assert_close(found, wanted[:, some])


def test_terms_of_weight_zero_leave_no_gradient():
    config = config_of(weights=dict.fromkeys(("likelihood", "kl", "readout", "cross", "contrastive"), 0.0))
    found, gradients = by_parts(2, config, batch_of())
    assert found == {}
    assert all(gradient is None for gradient in gradients.values())


def test_what_is_frozen_stays_without_gradient():
    config, network = config_of(cells_at_a_time=3), network_of()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("styles" in name.split("."))
    gradient_by_parts(
        network, batch_of(), config, 1.0, torch.Generator().manual_seed(0), Threads(0, 1, {}, threading.Barrier(1))
    )
    _, wanted = whole(config, batch_of(), 1.0)
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert any((wanted[name] != 0).any() for name, p in network.named_parameters() if p.requires_grad)


def test_a_batch_that_fits_is_one_part():
    alone = Threads(0, 1, {}, None)
    assert is_one_part(batch_of(), config_of(), alone)
    assert is_one_part(batch_of(), config_of(cells_at_a_time=7), alone)
    assert not is_one_part(batch_of(), config_of(cells_at_a_time=6), alone)
    assert not is_one_part(batch_of(), config_of(), Threads(0, 2, {}, None))


def test_cells_behind_a_batch_have_no_modality_and_are_their_own_permutation():
    longer = batch_of_everything().padded(2)
    assert longer.permuted[:, 7:].tolist() == [[7, 8], [7, 8]]
    assert torch.equal(longer.permuted[:, :7], PEER)
    for view in longer.views.values():
        assert view.x.shape[1] == 9
        assert not view.has[:, 7:].any()
