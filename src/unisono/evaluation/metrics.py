"""Figures of merit as functions of arrays: prediction, matching, calibration; never touch a model, a file or names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Values = NDArray[np.floating]
Vectors = NDArray[np.floating]
Scores = NDArray[np.float64]
Rows = NDArray[np.intp]

_BLOCK_ENTRIES = 2**22
"""Numbers held at a time where a full cell x cell or cell x feature matrix would be too large."""


def pearson_per_feature(truth: Values, prediction: Values) -> Scores:
    """Pearson correlation over cells, one a feature, −1 to 1; a feature constant in truth or prediction scores 0.

    r = Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² Σ (y − ȳ)²). The 0 for constants is that of the Open Problems task
    "predict modality", where it would be NaN otherwise.

    Args:
        truth: cell x feature.
        prediction: cell x feature.

    References:
        Lance et al., "Multimodal single cell data integration challenge", 2022.
    """
    _check_shapes(truth, prediction)
    x, y = _centred(truth), _centred(prediction)
    scale = np.sqrt((x**2).sum(axis=0)) * np.sqrt((y**2).sum(axis=0))
    product = (x * y).sum(axis=0)
    is_constant = (np.ptp(truth, axis=0) == 0) | (np.ptp(prediction, axis=0) == 0) | (scale == 0)
    correlation = np.divide(product, scale, out=np.zeros(len(scale)), where=~is_constant)
    return np.asarray(np.clip(correlation, -1.0, 1.0))


def mean_pearson(truth: Values, prediction: Values) -> float:
    """Mean of `pearson_per_feature`: 1 is perfect, 0 what the mean of training cells gets."""
    return float(pearson_per_feature(truth, prediction).mean())


def spearman_per_feature(truth: Values, prediction: Values) -> Scores:
    """Pearson correlation of ranks over cells, ties at their mean rank, one a feature; 0 where one is constant.

    Args:
        truth: cell x feature.
        prediction: cell x feature.
    """
    _check_shapes(truth, prediction)
    from scipy.stats import rankdata

    return pearson_per_feature(rankdata(truth, axis=0), rankdata(prediction, axis=0))


def rmse(truth: Values, prediction: Values) -> float:
    """Root of the mean squared error over all cells and features: √(Σ (x − y)² / n)."""
    _check_shapes(truth, prediction)
    return float(np.sqrt(np.mean((truth.astype(np.float64) - prediction) ** 2)))


def mae(truth: Values, prediction: Values) -> float:
    """Mean absolute error over all cells and features."""
    _check_shapes(truth, prediction)
    return float(np.mean(np.abs(truth.astype(np.float64) - prediction)))


def auroc_per_feature(truth: sparse.csr_matrix, prediction: Values, min_class: int = 10) -> Scores:
    """Area under the ROC curve over cells, one a peak: the chance that an open cell is ranked above a closed one.

    By ranks, ties at their mean (Mann–Whitney): (Σ ranks of open − n₁(n₁ + 1)/2) / (n₁ n₀); 0.5 at chance.

    Args:
        truth: cell x peak; open where it is not 0.
        prediction: cell x peak, any scale.
        min_class: peaks with fewer open or fewer closed cells score NaN; use nanmean.

    References:
        Hanley & McNeil, "The meaning and use of the area under a ROC curve", 1982.
    """
    _check_shapes(truth, prediction)
    n_cells, n_peaks = truth.shape
    size = max(1, _BLOCK_ENTRIES // max(1, n_cells))
    by_peak = sparse.csc_matrix(truth)
    parts = [
        _auroc(by_peak[:, start : start + size].toarray() != 0, prediction[:, start : start + size], min_class)
        for start in range(0, n_peaks, size)
    ]
    return np.concatenate([np.empty(0), *parts])


def _auroc(is_open: NDArray[np.bool_], prediction: Values, min_class: int) -> Scores:
    from scipy.stats import rankdata

    n_open = is_open.sum(axis=0).astype(np.float64)
    n_closed = len(is_open) - n_open
    ranks = rankdata(prediction, axis=0)
    above = (ranks * is_open).sum(axis=0) - n_open * (n_open + 1) / 2
    is_scored = np.minimum(n_open, n_closed) >= max(min_class, 1)
    return np.asarray(np.divide(above, n_open * n_closed, out=np.full(len(above), np.nan), where=is_scored))


def foscttm(left: Vectors, right: Vectors, groups: NDArray[np.str_] | None = None) -> float:
    """Fraction of samples closer than the true match: 0 is perfect, 0.5 chance; the mean over cells and directions.

    For a cell, the share of the n − 1 others of the other side that score above its partner, a tie counting half.

    Args:
        left: cell x dimension; row i of both is the same cell, the score is the inner product.
        right: cell x dimension.
        groups: the others are those of the cell's own group; a cell alone in its group is left out.

    References:
        Liu et al., "Jointly embedding multiple single-cell omics measurements", WABI 2019.
    """
    ahead = _share_above(left, right, groups)
    back = _share_above(right, left, groups)
    return float(np.mean([np.nanmean(ahead), np.nanmean(back)]))


def recall_at(
    left: Vectors, right: Vectors, ks: Sequence[int] = (1, 10), groups: NDArray[np.str_] | None = None
) -> dict[int, float]:
    """The share of left cells whose partner is among their k best right cells; k / n at chance.

    A partner tied with others takes the mean of their places. From left to right only: swap for the other way.

    Args:
        left: cell x dimension; row i of both is the same cell, the score is the inner product.
        right: cell x dimension.
        ks: numbers of candidates allowed.
        groups: candidates are those of the cell's own group.
    """
    place = np.concatenate([np.empty(0), *(above for _, above in _others_above(left, right, groups))])
    return {k: float(np.mean(place < k)) for k in ks}


def _share_above(query: Vectors, reference: Vectors, groups: NDArray[np.str_] | None) -> Scores:
    """For each query cell the share of others that score above its partner; NaN if there are no others."""
    share = np.full(len(query), np.nan)
    for cells, above in _others_above(query, reference, groups):
        if len(cells) > 1:
            share[cells] = above / (len(cells) - 1)
    return share


def _others_above(query: Vectors, reference: Vectors, groups: NDArray[np.str_] | None) -> Iterator[tuple[Rows, Scores]]:
    """The cells of each group, and how many others each scores above its partner, a tie counting half."""
    if len(query) == 0:
        raise ValueError("0 cells: a figure of matching needs at least one pair")
    _check_shapes(query, reference)
    labels = np.zeros(len(query), dtype=int) if groups is None else np.asarray(groups)
    if len(labels) != len(query):
        raise ValueError(f"groups: {len(labels)} labels for {len(query)} cells")
    for group in np.unique(labels):
        cells = np.flatnonzero(labels == group)
        yield cells, _count_above(query[cells], reference[cells])


def _count_above(query: Vectors, reference: Vectors) -> Scores:
    n_cells = len(query)
    size = max(1, _BLOCK_ENTRIES // n_cells)
    count = np.empty(n_cells)
    for start in range(0, n_cells, size):
        score = query[start : start + size] @ reference.T
        own = np.arange(len(score))
        partner = score[own, start + own][:, None]
        n_ties = (score == partner).sum(axis=1) - 1
        count[start : start + size] = (score > partner).sum(axis=1) + 0.5 * n_ties
    return count


def probability_of_partner(posterior: sparse.csr_matrix, partner: Rows) -> Scores:
    """The probability that each left cell gives its partner.

    Args:
        posterior: left x right, rows sum to 1.
        partner: for each left cell the column of its partner, −1 where the right side lacks it.

    Returns:
        0 to 1, and NaN where there is no partner.
    """
    if len(partner) != posterior.shape[0] or partner.max(initial=-1) >= posterior.shape[1]:
        raise ValueError(f"partner: {len(partner)} columns up to {partner.max(initial=-1)} for {posterior.shape}")
    probability = np.asarray(posterior[np.arange(len(partner)), np.maximum(partner, 0)], dtype=np.float64).ravel()
    return np.where(partner >= 0, probability, np.nan)


def match_probability(posterior: sparse.csr_matrix, partner: Rows) -> float:
    """Mean probability given to the partner over left cells that have one; 1 / n at chance.

    The score of the 2021 competition's task "match modality", for rows that sum to 1.

    References:
        Lance et al., "Multimodal single cell data integration challenge", 2022.
    """
    return float(np.nanmean(probability_of_partner(posterior, partner)))


def accuracy(posterior: sparse.csr_matrix, partner: Rows) -> float:
    """The share of left cells with a partner whose most probable right cell it is; a tie counts its share."""
    own = probability_of_partner(posterior, partner)
    best = np.asarray(posterior.max(axis=1).toarray(), dtype=np.float64).ravel()
    rows = np.repeat(np.arange(len(best)), np.diff(posterior.indptr))
    n_best = np.bincount(rows, weights=posterior.data == best[rows], minlength=len(best))
    is_found = (own == best) & (own > 0)
    return float(np.mean((is_found / np.maximum(n_best, 1))[partner >= 0]))


def expected_calibration_error(probability: Scores, correct: NDArray[np.bool_], bins: int = 15) -> float:
    """How far stated probability is from frequency, 0 to 1: Σ_b n_b/n · |mean correct − mean probability|.

    Args:
        probability: stated probability of each answer.
        correct: whether it was right.
        bins: bins of equal width over 0 to 1, the upper edge included.

    References:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    if len(probability) == 0 or len(probability) != len(correct):
        raise ValueError(f"{len(probability)} probabilities for {len(correct)} answers, wanted as many and at least 1")
    place = np.clip(np.ceil(np.asarray(probability) * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=np.asarray(correct, dtype=np.float64) - probability, minlength=bins)
    return float(np.abs(gap).sum() / len(probability))


def _check_shapes(truth: Values | sparse.csr_matrix, prediction: Values) -> None:
    if truth.shape != prediction.shape:
        raise ValueError(f"shapes {truth.shape} and {prediction.shape} differ, wanted the same cells and features")


def _centred(values: Values) -> NDArray[np.float64]:
    return np.asarray(values.astype(np.float64) - values.mean(axis=0, dtype=np.float64))
