"""Training keeps the best weights by the validation cells, bit by bit the same for one seed."""

import copy

import numpy as np
import pytest
import torch
from training_fixtures import CPU, cells_of_two_modalities, equal, prepare, simulated, small_config, state_of

from unisono.config import FitConfig
from unisono.training import loop
from unisono.training.loop import Training, train
from unisono.training.mini_batches import MiniBatches
from unisono.training.validation import ValidationScores

CONFIG = small_config(max_epochs=3, epochs_per_evaluation=1, n_sampled_features=13, kl_warmup_epochs=4)


def changed(**fields):
    return CONFIG.model_copy(update=fields)


@pytest.fixture(scope="module")
def cells():
    return cells_of_two_modalities()


@pytest.fixture(scope="module")
def prepared(cells):
    return prepare(cells, CONFIG)


class Scripted:
    """A scorer that returns the ranks it was given, and records the weights it was shown."""

    def __init__(self, ranks):
        self.foscttms, self.shown = list(ranks), []

    def __call__(self, network):
        self.shown.append(state_of(network))
        return ValidationScores(0.5, self.foscttms[len(self.shown) - 1])


def run(prepared, config=CONFIG, scorer=None):
    """Epochs of a training from the start, and its end."""
    training = Training.start(copy.deepcopy(prepared.network), config)
    mini_batches = MiniBatches(prepared.views, prepared.technical, config, CPU)
    return list(train(training, mini_batches, scorer, config)), training


def test_one_seed_gives_the_same_weights_bit_by_bit_and_another_seed_others(prepared):
    one, same, other = (state_of(run(prepared, changed(seed=s))[1].network) for s in (0, 0, 1))
    assert equal(one, same)
    assert (one["dim_weight"] != other["dim_weight"]).any()


def test_nothing_global_decides_or_is_changed(prepared):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    one = state_of(run(prepared, changed(max_epochs=1))[1].network)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    before = torch.get_rng_state()
    other = state_of(run(prepared, changed(max_epochs=1))[1].network)
    assert equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_the_noise_of_each_epoch_is_its_own_and_follows_the_seed(prepared, monkeypatch):
    seeds = []

    def spy(network, batch, config, kl_fraction, generator):
        seeds.append(generator.initial_seed())
        return {}

    monkeypatch.setattr(loop, "terms", spy)
    for seed in (0, 0, 1):
        run(prepared, changed(seed=seed))
    assert seeds[:3] == seeds[3:6]
    assert len(set(seeds)) == 6


@pytest.mark.parametrize("scored", [True, False])
def test_no_epoch_at_all_keeps_the_closed_form(prepared, scored):
    scorer = prepared.score if scored else None
    epochs, training = run(prepared, changed(max_epochs=0), scorer)
    assert [epoch.number for epoch in epochs] == [0]
    assert equal(state_of(training.network), state_of(prepared.network))


def test_the_weights_kept_are_those_of_the_best_evaluation(prepared):
    scorer = Scripted([0.3, 0.4, 0.2, 0.25, 0.22])
    epochs, training = run(prepared, changed(max_epochs=4), scorer)
    assert [epoch.is_best for epoch in epochs] == [True, False, True, False, False]
    assert equal(state_of(training.network), scorer.shown[2])
    assert not equal(scorer.shown[2], scorer.shown[4])
    assert not training.network.training


def test_the_start_is_kept_where_training_only_harms(prepared):
    _, training = run(prepared, scorer=Scripted([0.3, 0.4, 0.5, 0.6]))
    assert equal(state_of(training.network), state_of(prepared.network))


def test_training_stops_after_as_many_evaluations_without_progress_as_its_patience(prepared):
    ranks = [0.3, 0.2, 0.25, 0.25, 0.1, 0.2, 0.2, 0.2, 0.05]
    epochs, _ = run(prepared, changed(max_epochs=8, patience=3), Scripted(ranks))
    assert [epoch.number for epoch in epochs] == list(range(8))
    epochs, _ = run(prepared, changed(max_epochs=8, patience=2), Scripted(ranks))
    assert [epoch.number for epoch in epochs] == list(range(4))


def test_evaluations_come_every_so_many_epochs_and_after_the_last(prepared):
    epochs, _ = run(prepared, changed(max_epochs=5, epochs_per_evaluation=2), Scripted([0.3, 0.2, 0.2, 0.2]))
    assert [epoch.number for epoch in epochs if epoch.scores] == [0, 2, 4, 5]
    assert all(not epoch.is_best for epoch in epochs if not epoch.scores)


