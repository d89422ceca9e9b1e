"""A refit leaves no cell out, trains as long as it is told, and is the same for one seed."""

import numpy as np
import pytest
import torch

from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.training.refit import refit
from unisono.types import Cells

CPU = torch.device("cpu")
CONFIG = FitConfig(
    n_members=2,
    n_codes=7,
    n_sampled_features=13,
    architecture={"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5},
)


@pytest.fixture(scope="module")
def cells():
    views = simulate_cells(Recipe(n_cells=103, n_genes=53, n_peaks=71, n_proteins=11, seed=7)).cells.views
    return Cells({"rna": views["rna"], "adt": views["adt"]})


def test_no_cell_is_held_out_and_every_epoch_is_told(cells):
    told = []
    made = refit(cells, CONFIG, 3, CPU, told.append)
    assert made.held_out is None
    assert all(view.counts.n_cells == 103 for view in made.views.values())
    assert [epoch.number for epoch in told] == [0, 1, 2, 3]


def test_no_epochs_leave_the_closed_form_and_some_do_not(cells):
    start, trained = (refit(cells, CONFIG, n_epochs, CPU).network.state_dict() for n_epochs in (0, 2))
    assert not start["contents.rna.to_mu.weight"].any()
    assert trained["contents.rna.to_mu.weight"].any()


def test_two_refits_with_one_seed_agree_to_the_bit(cells):
    one, other = (refit(cells, CONFIG, 2, CPU).network.state_dict() for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)
