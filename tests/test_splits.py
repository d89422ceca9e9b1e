"""Splits: the fixed protocol, disjoint sides, left-out batches that the fit never meets, and what is refused."""

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
from io_fixtures import refusal
from scipy import sparse

from unisono.reading import read
from unisono.splits import Split, by_groups, leave_one_out, random_split

BATCH = np.array(["s2", "s1", "s3", "s2", "s1"])[np.arange(23) % 5]
NAMES = np.array([f"c{i}" for i in range(23)])


def part(rows, modality="rna", **columns):
    obs = pd.DataFrame({name: values[rows] for name, values in columns.items()}, index=NAMES[rows])
    var = pd.DataFrame(index=[f"{modality}{i}" for i in range(2)])
    return anndata.AnnData(sparse.csr_matrix((len(rows), 2), dtype=np.int64), obs=obs, var=var)


def joined(parts):
    with mudata.set_options(pull_on_update=False):
        return mudata.MuData(parts)


def paired(batch=BATCH, n_cells=23):
    """Cells with both modalities; in adt, which the file holds first, they stand in another order."""
    rows = np.arange(n_cells)
    return joined({"prot": part(rows[::-1], "adt", batch=batch), "rna": part(rows, batch=batch)})


def partly_paired(batch=BATCH):
    """Cells 0 to 15 have rna, 4 to 22 adt: 4 to 15 can be tested."""
    return joined({"rna": part(np.arange(16), batch=batch), "adt": part(np.arange(4, 23), "adt", batch=batch)})


def everyone(split):
    return sorted([*split.training, *split.test])


@pytest.mark.parametrize("seed", [0, 7])
def test_random_is_the_first_fifth_of_a_permutation_by_the_seed_in_the_order_of_rna(seed):
    found = random_split(paired(), seed=seed)
    order = np.random.default_rng(seed).permutation(23)
    assert found.name == f"seed {seed}"
    assert found.test.tolist() == NAMES[np.sort(order[:4])].tolist()
    assert found.training.tolist() == NAMES[np.sort(order[4:])].tolist()


def test_the_test_fraction_is_that_of_the_cells_that_can_be_tested():
    assert len(random_split(paired(), test_fraction=0.5).test) == 11
    assert len(random_split(partly_paired(), test_fraction=0.5).test) == 6


def test_seeds_differ_and_the_same_seed_does_not():
    first, again, other = (random_split(paired(), seed=seed).test.tolist() for seed in (0, 0, 1))
    assert first == again
    assert set(first) != set(other)
    assert random_split(paired()).test.tolist() == first


def test_only_cells_with_two_modalities_are_tested_and_the_others_train():
    found = random_split(partly_paired(), seed=3)
    assert len(found.test) == 2  # a fifth of twelve
    assert set(found.test) <= set(NAMES[4:16])
    assert everyone(found) == sorted(NAMES)


def test_taking_a_split_gives_the_cells_named():
    mdata, found = paired(), random_split(paired(), seed=2)
    training, test = found.take(mdata)
    assert sorted(training.obs_names) == sorted(found.training)
    assert sorted(test.mod["rna"].obs_names) == sorted(test.mod["prot"].obs_names) == sorted(found.test)
    assert not test.is_view


def test_cells_are_taken_from_files_whose_index_has_a_name_in_the_modalities_alone(tmp_path):
    mdata = partly_paired()
    for each in mdata.mod.values():
        each.obs_names.name = "barcode"
    mdata.obs = pd.DataFrame({"age": np.arange(23)}, index=mdata.obs_names)
    mdata.obsm["space"] = np.arange(46).reshape(23, 2)
    mdata.uns["made"] = {"by": "hand"}
    mdata.write_h5mu(tmp_path / "named.h5mu")
    found = random_split(partly_paired(), seed=3)
    training, test = found.take(read(tmp_path / "named.h5mu"))
    assert set(test.obs_names) == set(found.test)
    assert set(training.obs_names) == set(found.training)
    places = [int(name[1:]) for name in training.obs_names]
    assert training.obs["age"].tolist() == places
    assert training.obsm["space"][:, 0].tolist() == [2 * place for place in places]
    assert training["adt"].obs_names.tolist() == [name for name in NAMES[4:] if name in set(found.training)]
    assert test.uns["made"] == {"by": "hand"}


