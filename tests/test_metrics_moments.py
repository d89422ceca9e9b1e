"""Moments: the same whether the pairs come at once or in parts, and correlations that are numpy's."""

import numpy as np
import pytest

from unisono.metrics import Moments


def pairs(n_cells=13, n_features=7, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(loc=1e4, size=(n_cells, n_features)) * np.arange(1, n_features + 1)
    return x, x + rng.normal(size=x.shape)


def assert_equal(found, wanted):
    assert found.n == wanted.n
    for name in ("mean", "squares", "low", "high"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("axis", [0, 1])
def test_moments_of_parts_join_to_those_of_the_whole(axis):
    x, y = pairs()
    (x1, x2, x3), (y1, y2, y3) = (np.split(values, [2, 5], axis=axis) for values in (x, y))
    parts = [Moments.of(*part, axis) for part in ((x1, y1), (x2, y2), (x3, y3))]
    whole = Moments.of(x, y, axis)
    assert_equal(parts[0].joined(parts[1]).joined(parts[2]), whole)
    assert_equal(parts[0].joined(parts[1].joined(parts[2])), whole)
    assert parts[0].n == 2


@pytest.mark.parametrize("axis", [0, 1])
def test_pooled_moments_are_those_of_the_flattened_values(axis):
    x, y = pairs()
    assert_equal(Moments.of(x, y, axis).pooled(), Moments.of(x.reshape(-1, 1), y.reshape(-1, 1), 0))


def test_correlations_of_values_far_from_zero_are_numpys():
    x, y = pairs()
    wanted = [np.corrcoef(a, b)[0, 1] for a, b in zip(x.T, y.T, strict=True)]
    np.testing.assert_allclose(Moments.of(x, y, 0).correlations().values, wanted, rtol=1e-9)


def test_a_lane_that_is_constant_in_each_part_but_not_overall_has_a_correlation():
    first, second = Moments.of(np.zeros((3, 1)), np.ones((3, 1)), 0), Moments.of(np.ones((5, 1)), np.zeros((5, 1)), 0)
    assert first.correlations() == (0, 1)
    assert first.joined(second).correlations() == (-1, 0)


def test_the_moments_given_are_not_changed():
    x, y = pairs()
    first, untouched = Moments.of(x, y, 0), Moments.of(x, y, 0)
    first.joined(Moments.of(y, x, 0)).pooled()
    assert_equal(first, untouched)
