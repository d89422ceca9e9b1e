"""Splits: the fixed protocol, disjoint sides, left-out batches that the fit never meets, and what is refused."""

import numpy as np
import pytest
from io_fixtures import refusal
from scipy import sparse

from unisono.demo import split as split_of_the_demo
from unisono.evaluation.splits import SPLITS, Split, split_cells
from unisono.types import Cells, View

BATCH = np.array(["s2", "s1", "s3", "s2", "s1"])[np.arange(23) % 5]


def view(modality, rows, batch=BATCH):
    names = np.array([f"c{i}" for i in range(23)])[rows]
    counts = sparse.csr_matrix((len(rows), 2), dtype=np.int64)
    return View(modality, counts, names, np.array(["f0", "f1"]), batch[rows])


def paired(batch=BATCH):
    """23 cells with both modalities; in adt they stand in another order."""
    return Cells({m: view(m, rows, batch) for m, rows in (("rna", np.arange(23)), ("adt", np.arange(22, -1, -1)))})


def partly_paired():
    """Cells 0–15 have rna, 4–22 adt: 4–15 can be tested."""
    return Cells({"rna": view("rna", np.arange(16)), "adt": view("adt", np.arange(4, 23))})


@pytest.mark.parametrize("seed", [0, 7])
def test_random_is_the_first_fifth_of_a_permutation_by_the_seed(seed):
    (found,) = split_cells(paired(), "random", seed=seed)
    order = np.random.default_rng(seed).permutation(23)
    assert found.name == f"seed {seed}"
    np.testing.assert_array_equal(found.test, np.sort(order[:4]))
    np.testing.assert_array_equal(found.training, np.sort(order[4:]))


def test_seeds_differ_and_the_same_seed_does_not():
    first, again, other = (split_cells(paired(), "random", seed=seed)[0].test for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(other)
    assert set(split_cells(paired(), "random")[0].test) == set(first)


def test_seed_zero_is_the_split_of_the_demonstration():
    from unisono.datasets import simulate
    from unisono.io.read import cells_from_mudata

    mdata = simulate(n_cells=41, n_genes=12, n_peaks=15, n_proteins=4, seed=0)
    cells, _ = cells_from_mudata(mdata, batch_key="batch")
    training, test = split_of_the_demo(mdata)
    (found,) = split_cells(cells, "random")
    assert sorted(cells.names[found.test]) == sorted(test.obs_names)
    assert sorted(cells.names[found.training]) == sorted(training.obs_names)


def test_only_cells_with_two_modalities_are_tested_and_the_others_train():
    cells = partly_paired()
    (found,) = split_cells(cells, "random", seed=3)
    assert len(found.test) == 2  # a fifth of twelve
    for name in cells.names[found.test]:
        assert 4 <= int(name[1:]) < 16
    np.testing.assert_array_equal(np.union1d(found.training, found.test), np.arange(23))


@pytest.mark.parametrize("name", SPLITS)
def test_no_cell_is_on_both_sides_and_every_cell_that_can_be_tested_is_on_one(name):
    for found in split_cells(partly_paired(), name, seed=5, donor=BATCH):
        assert not set(found.training) & set(found.test)
        assert set(range(4, 16)) <= set(found.training) | set(found.test)


def test_each_batch_is_left_out_once_whole():
    found = split_cells(paired(), "leave-one-batch-out")
    assert [split.name for split in found] == ["s1", "s2", "s3"]
    cells = paired()
    for split in found:
        assert set(cells.batch[split.test]) == {split.name}
        assert split.name not in cells.batch[split.training]
        assert len(split.training) + len(split.test) == 23
    np.testing.assert_array_equal(np.sort(np.concatenate([split.test for split in found])), np.arange(23))


def test_a_left_out_batch_is_new_to_the_fit_even_where_its_cells_cannot_be_tested():
    cells = partly_paired()
    for split in split_cells(cells, "leave-one-batch-out"):
        assert split.name not in cells.batch[split.training]
        missing = np.setdiff1d(np.arange(23), np.union1d(split.training, split.test))
        assert set(cells.batch[missing]) == {split.name}
        assert not set(cells.names[missing]) & {f"c{i}" for i in range(4, 16)}


def test_a_batch_without_a_cell_to_test_is_always_training():
    batch = np.where(np.arange(23) < 4, "rna only", BATCH)
    cells = Cells({"rna": view("rna", np.arange(16), batch), "adt": view("adt", np.arange(4, 23), batch)})
    found = split_cells(cells, "leave-one-batch-out")
    assert [split.name for split in found] == ["s1", "s2", "s3"]
    for split in found:
        assert {"c0", "c1", "c2", "c3"} <= set(cells.names[split.training])


def test_donors_are_left_out_by_their_own_labels():
    donor = np.array(["d1", "d2", "d2", "d10"])[np.arange(23) % 4]
    found = split_cells(paired(), "leave-one-donor-out", donor=donor)
    assert [split.name for split in found] == ["d1", "d10", "d2"]
    for split in found:
        np.testing.assert_array_equal(split.test, np.flatnonzero(donor == split.name))
        np.testing.assert_array_equal(split.training, np.flatnonzero(donor != split.name))


def test_what_cannot_be_split_is_refused_with_a_code():
    one = np.full(23, "s1")
    found = refusal(split_cells, paired(one), "leave-one-batch-out")
    assert (found.code, found.what) == ("E058", "all 23 cells are of one batch ('s1').")
    found = refusal(split_cells, paired(), "leave-one-donor-out", donor=one)
    assert (found.code, "one donor" in found.what) == ("E058", True)
    found = refusal(split_cells, paired(), "by-moon")
    assert found.code == "E059"
    assert all(name in found.remedy for name in SPLITS)
    found = refusal(split_cells, paired(), "leave-one-donor-out")
    assert (found.code, found.what) == ("E060", "no donors are given.")
    found = refusal(split_cells, paired(), "leave-one-donor-out", donor=BATCH[:22])
    assert (found.code, found.what) == ("E060", "22 donors for 23 cells.")
    few = Cells({m: view(m, np.arange(4)) for m in ("rna", "adt")})
    assert refusal(split_cells, few, "random").code == "E061"
    apart = Cells({"rna": view("rna", np.arange(9)), "adt": view("adt", np.arange(9, 23))})
    assert refusal(split_cells, apart, "random").code == "E027"


def test_a_split_that_tests_what_it_trains_on_cannot_be_made():
    with pytest.raises(ValueError, match="2 cells are both in training and in test"):
        Split("mine", np.array([0, 1, 2, 3]), np.array([2, 3, 5]))
    with pytest.raises(ValueError, match="0 training and 2 test cells"):
        Split("mine", np.array([], dtype=int), np.array([0, 1]))
