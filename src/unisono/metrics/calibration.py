"""Whether stated probabilities and intervals hold, as errors and curves; never sees what the predictions are about."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unisono.metrics.arrays import Flags, Floats


def expected_calibration_error(probability: Floats, correct: Flags | Floats, bins: int = 15) -> float:
    """How far stated probability is from frequency, 0 to 1: Σ_b n_b/n · `|mean correct − mean probability|`.

    Args:
        probability: stated probability of each prediction.
        correct: whether it was right, or the chance that it was where several predictions tie.
        bins: bins of equal width over 0 to 1, the upper edge included.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017.

    Examples:
        Five predictions of probability 0.8 should be right four times; these are right once:

        >>> import numpy as np, unisono as un
        >>> is_right = np.array([True, False, False, False, False])
        >>> round(un.metrics.expected_calibration_error(np.full(5, 0.8), is_right), 2)
        0.6
    """
    _require_outcomes(probability, correct)
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

    Examples:
        A single prediction of probability 0.5 is off by 0.5, right or wrong; of a thousand, about half are right:

        >>> import numpy as np, unisono as un
        >>> un.metrics.finite_sample_calibration_error(np.array([0.5]))
        0.5
        >>> round(un.metrics.finite_sample_calibration_error(np.full(1000, 0.5)), 2)
        0.01
    """
    rng = np.random.default_rng(seed)
    stated = np.asarray(probability, dtype=np.float64)
    errors = [expected_calibration_error(stated, rng.random(len(stated)) < stated, bins) for _ in range(draws)]
    return float(np.mean(errors))


Counts = NDArray[np.intp]


class Curve(NamedTuple):
    """Points of a curve from left to right, and the number of predictions behind each."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    n: Counts


def reliability(probability: Floats, correct: Flags | Floats, bins: int = 15) -> Curve:
    """Share of right predictions over mean stated probability, in bins of as many predictions each.

    Bins of equal width, as of `expected_calibration_error`, would hold nearly all predictions in the first one, since a
    match among thousands of cells is rarely likely.

    Args:
        probability: stated probability of each prediction, 0 to 1.
        correct: whether it was right, or the chance that it was where several predictions tie.
        bins: points of the curve, fewer where there are fewer predictions.

    Returns:
        x the mean probability of a bin, y the share of right predictions in it; on the diagonal if probabilities hold.

    Examples:
        Of the two predictions of probability 0.8 one is right, of those of 0.2 none:

        >>> import numpy as np, unisono as un
        >>> is_right = np.array([False, True, False, False])
        >>> un.metrics.reliability(np.array([0.2, 0.8, 0.2, 0.8]), is_right, bins=2)
        Curve(x=array([0.2, 0.8]), y=array([0. , 0.5]), n=array([2, 2]))
    """
    _require_outcomes(probability, correct)
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    x, y = (
        np.array([np.mean(np.asarray(v, dtype=np.float64)[part]) for part in parts]) for v in (probability, correct)
    )
    return Curve(x, y, np.array([len(part) for part in parts]))


def abstention(probability: Floats, correct: Flags | Floats, points: int = 100) -> Curve:
    """Precision over the share of cells that get a prediction, when the least sure are left without one.

    Args:
        probability: stated probability of each prediction.
        correct: whether it was right, or the chance that it was.
        points: most points of the curve.

    Returns:
        x the share with a prediction, up to 1, y the share of right predictions among those.

    Examples:
        The surest half of the predictions is right, the other half wrong:

        >>> import numpy as np, unisono as un
        >>> is_right = np.array([True, True, False, False])
        >>> un.metrics.abstention(np.array([0.9, 0.8, 0.6, 0.3]), is_right, points=2)
        Curve(x=array([0.5, 1. ]), y=array([1. , 0.5]), n=array([2, 4]))
    """
    _require_outcomes(probability, correct)
    order = np.argsort(-np.asarray(probability), kind="stable")
    right = np.cumsum(np.asarray(correct, dtype=np.float64)[order])
    n = np.unique(np.ceil(np.linspace(0, 1, points + 1)[1:] * len(order)).astype(int))
    return Curve(n / len(order), right[n - 1] / n, n)


def wilson(share: Floats, n: Counts, z: float = 1.96) -> tuple[Floats, Floats]:
    """Between which shares the true one lies with 95 % confidence (z = 1.96), for shares of n predictions each.

    References:
        Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Examples:
        Half of 10 predictions, and half of 1,000:

        >>> import numpy as np, unisono as un
        >>> low, high = un.metrics.wilson(np.array([0.5, 0.5]), np.array([10, 1000]))
        >>> low.round(2), high.round(2)
        (array([0.24, 0.47]), array([0.76, 0.53]))
    """
    scale = 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def _require_outcomes(probability: Floats, correct: Flags | Floats) -> None:
    if len(probability) == 0 or len(probability) != len(correct):
        raise ValueError(
            f"{len(probability)} probabilities for {len(correct)} outcomes, expected as many and at least 1"
        )
