"""Calibration against hand-computed values."""

import numpy as np
import pytest

from unisono.metrics import expected_calibration_error, finite_sample_calibration_error


def test_calibration_error_by_hand():
    probability = np.array([0.9, 0.8, 0.3, 0.2, 0.0, 1.0])
    correct = np.array([True, False, False, True, False, True])
    # two bins: 0–0.5 holds 0.3, 0.2, 0.0 with 1 right; 0.5–1 holds 0.9, 0.8, 1.0 with 2 right
    assert expected_calibration_error(probability, correct, bins=2) == pytest.approx((0.5 + 0.7) / 6)


def test_frequencies_that_equal_probabilities_have_no_calibration_error():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    correct = rng.random(20_000) < probability
    assert expected_calibration_error(probability, correct) < 0.02
    assert expected_calibration_error(probability, ~correct) > 0.3


def test_no_predictions_have_no_calibration():
    with pytest.raises(ValueError, match="0 probabilities for 0 outcomes"):
        expected_calibration_error(np.empty(0), np.empty(0, dtype=bool))


def test_an_answer_that_is_right_half_of_the_time_counts_half():
    assert expected_calibration_error(np.array([0.5, 0.9]), np.array([0.5, 1.0])) == pytest.approx(0.1 / 2)


def test_the_finite_sample_error_is_the_mean_error_of_outcomes_drawn_from_what_was_stated():
    assert finite_sample_calibration_error(np.full(100, 0.5), draws=4000) == pytest.approx(0.0398, abs=0.001)
    assert finite_sample_calibration_error(np.array([0.0, 1.0])) == 0.0


def test_the_finite_sample_error_shrinks_as_predictions_grow_and_miscalibration_exceeds_it():
    rng = np.random.default_rng(4)
    stated = rng.random(120)
    few, many = finite_sample_calibration_error(stated), finite_sample_calibration_error(np.repeat(stated, 25))
    assert few / many == pytest.approx(5, rel=0.1)
    honest = [expected_calibration_error(stated, rng.random(120) < stated) for _ in range(200)]
    assert np.mean(honest) == pytest.approx(few, rel=0.05)
    boastful = [expected_calibration_error(stated, rng.random(120) < 0.7 * stated) for _ in range(200)]
    assert np.mean(boastful) > 1.3 * few
