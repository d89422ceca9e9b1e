"""Tests of the exam: partners are told to the judge alone, and every question that can be asked is asked."""

from __future__ import annotations

import numpy as np
import pytest
from benchmark_fixtures import N_CELLS, twin_cells, twin_counts

from unisono_bench.exam import exam
from unisono.types import Cells


def test_each_ordered_pair_is_predicted_and_each_pair_matched_once():
    asked = exam(twin_cells(), seed=0)
    assert [question.task for question in asked.predictions] == ["rna->adt", "adt->rna"]
    assert [question.task for question in asked.matchings] == ["rna~adt"]


def test_the_partner_of_each_left_cell_is_the_same_cell():
    (question,) = exam(twin_cells(), seed=0).matchings
    left, right = question.left.counts.toarray(), question.right.counts.toarray()
    assert np.array_equal(left, twin_counts())
    assert np.array_equal(left, right[question.partner])
    assert (question.left.batch == question.right.batch[question.partner]).all()


def test_right_cells_stand_in_another_order_with_each_seed():
    partners = [exam(twin_cells(), seed).matchings[0].partner for seed in (0, 0, 1)]
    assert np.array_equal(partners[0], partners[1])
    assert not np.array_equal(partners[0], partners[2])
    assert not np.array_equal(partners[0], np.arange(N_CELLS))


def test_names_of_cells_to_match_pair_nothing():
    (question,) = exam(twin_cells(), seed=0).matchings
    assert not set(question.left.cells) & set(question.right.cells)
    assert not set(question.right.cells) & set(twin_cells().names)
    assert question.right.cells[0] == "right 0"


def test_settings_are_within_batch_only_where_there_are_several():
    (question,) = exam(twin_cells(), seed=0).matchings
    assert [s.suffix for s in question.settings] == ["", " within batch", " with depth", " within batch with depth"]
    assert [s.depth for s in question.settings] == [False, False, True, True]
    one = np.flatnonzero(twin_cells().batch == "b1")
    (question,) = exam(twin_cells().take(one), seed=0).matchings
    assert [s.suffix for s in question.settings] == ["", " with depth"]


def test_cells_without_a_second_modality_are_not_asked_about():
    cells = twin_cells()
    rna, adt = cells.views["rna"], cells.views["adt"].take(np.arange(5, 12))
    asked = exam(Cells({"rna": rna, "adt": adt}), seed=0)
    assert list(asked.predictions[0].source.cells) == [f"cell {i}" for i in range(5, 12)]
    with pytest.raises(ValueError, match="53 test cells, of which no 2 have the same two modalities"):
        exam(Cells({"rna": rna, "adt": adt.take(np.arange(1))}), seed=0)
