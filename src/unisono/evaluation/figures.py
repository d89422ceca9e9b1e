"""The figures that every method is judged by, from answers and truth alone; never asks a model, never reads a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono import metrics
from unisono.metrics.arrays import Groups, Rows, Scores, Sparse, Values, Vectors
from unisono.modalities import spec_of
from unisono.types import Modality

_BLOCK_ENTRIES = 2**21
"""Predicted values that are looked at together, where they come in one piece."""

_RECALL_AT = (1, 5, 10)


class _Block(NamedTuple):
    """What is kept of some features: moments over cells and over features, scores a feature, sums of errors."""

    by_feature: metrics.Moments
    by_cell: metrics.Moments
    spearman: Scores
    areas: metrics.Areas
    squares: float
    absolute: float


class JudgedPrediction(NamedTuple):
    """Figures of a prediction, and the scores by feature behind them: `auroc` is empty but for a binary modality."""

    figures: dict[str, float]
    pearson: Scores
    auroc: Scores


def prediction_figures(truth: Sparse, prediction: Values | Iterable[Values], modality: Modality) -> dict[str, float]:
    """The figures of `judged_prediction` alone."""
    return judged_prediction(truth, prediction, modality).figures


def judged_prediction(truth: Sparse, prediction: Values | Iterable[Values], modality: Modality) -> JudgedPrediction:
    """How well one modality is predicted.

    Args:
        truth: measured values on the modality's scale, cell x feature.
        prediction: predicted values, cell x feature: whole, or as blocks of consecutive features from the first to
            the last, of which only one is held at a time.
        modality: what is predicted.

    Returns:
        Figures: `pearson` and (but for a binary modality) `spearman`: mean over features of the correlation over
        cells, where a feature without one scores 0, and `features without correlation` says how many do. `rmse` and
        `mae` over all values. For a binary modality, as atac, `auroc` and `auprc`: mean over features seen in 10 cells
        and unseen in 10, absent if there is none. `pearson per cell`: mean over cells of the correlation over features.
        `overall pearson`: over all values.

    Raises:
        ValueError: shapes differ, or a predicted value is not finite.
    """
    blocks = [
        _block(measured, predicted, modality) for measured, predicted in _paired_blocks(truth.tocsc(), prediction)
    ]
    n_values = truth.shape[0] * truth.shape[1]
    per_feature = [block.by_feature.correlations() for block in blocks]
    by_cell = blocks[0].by_cell
    for block in blocks[1:]:
        by_cell = by_cell.joined(block.by_cell)
    figures = {"pearson": _mean(part.values for part in per_feature)}
    if not spec_of(modality).is_binary:
        figures["spearman"] = _mean(block.spearman for block in blocks)
    figures["rmse"] = float(np.sqrt(sum(block.squares for block in blocks) / n_values))
    figures["mae"] = sum(block.absolute for block in blocks) / n_values
    auroc = np.concatenate([block.areas.auroc for block in blocks])
    is_scored = np.isfinite(auroc)
    if is_scored.any():
        figures["auroc"] = float(auroc[is_scored].mean())
        figures["auprc"] = float(np.concatenate([block.areas.auprc for block in blocks])[is_scored].mean())
    figures["pearson per cell"] = by_cell.correlations().mean
    figures["overall pearson"] = by_cell.pooled().correlations().mean
    figures["features without correlation"] = float(sum(part.n_undefined for part in per_feature))
    return JudgedPrediction(figures, np.concatenate([part.values for part in per_feature]), auroc)


def matching_figures(
    vectors_left: Vectors,
    vectors_right: Vectors,
    posterior_soft: sparse.csr_matrix,
    posterior_one_to_one: sparse.csr_matrix,
    partner: Rows,
    groups: Groups | None = None,
    labels: Groups | None = None,
) -> dict[str, float]:
    """How well left cells find their partners.

    Args:
        vectors_left: left cell x dimension.
        vectors_right: right cell x dimension; inner products with the left ones rank the right cells.
        posterior_soft: left x right, probabilities, rows sum to 1.
        posterior_one_to_one: left x right, at most one entry a row.
        partner: for each left cell the row of its partner among the right ones, −1 where it has none. No right cell is
            the partner of two.
        groups: of left and of right cells, such as batches: everything is judged within them.
        labels: of left and of right cells, such as cell types.

    Returns:
        `foscttm`, `recall@1`, `recall@5`, `recall@10` of the vectors, among the right cells that are a partner.
        `match probability`, `calibration error`, `pair auroc` and `pair auprc` of the soft posterior,
        `one-to-one accuracy` of the other. With labels `label transfer accuracy` and `label transfer probability` of
        the soft posterior. See `unisono.metrics`.

    Raises:
        ValueError: shapes disagree, no left cell has a partner, or a right cell is the partner of two.
    """
    paired = np.flatnonzero(partner >= 0)
    if len(paired) == 0:
        raise ValueError(f"none of {len(partner)} left cells has a partner: nothing to judge a match by")
    if len(np.unique(partner[paired])) < len(paired):
        raise ValueError("partner: a right cell is the partner of several left cells")
    ranked = vectors_left[paired], vectors_right[partner[paired]]
    inside = None if groups is None else groups[0][paired]
    recall = metrics.recall_at(*ranked, ks=_RECALL_AT, groups=inside)
    auroc, auprc = metrics.pair_areas(posterior_soft, partner, groups)
    figures = {
        "foscttm": metrics.foscttm(*ranked, groups=inside),
        **{f"recall@{k}": recall[k] for k in _RECALL_AT},
        "match probability": metrics.match_probability(posterior_soft, partner, groups),
        "one-to-one accuracy": metrics.one_to_one_accuracy(posterior_one_to_one, partner, groups),
        "calibration error": metrics.match_calibration_error(posterior_soft, partner, groups),
        "pair auroc": auroc,
        "pair auprc": auprc,
    }
    if labels is not None:
        figures["label transfer accuracy"] = metrics.label_transfer_accuracy(posterior_soft, *labels, groups)
        figures["label transfer probability"] = metrics.label_transfer_probability(posterior_soft, *labels, groups)
    return figures


def _paired_blocks(
    truth: sparse.csc_matrix, prediction: Values | Iterable[Values]
) -> Iterator[tuple[NDArray[np.float64], Values]]:
    """Measured, dense, and predicted values of the same features; both whole in the end, and finite."""
    blocks = _in_blocks(prediction) if isinstance(prediction, np.ndarray) else prediction
    n_cells, n_features = truth.shape
    start = 0
    for block in blocks:
        stop = start + block.shape[1]
        if len(block) != n_cells or stop > n_features:
            raise ValueError(f"prediction: {len(block)} cells, at least {stop} features; the truth is {truth.shape}")
        metrics.require_finite(block, start)
        yield truth[:, start:stop].toarray().astype(np.float64), block
        start = stop
    if start != n_features or n_features == 0:
        raise ValueError(f"prediction: {start} features; the truth is {truth.shape}")


def _in_blocks(prediction: Values) -> Iterator[Values]:
    size = max(1, _BLOCK_ENTRIES // max(1, len(prediction)))
    for start in range(0, prediction.shape[1], size):
        yield prediction[:, start : start + size]


def _block(measured: Values, predicted: Values, modality: Modality) -> _Block:
    is_binary, nothing = spec_of(modality).is_binary, np.empty(0)
    gap = measured - predicted
    return _Block(
        metrics.Moments.of(measured, predicted, 0),
        metrics.Moments.of(measured, predicted, 1),
        nothing if is_binary else metrics.spearman_per_feature(measured, predicted),
        metrics.areas_per_feature(measured, predicted) if is_binary else metrics.Areas(nothing, nothing),
        float(np.einsum("ij,ij->", gap, gap)),
        float(np.abs(gap).sum()),
    )


def _mean(parts: Iterable[Scores]) -> float:
    return float(np.concatenate(list(parts)).mean())
