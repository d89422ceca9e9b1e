"""Tests of curves: by hand, and against the area and error that they have to agree with."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.metrics import abstention, expected_calibration_error, reliability, wilson


def test_reliability_has_as_many_answers_a_bin_and_their_means():
    probability = np.array([0.1, 0.9, 0.2, 0.8])
    correct = np.array([False, True, True, True])
    curve = reliability(probability, correct, bins=2)
    np.testing.assert_allclose(curve.x, [0.15, 0.85])
    np.testing.assert_allclose(curve.y, [0.5, 1.0])
    assert list(curve.n) == [2, 2]


def test_reliability_lies_on_the_diagonal_where_probabilities_hold():
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=20_000)
    correct = rng.uniform(size=20_000) < probability
    curve = reliability(probability, correct)
    assert np.abs(curve.x - curve.y).max() < 0.05
    assert expected_calibration_error(probability, correct) < 0.02
    too_sure = reliability(np.sqrt(probability), correct)
    assert np.abs(too_sure.x - too_sure.y).max() > 0.1


def test_fewer_answers_than_bins_give_fewer_points():
    assert len(reliability(np.array([0.3]), np.array([True])).x) == 1


def test_precision_is_that_of_the_surest_first_and_of_all_last():
    probability = np.array([0.2, 0.9, 0.6, 0.4])
    correct = np.array([0.0, 1.0, 1.0, 0.0])
    curve = abstention(probability, correct, points=4)
    np.testing.assert_allclose(curve.x, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(curve.y, [1.0, 1.0, 2 / 3, 0.5])


def test_a_curve_has_no_more_points_than_asked_for():
    curve = abstention(np.linspace(0, 1, 1001), np.ones(1001), points=50)
    assert len(curve.x) == 50
    assert curve.n[-1] == 1001


@pytest.mark.parametrize("curve", [reliability, abstention])
def test_nothing_or_too_few_points_are_refused(curve):
    with pytest.raises(ValueError, match="at least 1"):
        curve(np.array([]), np.array([]))
    with pytest.raises(ValueError, match="2 probabilities for 1"):
        curve(np.array([0.1, 0.2]), np.array([True]))


def test_wilson_holds_the_share_and_shrinks_with_answers():
    low, high = wilson(np.array([0.0, 0.5, 1.0, 0.5]), np.array([11, 11, 11, 1100]))
    assert low[0] == 0.0
    assert high[2] == 1.0
    assert high[0] == pytest.approx(1.96**2 / (11 + 1.96**2))
    roots = np.roots([1 + 1.96**2 / 11, -(2 * 0.5 + 1.96**2 / 11), 0.25])  # (p − share)² = z² p (1 − p) / n
    np.testing.assert_allclose([low[1], high[1]], sorted(roots))
    assert high[3] - low[3] < 0.2 * (high[1] - low[1])
