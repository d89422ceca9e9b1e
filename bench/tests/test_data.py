"""Tests of data: folds by seed, batch and donor, smaller training sets, and views that survive as AnnData."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import unisono as un
from fixtures import N_CELLS, simulated, twin_cells, twin_mudata
from unisono_bench import ChoiceError
from unisono_bench.data import Dataset, Protocol, make_folds, to_mudata

DATASET = Dataset(Path("twins.h5mu"), "batch")
BATCH = dict(zip(twin_cells().names, twin_cells().batch, strict=True))


def folds(**protocol):
    return make_folds(twin_mudata(), DATASET, Protocol(**protocol))


def places(found) -> list[tuple[str, int]]:
    return [(fold.name, fold.seed) for fold in found]


def batches(names) -> set[str]:
    return {BATCH[name] for name in names}


def test_random_draws_another_split_with_each_seed():
    found = folds(n_seeds=3)
    assert places(found) == [("random", 0), ("random", 1), ("random", 2)]
    assert set(found[0].split.test) != set(found[1].split.test)
    assert found[1].split.test.tolist() == folds(n_seeds=2)[1].split.test.tolist()


def test_each_batch_is_left_out_with_each_seed():
    found = folds(split="leave-one-batch-out", n_seeds=2)
    assert places(found) == [("b0", 0), ("b1", 0), ("b2", 0), ("b0", 1), ("b1", 1), ("b2", 1)]
    assert batches(found[4].split.test) == {"b1"}


def test_each_donor_is_left_out():
    found = folds(split="leave-one-donor-out", n_seeds=1, donor_key="donor")
    assert places(found) == [("d0", 0), ("d1", 0)]
    assert {int(name.split()[1]) % 2 for name in found[1].split.training} == {0}


def test_named_batches_are_the_split_and_others_are_left_out():
    (fold,) = folds(split="batches", n_seeds=1, training_batches=("b2",), test_batches=("b0",))
    assert (fold.name, batches(fold.split.training), batches(fold.split.test)) == ("b0", {"b2"}, {"b0"})


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({"split": "by-hand"}, "'by-hand' is unknown; choose random, leave-one-batch-out"),
        ({"split": "batches"}, "no test batches are named"),
        ({"split": "leave-one-donor-out"}, "needs --donor-key"),
        ({"n_training": 99_999}, "--train-cells 99999: split random has 43 training cells"),
    ],
)
def test_what_makes_no_fold_is_refused(protocol, words):
    with pytest.raises(ChoiceError, match=words):
        folds(**protocol)


def test_leaving_batches_out_needs_the_column_of_the_batch():
    with pytest.raises(ChoiceError, match="needs --batch-key"):
        make_folds(twin_mudata(), replace(DATASET, batch_key=None), Protocol("leave-one-batch-out"))


def test_fewer_training_cells_are_drawn_by_the_seed_and_the_test_cells_stay():
    full, cut, again = (folds(split="batches", n_seeds=2, test_batches=("b0",), n_training=n) for n in (None, 9, 9))
    for whole, small, same in zip(full, cut, again, strict=True):
        assert len(small.split.training) == 9
        assert small.split.training.tolist() == same.split.training.tolist()
        assert set(small.split.training) <= set(whole.split.training)
        assert small.split.test.tolist() == whole.split.test.tolist()
    assert set(cut[0].split.training) != set(cut[1].split.training)


def test_the_smaller_training_set_lies_in_the_larger_one():
    few, more = (folds(n_seeds=1, n_training=n)[0].split for n in (5, 20))
    assert set(few.training) <= set(more.training)


def test_a_fold_takes_the_cells_it_names_and_tells_itself_from_others():
    one, other = folds(n_seeds=2)
    training, test = one.take(twin_cells())
    assert (training.names.tolist(), test.names.tolist()) == (one.split.training.tolist(), one.split.test.tolist())
    assert len({one.fingerprint("x"), other.fingerprint("x"), one.fingerprint("y")}) == 3
    fewer = twin_cells().take(np.arange(1, N_CELLS))
    assert sum(len(part.names) for part in one.take(fewer)) == N_CELLS - 1


def test_cells_come_back_from_a_mudata_as_they_were():
    adt = simulated().views["adt"].take(np.array([140, 3, 77, 20]))
    ids = np.array([f"ENSG{i:011d}" for i in range(61)])
    cells = un.Cells({**simulated().views, "rna": replace(simulated().views["rna"], ids=ids), "adt": adt})
    found = un.read_cells(to_mudata(cells), batch_key="batch")
    assert un.fingerprint(found) == un.fingerprint(cells)
    assert found.views["rna"].ids is not None
    assert found.views["rna"].ids.tolist() == ids.tolist()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ChoiceError, match=r"none\.h5mu: no such file"):
        Dataset(tmp_path / "none.h5mu").read()
