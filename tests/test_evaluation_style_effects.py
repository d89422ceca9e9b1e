"""Tests of style effects: shares of variance are a partition, and a swap moves a cell to the other batch alone."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.evaluation.style_effects import style_transfer, variance_shares

RNG = np.random.default_rng(0)
N = 206
BATCH = np.tile(np.array(["x", "y"]), N // 2)
TYPE = np.tile(np.array(["s", "s", "t", "t"]), N)[:N]
SHIFT = {"x": np.array([-1.5, 0.0, 0.0]), "y": np.array([1.5, 0.0, 0.0])}
CONTENT = np.stack([np.zeros(N), np.where(TYPE == "s", -2.0, 2.0), np.zeros(N)], axis=1)
MEASURED = CONTENT + np.stack([SHIFT[name] for name in BATCH]) + 0.3 * RNG.normal(size=(N, 3))


def styled(strength=1.0, content=CONTENT):
    return {name: content + strength * shift for name, shift in SHIFT.items()}


def scored(predicted, cell_type=TYPE):
    found = style_transfer(MEASURED, predicted, BATCH, cell_type)
    assert found is not None
    return found


def test_a_perfect_swap_goes_all_the_way_and_leaves_the_type_alone():
    found = scored(styled())
    assert found.shift_fraction == pytest.approx(1.0, abs=0.05)
    assert (found.called_b_own, found.called_b_swapped) == (0.0, 1.0)
    assert found.called_b_measured > 0.99
    assert (found.type_own, found.type_swapped) == (1.0, 1.0)
    assert (found.n_cells, found.n_batches) == (N, 2)


def test_half_a_shift_goes_half_the_way_and_one_away_from_the_batch_is_negative():
    assert scored(styled(0.5)).shift_fraction == pytest.approx(0.5, abs=0.03)
    assert scored(styled(-0.5)).shift_fraction == pytest.approx(-0.5, abs=0.03)


def test_a_style_that_says_nothing_moves_nothing():
    found = scored(styled(0.0))
    assert found.shift_fraction == 0.0
    assert found.called_b_own == pytest.approx(found.called_b_swapped)


def test_a_style_that_carries_the_type_is_found_out():
    carried = {"x": CONTENT * [1, 0, 1] + SHIFT["x"] - [0, 2, 0], "y": CONTENT * [1, 0, 1] + SHIFT["y"] + [0, 2, 0]}
    found = scored(carried)
    assert found.type_own == pytest.approx(0.5, abs=0.1)
    broken = {name: values * [1, 1 if name == "x" else -1, 1] for name, values in styled().items()}
    assert scored(broken).type_own == pytest.approx(0.5, abs=0.02)
    own = {"x": styled()["x"], "y": np.where((BATCH == "y")[:, None], styled()["y"], styled()["y"] * [1, -1, 1])}
    assert scored(own).type_own == 1.0
    assert scored(own).type_swapped == pytest.approx(0.5, abs=0.02)


def test_without_types_the_batch_is_still_scored():
    found = scored(styled(), None)
    assert (found.type_own, found.type_swapped) == (None, None)
    assert found.called_b_swapped == 1.0
    assert scored(styled(), np.full(N, "s")).type_own is None
    named = np.where(np.arange(N) < 90, TYPE, "")
    assert scored(styled(), named).type_own == 1.0


def test_one_batch_alone_has_nothing_to_swap_with():
    assert style_transfer(MEASURED, styled(), np.full(N, "x"), TYPE) is None
    assert style_transfer(MEASURED, {"x": CONTENT}, BATCH, TYPE) is None


GRID_RNG = np.random.default_rng(0)
ROWS, COLUMNS = GRID_RNG.normal(size=(7, 1, 5)), GRID_RNG.normal(size=(1, 3, 5))


def test_sums_of_content_and_style_leave_nothing_to_both_together():
    found = variance_shares([ROWS + COLUMNS + 4.0])
    of_content, of_style = (values.var(axis=axis).sum() for values, axis in ((ROWS, 0), (COLUMNS, 1)))
    assert found.content == pytest.approx(of_content / (of_content + of_style))
    assert found.style == pytest.approx(of_style / (of_content + of_style))
    assert found.interaction == pytest.approx(0.0, abs=1e-12)
    assert found.total == pytest.approx(of_content + of_style)
    assert (found.n_contents, found.n_styles) == (7, 3)


def test_content_alone_and_style_alone_have_it_all():
    assert variance_shares([ROWS + 0 * COLUMNS]).content == pytest.approx(1.0)
    assert variance_shares([0 * ROWS + COLUMNS]).style == pytest.approx(1.0)


def test_a_product_of_centred_parts_is_all_interaction():
    centred = (ROWS - ROWS.mean(axis=0)) * (COLUMNS - COLUMNS.mean(axis=1))
    assert variance_shares([centred]).interaction == pytest.approx(1.0)


def test_shares_are_a_partition_and_do_not_mind_how_features_come():
    values = GRID_RNG.normal(size=(7, 3, 5)) + ROWS + 2.0 * COLUMNS * ROWS
    whole, parts = variance_shares([values]), variance_shares([values[:, :, :2], values[:, :, 2:]])
    assert whole.content + whole.style + whole.interaction == pytest.approx(1.0)
    assert parts.content == pytest.approx(whole.content)
    assert parts.interaction == pytest.approx(whole.interaction)
    assert whole.total == pytest.approx(values.var(axis=(0, 1)).sum())


def test_a_grid_of_one_style_is_refused():
    with pytest.raises(ValueError, match="7 contents in 1 styles"):
        variance_shares([np.ones((7, 1, 5))])


@pytest.mark.parametrize("blocks", [[np.ones((7, 3, 5))], []])
def test_where_nothing_varies_there_are_no_shares(blocks):
    assert variance_shares(blocks) is None
