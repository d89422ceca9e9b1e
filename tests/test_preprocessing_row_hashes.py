"""Tests of the numbers by which training cells are known again: of counts and names alone, in any order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from io_fixtures import counts
from model_fixtures import noticed, rebuilt, small_model, take, test_cells, training
from scipy import sparse

import unisono as un
from unisono.evaluation.scores import read_test
from unisono.messages import Finding
from unisono.model.query import QueryOptions
from unisono.preprocessing.row_hashes import row_hashes

NAMES = np.array([f"g{i}" for i in range(13)])
COUNTS = counts(7, 13) + 1


def numbers(values, names=NAMES) -> list[int]:
    return row_hashes(sparse.csr_matrix(values), names).tolist()


def test_the_number_of_a_cell_is_the_sum_of_its_counts_times_numbers_of_the_names():
    units = [numbers(np.repeat([[1 + (i == j) for i in range(13)]], 1, axis=0))[0] for j in range(13)]
    base = numbers(np.ones((1, 13), dtype=int))[0]
    of_name = [(unit - base) % 2**64 for unit in units]
    assert sum(of_name) % 2**64 == base
    wanted = [sum(int(c) * h for c, h in zip(cell, of_name, strict=True)) % 2**64 for cell in COUNTS]
    assert numbers(COUNTS) == wanted


def test_the_order_of_features_does_not_count_and_that_of_cells_is_kept():
    features, cells = np.random.default_rng(1).permutation(13), np.random.default_rng(2).permutation(7)
    assert numbers(COUNTS[:, features], NAMES[features]) == numbers(COUNTS)
    assert numbers(COUNTS[cells]) == [numbers(COUNTS)[i] for i in cells]
    assert numbers(COUNTS[:, features]) != numbers(COUNTS)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float32, np.float64])
def test_the_dtype_does_not_count(dtype):
    assert numbers(COUNTS.astype(dtype)) == numbers(COUNTS)


def test_features_without_counts_do_not_count():
    wider = np.hstack([COUNTS, np.zeros((7, 4), dtype=int)])
    assert numbers(wider, np.array([*NAMES, "a", "b", "c", "d"])) == numbers(COUNTS)


@pytest.mark.parametrize("change", [1, -1])
def test_one_count_more_or_less_makes_another_number(change):
    other = COUNTS.copy()
    other[3, 8] += change
    assert [a == b for a, b in zip(numbers(other), numbers(COUNTS), strict=True)] == [i != 3 for i in range(7)]


def test_counts_under_other_names_make_another_number():
    assert not set(numbers(COUNTS, np.char.add(NAMES, "x"))) & set(numbers(COUNTS))


def test_large_counts_are_added_modulo_2_to_the_64():
    large = np.full((1, 13), 2**40, dtype=np.int64)
    assert numbers(large)[0] == numbers(np.ones((1, 13), dtype=int))[0] * 2**40 % 2**64


def test_a_cell_with_fewer_than_five_features_has_no_number_of_its_own():
    values = np.zeros((2, 13), dtype=int)
    values[0, :4], values[1, :5] = 9, 9
    first, second = numbers(values)
    assert first == 0
    assert second != 0


def seen(query, model=None) -> list[Finding]:
    """W064 for cells that the model was fitted on."""
    with noticed() as texts:
        found = read_test(model or small_model(), query, "t", QueryOptions())[1]
    assert [text for text in texts if text.startswith("W064")] == [str(finding) for finding in found]
    return found


def n_seen(query, model=None) -> int:
    found = seen(query, model)
    assert [finding.code for finding in found] == ["W064"] * len(found)
    return int(found[0].what.split()[0]) if found else 0


def some(rows=slice(0, 23)) -> dict[str, AnnData]:
    return {name: part.copy() for name, part in take(training(), rows).mod.items()}


def test_training_cells_are_known_again_and_test_cells_are_not():
    found = seen(take(training(), slice(5, 17)))[0]
    assert found.what.startswith("12 of 12 test cells were training cells of this model (first: ")
    assert n_seen(training()) == 151
    assert seen(test_cells()) == []


def test_of_a_mixture_only_those_seen_are_counted():
    old, new = some(slice(0, 11)), test_cells()
    with noticed():
        parts = {name: stacked(old[name], new[name].copy()) for name in old}
    assert n_seen(rebuilt(parts)) == 11


def stacked(first: AnnData, second: AnnData) -> AnnData:
    return AnnData(
        sparse.vstack([first.X, second.X]).tocsr(),
        pd.concat([first.obs, second.obs]),
        pd.DataFrame(index=first.var_names),
    )


def test_cells_in_another_order_under_other_names_with_features_in_another_order_are_known():
    rng = np.random.default_rng(3)
    parts = some(rng.permutation(151)[:37])
    parts = {name: part[:, rng.permutation(part.n_vars)].copy() for name, part in parts.items()}
    for part in parts.values():
        part.obs_names = [f"z{i}" for i in range(37)]
    assert n_seen(rebuilt(parts)) == 37


@pytest.mark.parametrize("make", [np.asarray, sparse.csc_matrix])
@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float64])
def test_another_container_and_dtype_change_nothing(make, dtype):
    parts = some()
    for part in parts.values():
        part.X = make(part.X.toarray().astype(dtype))
    assert n_seen(rebuilt(parts)) == 23


def test_a_cell_of_which_every_modality_was_changed_by_one_is_not_known():
    parts = some()
    for part in parts.values():
        values = part.X.toarray()
        values[4, np.flatnonzero(values[4])[0]] += 1
        part.X = sparse.csr_matrix(values)
    assert n_seen(rebuilt(parts)) == 22
    assert n_seen(rebuilt(parts | {"adt": some()["adt"]})) == 23


def test_features_that_the_model_does_not_know_do_not_hide_a_cell():
    rna = some()["rna"]
    wider = AnnData(
        sparse.hstack([rna.X, sparse.csr_matrix(np.ones((23, 2), np.float32))]).tocsr(),
        rna.obs,
        pd.DataFrame(index=[*rna.var_names, "new 1", "new 2"]),
    )
    adt = some()["adt"]
    adt.var_names = [f"{name}_TotalSeqB" for name in adt.var_names]
    assert n_seen(rebuilt({"rna": wider, "adt": adt[:, :7].copy()})) == 23


def test_a_model_that_was_saved_and_loaded_knows_its_cells(tmp_path):
    small_model().save(tmp_path / "m")
    loaded = un.load(tmp_path / "m", device="cpu")
    assert n_seen(take(training(), slice(3, 14)), loaded) == 11
    assert seen(test_cells(), loaded) == []


def test_a_calibrated_model_knows_its_training_cells_still():
    calibrated = small_model().calibrate(test_cells())
    assert n_seen(take(training(), slice(3, 14)), calibrated) == 11
    assert seen(test_cells(), calibrated) == []
