"""Tests of temper: what is noise is taken back, what is signal stays, and rare peaks are believed least."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from unisono.metrics import auroc_per_feature
from unisono.preprocessing.log_odds import LogOddsShrinkage, fit_log_odds_shrinkage

N_CELLS, N_PEAKS = 301, 83


def drawn(seed=0, signal=1.0, noise=0.0):
    """Cells x peaks: what was open, and a prediction of the log odds' deviations with noise in it."""
    rng = np.random.default_rng(seed)
    base = np.broadcast_to(rng.uniform(-4, -1, N_PEAKS), (N_CELLS, N_PEAKS))
    true = signal * rng.normal(size=base.shape)
    is_open = rng.uniform(size=base.shape) < expit(base + true)
    return is_open, true + noise * rng.normal(size=base.shape), base


def test_the_factor_is_half_the_strength_where_a_peak_was_open_as_often_as_the_prior_says():
    np.testing.assert_allclose(LogOddsShrinkage(0.6, 4.0).of(np.array([0.0, 4.0, 12.0])), [0.0, 0.3, 0.45], rtol=1e-6)
    np.testing.assert_allclose(LogOddsShrinkage(0.6, 0.0).of(np.array([0.5, 7.0])), [0.6, 0.6], rtol=1e-6)


def test_a_right_prediction_is_let_be_and_pure_noise_is_taken_back_whole():
    n_open = np.full(N_PEAKS, 50.0)
    is_open, deviation, base = drawn()
    assert fit_log_odds_shrinkage(is_open, deviation, base, n_open).of(n_open)[0] > 0.8
    assert fit_log_odds_shrinkage(is_open, deviation[::-1], base, n_open).of(n_open)[0] < 0.15


def test_noise_as_large_as_the_signal_halves_the_deviations():
    n_open = np.full(N_PEAKS, 50.0)
    is_open, deviation, base = drawn(signal=0.7, noise=0.7)
    assert fit_log_odds_shrinkage(is_open, deviation, base, n_open).of(n_open)[0] == pytest.approx(0.5, abs=0.12)


def test_where_rare_peaks_are_noise_they_alone_are_taken_back():
    is_open, deviation, base = drawn()
    n_open = np.where(np.arange(N_PEAKS) % 2, 1.0, 400.0)
    deviation[:, n_open == 1] += 3.0 * np.random.default_rng(1).normal(size=(N_CELLS, (n_open == 1).sum()))
    factor = fit_log_odds_shrinkage(is_open, deviation, base, n_open).of(n_open)
    assert factor[n_open == 1].max() < 0.3
    assert factor[n_open == 400].min() > 0.75


def test_tempering_makes_unseen_cells_likelier_and_leaves_the_order_within_a_peak():
    def loss(factor, is_open, deviation, base):
        log_odds = base + factor * deviation
        return (np.logaddexp(0.0, log_odds) - log_odds * is_open).mean()

    n_open = np.full(N_PEAKS, 50.0)
    log_odds_shrinkage = fit_log_odds_shrinkage(*drawn(noise=2.0), n_open)
    leave_one_out_codes = drawn(seed=7, noise=2.0)
    assert loss(log_odds_shrinkage.of(n_open), *leave_one_out_codes) < loss(1.0, *leave_one_out_codes) - 0.1
    is_open, deviation, base = leave_one_out_codes
    plain, tempered = (auroc_per_feature(is_open, base + f * deviation) for f in (1.0, log_odds_shrinkage.of(n_open)))
    np.testing.assert_allclose(plain, tempered)


def test_peaks_that_do_not_fit_are_refused():
    is_open, deviation, base = drawn()
    with pytest.raises(ValueError, match="wanted the same cell x peak"):
        fit_log_odds_shrinkage(is_open[:, 1:], deviation, base, np.ones(N_PEAKS))