def test_without_validation_cells_the_average_after_the_last_epoch_is_kept(prepared):
    epochs, training = run(prepared)
    assert all(epoch.is_best and epoch.scores is None for epoch in epochs)
    assert equal(state_of(training.network), state_of(training.averaged))


def test_what_is_scored_is_the_mean_of_the_weights_after_each_step(prepared):
    """With one step an epoch the first five weigh alike; from then on the mean looks back over five."""
    training = Training.start(copy.deepcopy(prepared.network), CONFIG)
    mini_batches = MiniBatches(prepared.views, prepared.technical, CONFIG, CPU)
    assert mini_batches.steps_per_epoch == 1
    seen, averaged = [], []
    for _ in train(training, mini_batches, None, changed(max_epochs=7)):
        seen.append(training.network.contents["rna"].to_tokens.weight.detach().clone())
        averaged.append(training.averaged.contents["rna"].to_tokens.weight.detach().clone())
    for n in range(1, 6):
        torch.testing.assert_close(averaged[n], torch.stack(seen[1 : n + 1]).mean(dim=0))
    for n in (6, 7):
        torch.testing.assert_close(averaged[n], 0.8 * averaged[n - 1] + 0.2 * seen[n])
    assert (averaged[7] - seen[7]).abs().max() > 1e-4


def test_the_first_step_is_a_twentieth_of_the_learning_rate_and_decay_pulls_at_matrices_alone(prepared):
    """Adam's first step has the length of its rate; a parameter without gradient moves by decay only."""
    config = changed(max_epochs=1, learning_rate=0.02, weight_decay=0.0)
    _, training = run(prepared, config)
    before, after = dict(prepared.network.named_parameters()), dict(training.network.named_parameters())
    step = (after["dim_weight"] - before["dim_weight"]).abs().max().item()
    assert step == pytest.approx(0.02 / 20, rel=1e-2)
    groups = training.optimiser.param_groups
    decayed = {id(p) for p in groups[0]["params"]}
    assert {name for name, p in after.items() if id(p) in decayed} == {n for n in after if n.endswith("weight")}
    _, decaying = run(prepared, changed(max_epochs=1, weight_decay=0.5))
    assert [group["weight_decay"] for group in decaying.optimiser.param_groups] == [0.5, 0.0]


def test_the_kl_term_warms_up_over_its_epochs(prepared):
    """Without any learning the KL of each epoch is the same except for thinning and the warm-up."""
    epochs, _ = run(prepared, changed(max_epochs=5, learning_rate=1e-12, weight_decay=0.0, thinning=(1.0, 1.0)))
    kl = np.array([epoch.terms["kl"] for epoch in epochs[1:]])
    np.testing.assert_allclose(kl / kl[-1], [0.25, 0.5, 0.75, 1.0, 1.0], rtol=1e-3)


def trained(seed=8, **switches):
    """Twenty epochs on 247 cells, the scorer, and the figures of the start and of what was kept."""
    sizes = {"max_epochs": 20, "epochs_per_evaluation": 5, "n_sampled_features": 13, "kl_warmup_epochs": 4}
    config = small_config(**sizes, n_members=1, learning_rate=1e-2, architecture=switches)
    prepared = prepare(simulated(seed=seed), config)
    scorer = prepared.score
    epochs, training = run(prepared, config, scorer)
    return epochs, epochs[0].scores, scorer(training.network)


def test_training_improves_on_the_closed_form_for_cells_kept_aside():
    epochs, start, kept = trained()
    assert kept.cost_against(start) < 1.98
    assert kept in [epoch.scores for epoch in epochs]
    for name in ("own_readout", "cross_readout", "contrastive"):
        assert epochs[-1].terms[name] < 0.9 * epochs[1].terms[name]


def test_networks_learn_to_match_and_predict_without_the_linear_path():
    _, start, kept = trained(linear_path=False, kernel=False)
    assert start.foscttm > 0.4
    assert abs(start.correlation) < 0.2
    assert kept.foscttm < 0.3
    assert kept.correlation > start.correlation + 0.1


def test_a_config_in_which_every_weight_is_zero_leaves_the_network_as_it_was(prepared):
    nothing = dict.fromkeys(("likelihood", "kl", "readout", "cross", "contrastive"), 0.0)
    config = FitConfig.model_validate(CONFIG.model_dump() | {"weights": nothing})
    epochs, training = run(prepared, config)
    assert epochs[-1].terms == {}
    assert equal(state_of(training.network), state_of(prepared.network))
