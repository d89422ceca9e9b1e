"""Whether stated probabilities come true, as a function of predictions; never sees what the predictions are about."""

from __future__ import annotations

import numpy as np

from unisono.metrics.arrays import Flags, Floats


def expected_calibration_error(probability: Floats, correct: Flags | Floats, bins: int = 15) -> float:
    """How far stated probability is from frequency, 0 to 1: Σ_b n_b/n · |mean correct − mean probability|.

    Args:
        probability: stated probability of each prediction.
        correct: whether it was right, or the chance that it was where several predictions tie.
        bins: bins of equal width over 0 to 1, the upper edge included.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    if len(probability) == 0 or len(probability) != len(correct):
        raise ValueError(
            f"{len(probability)} probabilities for {len(correct)} outcomes, expected as many and at least 1"
        )
    place = np.clip(np.ceil(np.asarray(probability) * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=np.asarray(correct, dtype=np.float64) - probability, minlength=bins)
    return float(np.abs(gap).sum() / len(probability))


def finite_sample_calibration_error(probability: Floats, bins: int = 15, draws: int = 1000, seed: int = 0) -> float:
    """The calibration error to expect of this many predictions if every stated probability were exactly right.

    Few predictions never come out in the stated proportions: only an error above this one shows miscalibration.

    Args:
        probability: stated probability of each prediction.
        bins: as in `expected_calibration_error`.
        draws: times that right and wrong are drawn anew from the stated probabilities.
        seed: of the draws.

    References:
        Bröcker & Smith, "Increasing the reliability of reliability diagrams", Weather and Forecasting 2007.
    """
    rng = np.random.default_rng(seed)
    stated = np.asarray(probability, dtype=np.float64)
    errors = [expected_calibration_error(stated, rng.random(len(stated)) < stated, bins) for _ in range(draws)]
    return float(np.mean(errors))
