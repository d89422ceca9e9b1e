"""Tests of novelty: an affine invariant distance, calibrated on cells that the Gaussian has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.config import UncertaintyConfig
from unisono.uncertainty.novelty import Novelty


def fit(x, leave_one_out=None):
    return Novelty.fit(x, x if leave_one_out is None else leave_one_out, UncertaintyConfig())


def cells(n_cells, seed=0, n_codes=7):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(n_codes, n_codes))
    return (rng.normal(size=(n_cells, n_codes)) @ mixing + 3.0).astype(np.float32)


@pytest.mark.parametrize("n_cells", [61, 2003])
def test_one_unseen_cell_in_20_lies_beyond_1_however_few_cells_there_were(n_cells):
    shares = [(fit(cells(n_cells, seed)).of(cells(4001, seed + 50)) > 1).mean() for seed in range(8)]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.02)


def test_with_many_cells_it_is_the_mahalanobis_distance():
    x = cells(20_011)
    found = fit(x).of(x[:13])
    centred = x - x.mean(axis=0)
    inverse = np.linalg.inv(np.cov(centred, rowvar=False))
    wanted = np.sqrt(np.einsum("ij,jk,ik->i", centred[:13], inverse, centred[:13]))
    np.testing.assert_allclose(found / wanted, (found / wanted).mean(), rtol=0.01)


def test_the_mean_is_least_novel_and_distance_grows_along_any_line():
    x = cells(501)
    novelty = fit(x)
    steps = x.mean(axis=0) + np.arange(5)[:, None] * np.random.default_rng(2).normal(size=7)
    found = novelty.of(steps.astype(np.float32))
    assert found[0] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(found, found[1] * np.arange(5), rtol=1e-3, atol=1e-3)


def test_a_direction_of_small_variance_counts_for_more():
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(901, 2)) * [1.0, 5.0]).astype(np.float32)
    narrow, wide = fit(x).of(np.array([[4.0, 0.0], [0.0, 4.0]], dtype=np.float32))
    assert narrow > 3 * wide


def test_more_codes_than_cells_and_codes_that_never_vary_are_borne():
    x = np.hstack([cells(11, n_codes=23), np.ones((11, 2), dtype=np.float32)])
    found = fit(x).of(x)
    assert np.isfinite(found).all()
    assert 0 < found.max() < 2


def test_a_cell_unlike_training_cells_that_are_all_alike_is_finitely_far():
    novelty = fit(np.ones((11, 3), dtype=np.float32))
    found = novelty.of(np.array([[1.0, 1.0, 1.0], [1e7, 1.0, 1.0], [2e7, 1.0, 1.0]], dtype=np.float32))
    assert found[0] == 0
    assert found[1] > 1e18
    assert found[2] / found[1] == pytest.approx(2, rel=1e-5)


def test_rescaling_keeps_the_order_and_puts_one_unseen_cell_in_20_beyond_1():
    novelty, other = fit(cells(61)), 1.7 * cells(1001, 3)
    again = novelty.rescaled(other, 0.95)
    assert (again.of(other) > 1).mean() == pytest.approx(0.05, abs=0.002)
    ratio = again.of(cells(13, 4)) / novelty.of(cells(13, 4))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert ratio[0] < 0.9


def test_too_few_cells_are_refused():
    assert np.isfinite(fit(cells(2)).of(cells(3))).all()
    with pytest.raises(ValueError, match="1 cells: expected 2 or more"):
        fit(cells(1))


def test_cells_read_as_if_unseen_set_the_unit_and_nothing_else():
    x = cells(303)
    smaller = (0.5 * (x - x.mean(axis=0)) + x.mean(axis=0)).astype(np.float32)
    plain, corrected = fit(x), fit(x, smaller)
    query = cells(50, seed=7)
    ratio = corrected.of(query) / plain.of(query)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert ratio[0] == pytest.approx(2.0, rel=0.05)