def test_each_batch_is_left_out_once_whole():
    found = leave_one_out(paired(), "batch")
    assert [split.name for split in found] == ["s1", "s2", "s3"]
    for split in found:
        assert split.test.tolist() == NAMES[split.name == BATCH].tolist()
        assert split.training.tolist() == NAMES[split.name != BATCH].tolist()


def test_a_left_out_batch_is_new_to_the_fit_even_where_its_cells_cannot_be_tested():
    for split in leave_one_out(partly_paired(), "batch"):
        batch = dict(zip(NAMES, BATCH, strict=True))
        assert split.name not in {batch[name] for name in split.training}
        missing = set(NAMES) - set(everyone(split))
        assert {batch[name] for name in missing} == {split.name}
        assert not missing & set(NAMES[4:16])


def test_a_batch_without_a_cell_to_test_is_always_training():
    found = leave_one_out(partly_paired(np.where(np.arange(23) < 4, "rna only", BATCH)), "batch")
    assert [split.name for split in found] == ["s1", "s2", "s3"]
    assert all({"c0", "c1", "c2", "c3"} <= set(split.training) for split in found)


def test_batches_are_named_on_both_sides_or_on_the_side_of_the_test_alone():
    both = by_groups(paired(), "batch", test=["s3"], training=["s1"])
    assert (both.name, both.training.tolist()) == ("s3", NAMES[BATCH == "s1"].tolist())
    rest = by_groups(paired(), "batch", test=["s3", "s1"])
    assert (rest.name, rest.training.tolist()) == ("s3+s1", NAMES[BATCH == "s2"].tolist())
    assert rest.test.tolist() == NAMES[BATCH != "s2"].tolist()


def test_named_batches_test_cells_with_two_modalities_alone():
    found = by_groups(partly_paired(), "batch", test=["s1"])
    assert set(found.test) == set(NAMES[4:16]) & set(NAMES[BATCH == "s1"])
    assert set(found.training) == set(NAMES[BATCH != "s1"])


def test_what_cannot_be_split_is_refused_with_a_code():
    found = refusal(leave_one_out, paired(np.full(23, "s1")), "batch")
    assert (found.code, found.what) == ("E058", "all 23 cells have the same batch ('s1').")
    assert refusal(leave_one_out, paired(), "donor").code == "E029"
    assert refusal(random_split, paired(n_cells=4)).code == "E061"
    apart = joined({"rna": part(np.arange(9), batch=BATCH), "adt": part(np.arange(9, 23), "adt", batch=BATCH)})
    assert refusal(random_split, apart).code == "E027"
    assert refusal(random_split, joined({"rna": part(np.arange(9))})).code == "E008"
    found = refusal(by_groups, paired(), "batch", test=["s9"])
    assert (found.code, found.remedy) == ("E062", "the values are s1, s2, s3")
    assert "both training and test" in refusal(by_groups, paired(), "batch", test=["s1"], training=["s1", "s2"]).what
    alone = partly_paired(np.array(["a"] * 4 + ["b"] * 19))
    assert "0 test cells" in refusal(by_groups, alone, "batch", test=["a"]).what


def test_unusual_names_of_modalities_can_be_given():
    mdata = joined({"one": part(np.arange(23)), "two": part(np.arange(23), "adt")})
    assert refusal(random_split, mdata).code == "E007"
    assert len(random_split(mdata, modalities={"one": "rna", "two": "adt"}).test) == 4


def test_a_split_that_tests_what_it_trains_on_cannot_be_made():
    with pytest.raises(ValueError, match="2 cells are both in training and in test"):
        Split("mine", NAMES[:4], NAMES[[2, 3, 5]])
    with pytest.raises(ValueError, match="0 training and 2 test cells"):
        Split("mine", NAMES[:0], NAMES[:2])
