"""A training taken up from its checkpoint ends with the same bits; another config or other data are refused."""

import copy

import pytest
import torch
from training_fixtures import CPU, prepare, small_config

from unisono.datasets import Recipe, simulate_cells
from unisono.messages import BadInput
from unisono.training.checkpoint import load_checkpoint, save_checkpoint
from unisono.training.loop import Training, train
from unisono.training.mini_batches import MiniBatches
from unisono.types import Cells

CONFIG = small_config(max_epochs=5, epochs_per_evaluation=2, n_sampled_features=13)


@pytest.fixture(scope="module")
def prepared():
    views = simulate_cells(Recipe(n_cells=103, n_genes=53, n_peaks=71, n_proteins=11, seed=7)).cells.views
    return prepare(Cells({"rna": views["rna"], "atac": views["atac"]}), CONFIG)


@pytest.fixture(scope="module")
def parts(prepared):
    return MiniBatches(prepared.views, prepared.technical, CONFIG, CPU), prepared.score


def started(prepared):
    return Training.start(copy.deepcopy(prepared.network), CONFIG)


@pytest.fixture(scope="module")
def whole(prepared, parts):
    training = started(prepared)
    list(train(training, *parts, CONFIG))
    return training


def interrupted(prepared, parts, path, after):
    """A checkpoint written after some epoch, the first one yielded being number 0."""
    training = started(prepared)
    for epoch in train(training, *parts, CONFIG):
        if epoch.number == after:
            save_checkpoint(training, path, CONFIG, "data-a")
            return


@pytest.mark.parametrize("after", [0, 3, 5])
def test_a_training_taken_up_ends_with_the_bits_of_one_never_interrupted(prepared, parts, whole, tmp_path, after):
    path = tmp_path / "checkpoint"
    interrupted(prepared, parts, path, after)
    training = load_checkpoint(copy.deepcopy(prepared.network), path, CONFIG, "data-a")
    assert training.epochs == whole.epochs[: after + 1]
    list(train(training, *parts, CONFIG))
    assert training.epochs == whole.epochs
    for name, value in whole.network.state_dict().items():
        assert torch.equal(training.network.state_dict()[name], value), name


def test_a_checkpoint_of_other_data_or_another_config_is_refused(prepared, parts, tmp_path):
    path = tmp_path / "checkpoint"
    interrupted(prepared, parts, path, 1)
    network = copy.deepcopy(prepared.network)
    with pytest.raises(BadInput, match="was made with other data"):
        load_checkpoint(network, path, CONFIG, "data-b")
    with pytest.raises(BadInput, match="was made with another config: seed 0, now 1"):
        load_checkpoint(network, path, CONFIG.model_copy(update={"seed": 1}), "data-a")


def test_a_damaged_checkpoint_is_refused(prepared, parts, tmp_path):
    path = tmp_path / "checkpoint"
    interrupted(prepared, parts, path, 1)
    state = path / "state.json"
    state.write_text(state.read_text().replace("0", "1", 1))
    with pytest.raises(BadInput):
        load_checkpoint(copy.deepcopy(prepared.network), path, CONFIG, "data-a")


def test_a_later_checkpoint_takes_the_place_of_the_earlier(prepared, parts, tmp_path):
    path = tmp_path / "checkpoint"
    interrupted(prepared, parts, path, 1)
    interrupted(prepared, parts, path, 2)
    found = load_checkpoint(copy.deepcopy(prepared.network), path, CONFIG, "data-a")
    assert [epoch.number for epoch in found.epochs] == [0, 1, 2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint"]
