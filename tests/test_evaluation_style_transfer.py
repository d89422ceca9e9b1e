"""Tests of the swap of style: it moves a cell to the other batch, and nothing else; a faulty one is found out."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.evaluation.style_transfer import style_transfer

RNG = np.random.default_rng(0)
N = 206
BATCH = np.tile(np.array(["x", "y"]), N // 2)
TYPE = np.tile(np.array(["s", "s", "t", "t"]), N)[:N]
SHIFT = {"x": np.array([-1.5, 0.0, 0.0]), "y": np.array([1.5, 0.0, 0.0])}
CONTENT = np.stack([np.zeros(N), np.where(TYPE == "s", -2.0, 2.0), np.zeros(N)], axis=1)
MEASURED = CONTENT + np.stack([SHIFT[name] for name in BATCH]) + 0.3 * RNG.normal(size=(N, 3))


def styled(strength=1.0, content=CONTENT):
    return {name: content + strength * shift for name, shift in SHIFT.items()}


def judged(predicted, cell_type=TYPE):
    found = style_transfer(MEASURED, predicted, BATCH, cell_type)
    assert found is not None
    return found


def test_a_perfect_swap_goes_all_the_way_and_leaves_the_type_alone():
    found = judged(styled())
    assert found.shift_fraction == pytest.approx(1.0, abs=0.05)
    assert (found.called_b_own, found.called_b_swapped) == (0.0, 1.0)
    assert found.called_b_measured > 0.99
    assert (found.type_own, found.type_swapped) == (1.0, 1.0)
    assert (found.n_cells, found.n_batches) == (N, 2)


def test_half_a_shift_goes_half_the_way_and_one_away_from_the_batch_is_negative():
    assert judged(styled(0.5)).shift_fraction == pytest.approx(0.5, abs=0.03)
    assert judged(styled(-0.5)).shift_fraction == pytest.approx(-0.5, abs=0.03)


def test_a_style_that_says_nothing_moves_nothing():
    found = judged(styled(0.0))
    assert found.shift_fraction == 0.0
    assert found.called_b_own == pytest.approx(found.called_b_swapped)


def test_a_style_that_carries_the_type_is_found_out():
    carried = {"x": CONTENT * [1, 0, 1] + SHIFT["x"] - [0, 2, 0], "y": CONTENT * [1, 0, 1] + SHIFT["y"] + [0, 2, 0]}
    found = judged(carried)
    assert found.type_own == pytest.approx(0.5, abs=0.1)
    broken = {name: values * [1, 1 if name == "x" else -1, 1] for name, values in styled().items()}
    assert judged(broken).type_own == pytest.approx(0.5, abs=0.02)
    own = {"x": styled()["x"], "y": np.where((BATCH == "y")[:, None], styled()["y"], styled()["y"] * [1, -1, 1])}
    assert judged(own).type_own == 1.0
    assert judged(own).type_swapped == pytest.approx(0.5, abs=0.02)


def test_without_types_the_batch_is_still_judged():
    found = judged(styled(), None)
    assert (found.type_own, found.type_swapped) == (None, None)
    assert found.called_b_swapped == 1.0
    assert judged(styled(), np.full(N, "s")).type_own is None
    named = np.where(np.arange(N) < 90, TYPE, "")
    assert judged(styled(), named).type_own == 1.0


def test_one_batch_alone_has_nothing_to_swap_with():
    assert style_transfer(MEASURED, styled(), np.full(N, "x"), TYPE) is None
    assert style_transfer(MEASURED, {"x": CONTENT}, BATCH, TYPE) is None
