"""All metrics of each task at once, and their values at chance, from outputs and truth alone; never sees a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.metrics.arrays import Floats, Groups, Rows, Sparse, Values, Vectors
from unisono.metrics.matching import (
    foscttm,
    label_transfer_accuracy,
    label_transfer_probability,
    match_calibration_error,
    match_probability,
    one_to_one_accuracy,
    pair_areas,
    recall_at,
)
from unisono.metrics.moments import Moments
from unisono.metrics.prediction import MIN_CLASS, areas_per_feature, require_finite, spearman_per_feature
from unisono.metrics.ranking import Areas, areas_of_ties

_BLOCK_ENTRIES = 2**21
"""Predicted values that are looked at together, where they come in one piece."""

_RECALL_AT = (1, 5, 10)


Measured = Sequence[tuple[NDArray[np.bool_], Rows]]


class PredictionDetails(NamedTuple):
    """Metrics of a prediction, and those of each feature: `auroc` is empty unless binary, NaN where rare."""

    metrics: dict[str, float]
    pearson: Floats
    auroc: Floats


def prediction_metrics(
    truth: Sparse,
    prediction: Values | Iterable[Values],
    *,
    is_binary: bool,
    measured: Measured | None = None,
) -> dict[str, float]:
    """How well one modality is predicted.

    Args:
        truth: measured values on the modality's scale, cell x feature.
        prediction: predicted values, cell x feature: whole, or as blocks of consecutive features from the first to
            the last, of which only one is held at a time.
        is_binary: measured values are 0 or 1, as of peaks, and predicted ones rank cells.
        measured: groups of cells, as which features were measured in them and which cells they are: no other value
            enters. Each cell is in one group, and each feature was measured in one. None where all values were.

    Returns:
        `pearson` and, unless binary, `spearman`, mean over features of the correlation over cells, where a
        feature without one counts as 0, and `n_without_correlation` says how many do. `rmse` and `mae` over all
        values. If binary, `auroc` and `auprc`: mean over features with 10 cells of either class, absent if there
        is none. `pearson_per_cell`: mean over cells of the correlation over features. `overall_pearson`: over all
        values.

    Raises:
        ValueError: shapes differ, or a predicted value is not finite.

    Examples:
        The first of two features is predicted without fault, the second as its mean:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> truth = csr_matrix([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0]])
        >>> prediction = np.array([[0.0, 2.0], [1.0, 2.0], [2.0, 2.0]])
        >>> found = un.metrics.prediction_metrics(truth, prediction, is_binary=False)
        >>> {name: round(found[name], 2) for name in ("pearson", "spearman", "rmse", "mae")}
        {'pearson': 0.5, 'spearman': 0.5, 'rmse': 0.58, 'mae': 0.33}
    """
    return prediction_details(truth, prediction, is_binary=is_binary, measured=measured).metrics


def prediction_details(
    truth: Sparse,
    prediction: Values | Iterable[Values],
    *,
    is_binary: bool,
    measured: Measured | None = None,
) -> PredictionDetails:
    """As `prediction_metrics`, with the correlation and the AUROC of each feature.

    Examples:
        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> truth = csr_matrix([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0]])
        >>> prediction = np.array([[0.0, 2.0], [1.0, 2.0], [2.0, 2.0]])
        >>> details = un.metrics.prediction_details(truth, prediction, is_binary=False)
        >>> details.pearson, round(details.metrics["pearson"], 2)
        (array([1., 0.]), 0.5)
    """
    known = measured if measured is not None else _everything(truth)
    blocks, by_cell, start = [], dict[int, Moments](), 0
    for x, y in _paired_blocks(truth.tocsc(), prediction):
        part = [(row[start : start + x.shape[1]], cells) for row, cells in known]
        blocks += [(start + features, _block(x[i], y[i], is_binary)) for features, i in _rectangles(part)]
        for number, i in _lanes(part):
            own = Moments.of(x[i], y[i], 1)
            by_cell[number] = by_cell[number].joined(own) if number in by_cell else own
        start += x.shape[1]
    return _summary(blocks, list(by_cell.values()), int(_n_cells(known).sum()), is_binary)


_Index = tuple[slice, slice] | tuple[NDArray[np.intp], ...]


def _everything(truth: Sparse) -> Measured:
    return [(np.ones(truth.shape[1], dtype=bool), np.arange(truth.shape[0]))]


def _n_cells(measured: Measured) -> Floats:
    """Of each feature, the cells in which it was measured."""
    return np.asarray(np.sum([len(cells) * row.astype(np.float64) for row, cells in measured], axis=0))


def _rectangles(measured: Measured) -> Iterator[tuple[Rows, _Index]]:
    """Features and the index of the cells that measured just them; every feature once."""
    if len(measured) == 1 and measured[0][0].all():
        yield np.arange(len(measured[0][0])), (slice(None), slice(None))
        return
    patterns, pattern_of = np.unique([row for row, _ in measured], axis=1, return_inverse=True)
    for number, pattern in enumerate(patterns.T):
        features = np.flatnonzero(np.asarray(pattern_of).ravel() == number)
        cells = np.concatenate([cells for (_, cells), has in zip(measured, pattern, strict=True) if has])
        yield features, np.ix_(np.sort(cells), features)


def _lanes(measured: Measured) -> Iterator[tuple[int, _Index]]:
    """Number of a group of cells and the index of the features that were measured in them; every cell once."""
    for number, (row, cells) in enumerate(measured):
        if row.any():
            is_whole = len(measured) == 1 and row.all()
            yield number, (slice(None), slice(None)) if is_whole else np.ix_(cells, np.flatnonzero(row))


def _summary(
    placed: list[tuple[NDArray[np.intp], _Block]], by_cell: list[Moments], n_values: int, is_binary: bool
) -> PredictionDetails:
    blocks = [block for _, block in placed]
    order = np.argsort(np.concatenate([features for features, _ in placed]), kind="stable")
    per_feature = [block.by_feature.correlations() for block in blocks]
    found = {"pearson": _mean(part.values for part in per_feature)}
    if not is_binary:
        found["spearman"] = _mean(block.spearman for block in blocks)
    found["rmse"] = float(np.sqrt(sum(block.squares for block in blocks) / n_values))
    found["mae"] = sum(block.absolute for block in blocks) / n_values
    auroc = np.concatenate([block.areas.auroc for block in blocks])
    is_scored = np.isfinite(auroc)
    if is_scored.any():
        found["auroc"] = float(auroc[is_scored].mean())
        found["auprc"] = float(np.concatenate([block.areas.auprc for block in blocks])[is_scored].mean())
    found["pearson_per_cell"] = _mean(part.correlations().values for part in by_cell)
    found["overall_pearson"] = reduce(Moments.joined, (part.pooled() for part in by_cell)).correlations().mean
    found["n_without_correlation"] = float(sum(part.n_undefined for part in per_feature))
    pearson = np.concatenate([part.values for part in per_feature])
    return PredictionDetails(found, pearson[order], auroc[order] if len(auroc) else auroc)


def prediction_chance(truth: Sparse, *, is_binary: bool, measured: Measured | None = None) -> dict[str, float]:
    """Metrics of the prediction that gives every cell the mean of these cells: what a model has to beat.

    Args:
        truth: measured values, cell x feature; 0 where nothing was measured.
        is_binary: as of `prediction_metrics`.
        measured: as of `prediction_metrics`.

    Returns:
        `pearson` and `spearman` 0, `auroc` 0.5 (a constant knows no order), `auprc` the fraction of positive cells;
        `rmse`, `mae`, `pearson_per_cell` and `overall_pearson` of the mean profile.

    Examples:
        Of the six values two are equal to the mean of their feature, four are 1 away from it: √(4 / 6).

        >>> from scipy.sparse import csr_matrix
        >>> import unisono as un
        >>> truth = csr_matrix([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0]])
        >>> chance = un.metrics.prediction_chance(truth, is_binary=False)
        >>> chance["pearson"], round(chance["rmse"], 2)
        (0.0, 0.82)
    """
    x = truth.tocsr().astype(np.float64)
    known = measured if measured is not None else _everything(x)
    n_cells, n_values = _n_cells(known), float(_n_cells(known).sum())
    mean = np.asarray(x.sum(axis=0)).ravel() / n_cells
    squares = float(x.multiply(x).sum()) - float(n_cells @ mean**2)
    between = float(n_cells @ (mean - n_cells @ mean / n_values) ** 2)
    n_seen = np.asarray(x.astype(bool).sum(axis=0)).ravel()
    gaps = float(np.abs(x.data - mean[x.indices]).sum()) + float(((n_cells - n_seen) * np.abs(mean)).sum())
    found = {
        "pearson": 0.0,
        "rmse": float(np.sqrt(max(squares, 0.0) / n_values)),
        "mae": gaps / n_values,
        "pearson_per_cell": _mean(_correlation_with_profile(x[cells][:, row], mean[row]) for row, cells in known),
        "overall_pearson": float(np.sqrt(between / (between + squares))) if between > 0 else 0.0,
    }
    if not is_binary:
        return found | {"spearman": 0.0}
    has_area = np.minimum(n_seen, n_cells - n_seen) >= MIN_CLASS
    return found | ({"auroc": 0.5, "auprc": float((n_seen / n_cells)[has_area].mean())} if has_area.any() else {})


def matching_metrics(
    vectors_left: Vectors,
    vectors_right: Vectors,
    posterior_soft: sparse.csr_matrix,
    posterior_one_to_one: sparse.csr_matrix,
    partner: Rows,
    groups: Groups | None = None,
    labels: Groups | None = None,
    listed: Floats | None = None,
) -> dict[str, float]:
    """How well left cells find their partners.

    Args:
        vectors_left: left cell x dimension.
        vectors_right: right cell x dimension; inner products with the left ones rank the right cells.
        posterior_soft: left x right, probabilities, rows sum to 1.
        posterior_one_to_one: left x right, at most one entry per row.
        partner: for each left cell the row of its partner among the right ones, −1 where it has none.
        groups: of left and of right cells, such as batches: everything is scored within them.
        labels: of left and of right cells, such as cell types.
        listed: of the soft posterior, see `match_calibration_error`.

    Returns:
        `foscttm`, `recall_at_1`, `recall_at_5`, `recall_at_10` of the vectors, among the right cells that are a
        partner. `match_probability`, `calibration_error`, `pair_auroc` and `pair_auprc` of the soft posterior,
        `one_to_one_accuracy` of the other. With labels `label_transfer_accuracy` and `label_transfer_probability` of
        the soft posterior.

    Raises:
        ValueError: shapes disagree, no left cell has a partner, or a right cell is the partner of two.

    Examples:
        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> soft, one_to_one = csr_matrix([[0.6, 0.4], [0.3, 0.7]]), csr_matrix(np.eye(2))
        >>> found = un.metrics.matching_metrics(np.eye(2), np.eye(2), soft, one_to_one, np.array([0, 1]))
        >>> found["foscttm"], round(found["match_probability"], 2), found["one_to_one_accuracy"]
        (0.0, 0.65, 1.0)
    """
    paired = _paired_rows(partner)
    ranked = vectors_left[paired], vectors_right[partner[paired]]
    inside = None if groups is None else groups[0][paired]
    recall = recall_at(*ranked, ks=_RECALL_AT, groups=inside)
    auroc, auprc = pair_areas(posterior_soft, partner, groups)
    found = {
        "foscttm": foscttm(*ranked, groups=inside),
        **{f"recall_at_{k}": recall[k] for k in _RECALL_AT},
        "match_probability": match_probability(posterior_soft, partner, groups),
        "one_to_one_accuracy": one_to_one_accuracy(posterior_one_to_one, partner, groups),
        "calibration_error": match_calibration_error(posterior_soft, partner, groups, listed=listed),
        "pair_auroc": auroc,
        "pair_auprc": auprc,
    }
    if labels is not None:
        found["label_transfer_accuracy"] = label_transfer_accuracy(posterior_soft, *labels, groups)
        found["label_transfer_probability"] = label_transfer_probability(posterior_soft, *labels, groups)
    return found


def _paired_rows(partner: Rows) -> Rows:
    paired = np.flatnonzero(partner >= 0)
    if len(paired) == 0:
        raise ValueError(f"none of {len(partner)} left cells has a partner: no match can be scored")
    if len(np.unique(partner[paired])) < len(paired):
        raise ValueError("partner: a right cell is the partner of several left cells")
    return paired


def matching_chance(n_cells: int, groups: Groups | None = None) -> dict[str, float]:
    """Metrics of a matching that gives all right cells of a cell's group the same probability.

    Args:
        n_cells: on either side, each with its partner.
        groups: of left and of right cells; None for one group.

    Returns:
        As `matching_metrics`, without `calibration_error`, since that of a blind match is 0, which is no level to beat.

    Examples:
        Of 100 cells; and of the same in two batches, where each has 50 to choose from:

        >>> import numpy as np, unisono as un
        >>> round(un.metrics.matching_chance(100)["recall_at_10"], 2)
        0.1
        >>> batch = np.repeat(["b1", "b2"], 50)
        >>> round(un.metrics.matching_chance(100, (batch, batch))["recall_at_10"], 2)
        0.2
    """
    labels = np.zeros(n_cells, dtype=int) if groups is None else np.unique(groups[0], return_inverse=True)[1]
    sizes = np.bincount(labels).astype(np.float64)
    size = sizes[labels]
    ordered, how_many = np.unique(sizes, return_counts=True)  # a small group gives each of its pairs more probability
    auroc, auprc = areas_of_ties(how_many * ordered**2, how_many * ordered)
    per_cell = float(np.mean(1 / size))
    return {
        "foscttm": 0.5,
        **{f"recall_at_{k}": float(np.mean(np.minimum(k / size, 1.0))) for k in _RECALL_AT},
        "match_probability": per_cell,
        "one_to_one_accuracy": per_cell,
        "pair_auroc": auroc if n_cells > 1 else 0.5,
        "pair_auprc": auprc,
    }


class _Block(NamedTuple):
    """What is kept of some features: moments over cells, scores of each, sums of errors."""

    by_feature: Moments
    spearman: Floats
    areas: Areas
    squares: float
    absolute: float


def _block(measured: Values, predicted: Values, is_binary: bool) -> _Block:
    nothing = np.empty(0)
    gap = measured - predicted
    return _Block(
        Moments.of(measured, predicted, 0),
        nothing if is_binary else spearman_per_feature(measured, predicted),
        areas_per_feature(measured, predicted) if is_binary else Areas(nothing, nothing),
        float(np.einsum("ij,ij->", gap, gap)),
        float(np.abs(gap).sum()),
    )


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
        require_finite(block, start)
        yield truth[:, start:stop].toarray().astype(np.float64), block
        start = stop
    if start != n_features or n_features == 0:
        raise ValueError(f"prediction: {start} features; the truth is {truth.shape}")


def _in_blocks(prediction: Values) -> Iterator[Values]:
    size = max(1, _BLOCK_ENTRIES // max(1, len(prediction)))
    for start in range(0, prediction.shape[1], size):
        yield prediction[:, start : start + size]


def _mean(parts: Iterable[Floats]) -> float:
    return float(np.concatenate(list(parts)).mean())


def _correlation_with_profile(x: Sparse, mean: Floats) -> Floats:
    """Correlation of each cell with the mean profile, over features; 0 where one is constant."""
    n_features = x.shape[1]
    level = np.asarray(x.mean(axis=1)).ravel()
    own = np.sqrt(np.maximum(np.asarray(x.multiply(x).mean(axis=1)).ravel() - level**2, 0.0))
    cross = x @ mean / n_features - level * mean.mean()
    scale = own * mean.std()
    found: Floats = np.divide(cross, scale, out=np.zeros(len(scale)), where=scale > 1e-12)
    return found
