"""Tests of the tasks: partners are known for scoring alone, and everything that can be tasks is tasks."""

from __future__ import annotations

import numpy as np
import pytest

import unisono as un
from fixtures import N_CELLS, twin_cells, twin_counts
from unisono_bench.tasks import Setting, make_tasks


def test_each_ordered_pair_is_predicted_and_each_pair_matched_once():
    tasks = make_tasks(twin_cells(), seed=0)
    assert [(task.source.modality, task.truth.modality) for task in tasks.predictions] == [
        ("rna", "adt"),
        ("adt", "rna"),
    ]
    assert [(task.left.modality, task.right.modality) for task in tasks.matchings] == [("rna", "adt")]


def test_the_partner_of_each_left_cell_is_the_same_cell():
    (task,) = make_tasks(twin_cells(), seed=0).matchings
    left, right = task.left.counts.toarray(), task.right.counts.toarray()
    assert np.array_equal(left, twin_counts())
    assert np.array_equal(left, right[task.partner])
    assert (task.left.batch == task.right.batch[task.partner]).all()


def test_right_cells_stand_in_another_order_with_each_seed():
    partners = [make_tasks(twin_cells(), seed).matchings[0].partner for seed in (0, 0, 1)]
    assert np.array_equal(partners[0], partners[1])
    assert not np.array_equal(partners[0], partners[2])
    assert not np.array_equal(partners[0], np.arange(N_CELLS))


def test_cell_names_of_a_match_pair_nothing():
    (task,) = make_tasks(twin_cells(), seed=0).matchings
    assert not set(task.left.cells) & set(task.right.cells)
    assert not set(task.right.cells) & set(twin_cells().names)
    assert task.right.cells[0] == "right 0"


def test_settings_are_within_batch_only_where_there_are_several():
    (task,) = make_tasks(twin_cells(), seed=0).matchings
    assert task.settings == (
        Setting(None, False),
        Setting("batch", False),
        Setting(None, True),
        Setting("batch", True),
    )
    assert task.groups(Setting(None, True)) is None
    assert task.groups(Setting("batch", False)) == (task.left.batch, task.right.batch)
    one = np.flatnonzero(twin_cells().batch == "b1")
    (task,) = make_tasks(twin_cells().take(one), seed=0).matchings
    assert task.settings == (Setting(None, False), Setting(None, True))


def test_cells_without_a_second_modality_are_not_asked_about():
    cells = twin_cells()
    rna, adt = cells.views["rna"], cells.views["adt"].take(np.arange(5, 12))
    tasks = make_tasks(un.Cells({"rna": rna, "adt": adt}), seed=0)
    assert list(tasks.predictions[0].source.cells) == [f"cell {i}" for i in range(5, 12)]
    with pytest.raises(ValueError, match="53 test cells, of which no 2 have the same two modalities"):
        make_tasks(un.Cells({"rna": rna, "adt": adt.take(np.arange(1))}), seed=0)
