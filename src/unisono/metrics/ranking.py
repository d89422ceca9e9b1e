"""Areas under the ROC and the precision–recall curve of ranked items, ties and all; never sees cells or names."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Real

from unisono.metrics.arrays import Floats


class Areas(NamedTuple):
    """Two areas, 0 to 1, NaN where a class is missing or too small.

    Attributes:
        auroc: the chance that a positive is ranked above a negative, a tie counting half; 0.5 at chance.
        auprc: average precision, Σ_t (recall_t − recall_{t−1}) · precision_t over the distinct scores t, largest
            first; at chance the share of positives.

    References:
        Hanley & McNeil, "The meaning and use of the area under a ROC curve", 1982; scikit-learn, roc_auc_score and
        average_precision_score.
    """

    auroc: Floats
    auprc: Floats


def areas_by_column(
    is_positive: Bool[np.ndarray, "item column"], score: Real[np.ndarray, "item column"], min_class: int
) -> Areas:
    """The areas of each column, whose items are its rows; NaN where a class has fewer than `min_class` (or no) items.

    By mean ranks r, worst first (Mann–Whitney): auroc = (Σ r of positives − n₁(n₁ + 1)/2) / (n₁ n₀).
    """
    n_positive = is_positive.sum(axis=0)
    is_scored = np.minimum(n_positive, len(is_positive) - n_positive) >= max(min_class, 1)
    auroc, auprc = np.full((2, len(is_scored)), np.nan)
    for column in np.flatnonzero(is_scored):
        auroc[column], auprc[column] = _areas(is_positive[:, column], score[:, column])
    return Areas(auroc, auprc)


def _areas(is_positive: Bool[np.ndarray, " item"], score: Real[np.ndarray, " item"]) -> tuple[float, float]:
    """AUROC and AUPRC of items of both classes; only the places of the positives among all scores are needed."""
    worst_first, positives = np.sort(score), np.sort(score[is_positive])
    n, n1 = len(worst_first), len(positives)
    n_below = np.searchsorted(worst_first, positives, side="left")
    n_up_to = np.searchsorted(worst_first, positives, side="right")
    rank_sum = float((n_below + n_up_to + 1).sum()) / 2
    found = n1 - np.searchsorted(positives, positives, side="left")
    return (rank_sum - n1 * (n1 + 1) / 2) / (n1 * (n - n1)), float(np.mean(found / (n - n_below)))


def areas_of_ties(n_items: Floats, n_positive: Floats) -> tuple[float, float]:
    """AUROC and AUPRC of items given as groups that tie, best first: how many items, how many of them positive.

    Examples:
        The positive is ranked above three negatives; then all four tie:

        >>> import numpy as np, unisono as un
        >>> un.metrics.areas_of_ties(np.array([1.0, 3.0]), np.array([1.0, 0.0]))
        (1.0, 1.0)
        >>> un.metrics.areas_of_ties(np.array([4.0]), np.array([1.0]))
        (0.5, 0.25)
    """
    n_negative = n_items - n_positive
    n1, n0 = n_positive.sum(), n_negative.sum()
    if n1 == 0 or n0 == 0:
        return float("nan"), float("nan")
    negatives_above = np.cumsum(n_negative) - n_negative / 2
    precision = np.cumsum(n_positive) / np.maximum(np.cumsum(n_items), 1)
    return 1.0 - float(n_positive @ negatives_above / (n1 * n0)), float(n_positive @ precision / n1)
