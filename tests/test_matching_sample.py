"""Tests of the sample of cells: drawn by what they are, wherever they stand, and at random otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.matching.sample import sample

VECTORS = np.random.default_rng(0).normal(size=(3001, 5)).astype(np.float32)


def test_few_cells_are_all_drawn_in_their_order():
    np.testing.assert_array_equal(sample(VECTORS[:7], 7, 1), np.arange(7))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_cells_are_drawn_in_the_same_order_wherever_they_stand(dtype):
    order = np.random.default_rng(1).permutation(len(VECTORS))
    vectors = VECTORS.astype(dtype)
    np.testing.assert_array_equal(order[sample(vectors[order], 401, 1)], sample(vectors, 401, 1))


def test_the_last_bits_of_a_product_change_few_of_them():
    nearly = VECTORS * np.float32(1 + 1e-7)
    n_kept = len(np.intersect1d(sample(nearly, 401, 1), sample(VECTORS, 401, 1)))
    assert n_kept > 401 * 0.97


def test_none_is_drawn_twice_and_another_seed_draws_others():
    one, other = sample(VECTORS, 401, 1), sample(VECTORS, 401, 2)
    assert len(np.unique(one)) == 401
    assert len(np.intersect1d(one, other)) == pytest.approx(401**2 / 3001, abs=25)  # 6.2 is one standard deviation


def test_which_are_drawn_says_nothing_of_their_values():
    """Over seeds, every cell is as likely, large or small, and neighbours no more often together than others."""
    is_drawn = np.zeros((200, len(VECTORS)))
    for seed, row in enumerate(is_drawn):
        row[sample(VECTORS, 401, seed)] = 1
    share = 401 / 3001
    deviation = np.sqrt(share * (1 - share) / 200)
    assert is_drawn.mean(axis=0).std() == pytest.approx(deviation, rel=0.1)
    assert abs(np.corrcoef(is_drawn.mean(axis=0), np.linalg.norm(VECTORS, axis=1))[0, 1]) < 0.08
    twins = sample(np.concatenate([VECTORS, VECTORS * np.float32(1.01)]), 802, 1) % 3001
    assert 802 - len(np.unique(twins)) == pytest.approx(802**2 / 2 / 6002, abs=25)  # as by chance, not 401
