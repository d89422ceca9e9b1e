"""Tests of rounds: each split and seed once, the seed draws the split where it should, batches by name."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark_fixtures import N_CELLS, twin_cells

from unisono_bench.rounds import rounds
from unisono.messages import BadInput


def places(found) -> list[tuple[str, int]]:
    return [(turn.name, turn.seed) for turn in found]


def test_random_draws_another_split_with_each_seed():
    found = rounds(twin_cells(), "random", 3)
    assert places(found) == [("random", 0), ("random", 1), ("random", 2)]
    assert not np.array_equal(found[0].split.test, found[1].split.test)
    assert np.array_equal(found[1].split.test, rounds(twin_cells(), "random", 2)[1].split.test)


def test_each_batch_is_left_out_with_each_seed():
    found = rounds(twin_cells(), "leave-one-batch-out", 2)
    assert places(found) == [("b0", 0), ("b1", 0), ("b2", 0), ("b0", 1), ("b1", 1), ("b2", 1)]
    assert set(twin_cells().batch[found[4].split.test]) == {"b1"}


def test_each_donor_is_left_out():
    donor = np.asarray([f"d{i % 2}" for i in range(N_CELLS)])
    found = rounds(twin_cells(), "leave-one-donor-out", 1, donor=donor)
    assert places(found) == [("d0", 0), ("d1", 0)]
    assert set(donor[found[1].split.training]) == {"d0"}


def test_named_batches_are_the_split_and_others_are_left_out():
    (turn,) = rounds(twin_cells(), "batches", 1, training=["b2"], test=["b0"])
    batch = twin_cells().batch
    assert (turn.name, set(batch[turn.split.training]), set(batch[turn.split.test])) == ("b0", {"b2"}, {"b0"})


def test_all_other_batches_are_training_unless_told():
    (turn,) = rounds(twin_cells(), "batches", 1, test=["b0"])
    assert set(twin_cells().batch[turn.split.training]) == {"b1", "b2"}


@pytest.mark.parametrize(
    ("training", "test", "words"),
    [
        (["b1"], None, "no test batches are named"),
        (["b1"], ["b9"], "no batch 'b9'. Fix: the batches are b0, b1, b2"),
        (["b7"], ["b1"], "no batch 'b7'"),
        (["b1", "b2"], ["b2"], "'b2' is a training and a test batch"),
        (None, ["b0", "b1", "b2"], "0 training cells"),
    ],
)
def test_batches_that_make_no_split_are_refused(training, test, words):
    with pytest.raises(BadInput, match="E062 split batches") as refusal:
        rounds(twin_cells(), "batches", 1, training=training, test=test)
    assert words in str(refusal.value)
    assert "Fix: " in str(refusal.value)


def test_an_unknown_split_is_refused():
    with pytest.raises(BadInput, match="E059"):
        rounds(twin_cells(), "by-hand", 1)


def test_fewer_training_cells_are_drawn_by_the_seed_and_the_test_cells_stay():
    whole = rounds(twin_cells(), "batches", 2, test=["b0"])
    cut = rounds(twin_cells(), "batches", 2, test=["b0"], n_training=9)
    again = rounds(twin_cells(), "batches", 2, test=["b0"], n_training=9)
    for turn, small, same in zip(whole, cut, again, strict=True):
        assert len(small.split.training) == 9
        assert np.array_equal(small.split.training, same.split.training)
        assert np.isin(small.split.training, turn.split.training).all()
        assert np.array_equal(small.split.test, turn.split.test)
    assert not np.array_equal(cut[0].split.training, cut[1].split.training)


def test_the_smaller_training_set_lies_in_the_larger_one():
    few, more = (rounds(twin_cells(), "random", 1, n_training=n)[0].split for n in (5, 20))
    assert np.isin(few.training, more.training).all()


def test_more_training_cells_than_there_are_is_refused():
    with pytest.raises(BadInput, match="E061 split seed 0: 99999 training cells are wanted of"):
        rounds(twin_cells(), "random", 1, n_training=99_999)
