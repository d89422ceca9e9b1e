"""How good predicted values are: errors, correlations and areas per feature, per cell and overall; never sees names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy import sparse

from unisono.metrics.arrays import Floats, Truth, Values, check_shapes
from unisono.metrics.moments import Correlations, Moments
from unisono.metrics.ranking import Areas, areas_by_column

Per = Literal["feature", "cell"]

MIN_CLASS = 10
"""Open and closed cells that a peak needs for an area."""

_BLOCK_ENTRIES = 2**20
"""Numbers of a block: some tens of MB are held at a time, whatever the number of cells and features."""


def pearson(truth: Truth, prediction: Values, per: Per) -> Correlations:
    """Pearson correlation of each feature (over cells) or each cell (over features), −1 to 1, and how many are 0 / 0.

    r = Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² Σ (y − ȳ)²). As in the Open Problems task "predict modality" a constant
    prediction, a constant truth and a correlation that is not finite score 0 and stay in the mean.

    Args:
        truth: cell x feature.
        prediction: cell x feature.
        per: what each correlation belongs to.

    References:
        Lance et al., "Multimodal single cell data integration challenge", 2022; task_predict_modality,
        metrics/correlation.

    Examples:
        The second feature is predicted to be the same in every cell, and scores 0:

        >>> import numpy as np, unisono as un
        >>> truth = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        >>> prediction = np.array([[2.0, 5.0], [4.0, 5.0], [6.0, 5.0]])
        >>> un.metrics.pearson(truth, prediction, "feature")
        Correlations(values=array([1., 0.]), n_undefined=1)
    """
    axis = _axis(per)
    return _concatenated([Moments.of(x, y, axis).correlations() for x, y in _blocks(truth, prediction, per)])


def spearman(truth: Truth, prediction: Values, per: Per) -> Correlations:
    """Pearson correlation of ranks, ties at their mean rank; else as `pearson`.

    Args:
        truth: cell x feature.
        prediction: cell x feature.
        per: what each correlation belongs to.

    Examples:
        The order of cells is right, the distances between them are not:

        >>> import numpy as np, unisono as un
        >>> truth, prediction = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [10.0], [100.0]])
        >>> un.metrics.spearman(truth, prediction, "feature").values
        array([1.])
        >>> un.metrics.pearson(truth, prediction, "feature").values.round(2)
        array([0.9])
    """
    from scipy.stats import rankdata

    axis = _axis(per)
    ranked = (
        Moments.of(rankdata(x, axis=axis), rankdata(y, axis=axis), axis) for x, y in _blocks(truth, prediction, per)
    )
    return _concatenated([moments.correlations() for moments in ranked])


def pearson_per_feature(truth: Truth, prediction: Values) -> Floats:
    """`pearson` over cells, one per feature, −1 to 1; a feature constant in truth or prediction scores 0.

    Examples:
        >>> import numpy as np, unisono as un
        >>> truth = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        >>> un.metrics.pearson_per_feature(truth, np.array([[2.0, 3.0], [4.0, 2.0], [6.0, 1.0]]))
        array([ 1., -1.])
    """
    return pearson(truth, prediction, "feature").values


def spearman_per_feature(truth: Truth, prediction: Values) -> Floats:
    """`spearman` over cells, one per feature; 0 where one is constant.

    Examples:
        >>> import numpy as np, unisono as un
        >>> truth = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        >>> un.metrics.spearman_per_feature(truth, np.array([[1.0, 9.0], [10.0, 4.0], [100.0, 1.0]]))
        array([ 1., -1.])
    """
    return spearman(truth, prediction, "feature").values


def mean_pearson(truth: Truth, prediction: Values) -> float:
    """Mean of `pearson_per_feature`: 1 is perfect, 0 what the mean of training cells gets.

    Examples:
        One feature is predicted without fault, the other as a constant:

        >>> import numpy as np, unisono as un
        >>> truth = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        >>> round(un.metrics.mean_pearson(truth, np.array([[2.0, 5.0], [4.0, 5.0], [6.0, 5.0]])), 2)
        0.5
    """
    return pearson(truth, prediction, "feature").mean


def overall_pearson(truth: Truth, prediction: Values) -> float:
    """Pearson correlation over all values of all cells and features, as one list; 0 where one side is constant.

    Examples:
        It is high where features differ in their means, even if no cell is told from another:

        >>> import numpy as np, unisono as un
        >>> truth = np.array([[0.0, 10.0], [2.0, 12.0]])
        >>> means = np.array([[1.0, 11.0], [1.0, 11.0]])
        >>> round(un.metrics.overall_pearson(truth, means), 2), un.metrics.mean_pearson(truth, means)
        (0.98, 0.0)
    """
    check_shapes(truth, prediction)
    parts = (Moments.of(x, y, 1).pooled() for x, y in _blocks(truth, prediction, "cell"))
    total = next(parts)
    for part in parts:
        total = total.joined(part)
    return total.correlations().mean


def rmse(truth: Truth, prediction: Values) -> float:
    """Root of the mean squared error over all cells and features: √(Σ (x − y)² / n).

    Examples:
        One of four values is wrong by 2: √(4 / 4).

        >>> import numpy as np, unisono as un
        >>> un.metrics.rmse(np.zeros((2, 2)), np.array([[0.0, 0.0], [0.0, 2.0]]))
        1.0
    """
    return float(np.sqrt(sum(float((gap**2).sum()) for gap in _gaps(truth, prediction)) / prediction.size))


def mae(truth: Truth, prediction: Values) -> float:
    """Mean absolute error over all cells and features: Σ `|x − y|` / n.

    Examples:
        One of four values is wrong by 2: 2 / 4.

        >>> import numpy as np, unisono as un
        >>> un.metrics.mae(np.zeros((2, 2)), np.array([[0.0, 0.0], [0.0, 2.0]]))
        0.5
    """
    return sum(float(np.abs(gap).sum()) for gap in _gaps(truth, prediction)) / prediction.size


def areas_per_feature(truth: Truth, prediction: Values, min_class: int = MIN_CLASS) -> Areas:
    """AUROC and AUPRC over cells, one per peak: are open cells ranked above closed ones; see `Areas`.

    Args:
        truth: cell x peak; open where it is not 0.
        prediction: cell x peak, any scale.
        min_class: peaks with fewer open or fewer closed cells score NaN; use nanmean.

    Examples:
        Of the four pairs of an open and a closed cell, one is in the wrong order:

        >>> import numpy as np, unisono as un
        >>> is_open = np.array([[0], [0], [1], [1]])  # four cells, one peak
        >>> probability = np.array([[0.1], [0.6], [0.5], [0.9]])
        >>> areas = un.metrics.areas_per_feature(is_open, probability, min_class=2)
        >>> areas.auroc, areas.auprc.round(2)
        (array([0.75]), array([0.83]))
    """
    parts = [areas_by_column(x != 0, y, min_class) for x, y in _blocks(truth, prediction, "feature")]
    return Areas(*(np.concatenate([np.empty(0), *column]) for column in zip(*parts, strict=True)))


def auroc_per_feature(truth: Truth, prediction: Values, min_class: int = MIN_CLASS) -> Floats:
    """The AUROC of `areas_per_feature`: the chance that an open cell is ranked above a closed one.

    Examples:
        Three of the four pairs of an open and a closed cell are in order. By default so few cells are not scored:

        >>> import numpy as np, unisono as un
        >>> is_open, probability = np.array([[0], [0], [1], [1]]), np.array([[0.1], [0.6], [0.5], [0.9]])
        >>> un.metrics.auroc_per_feature(is_open, probability, min_class=2)
        array([0.75])
        >>> un.metrics.auroc_per_feature(is_open, probability)
        array([nan])
    """
    return areas_per_feature(truth, prediction, min_class).auroc


def require_finite(prediction: Values, first_feature: int = 0) -> None:
    """Refuse a prediction with NaN or infinite values, of which a correlation of 0 would tell nothing.

    Args:
        prediction: cell x feature.
        first_feature: what the first column is called in the message.

    Raises:
        ValueError: how many there are, and the first.

    Examples:
        >>> import numpy as np, unisono as un
        >>> un.metrics.require_finite(np.array([[0.5, 1.0]]))
        >>> un.metrics.require_finite(np.array([[0.5, np.nan]]))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: prediction: 1 of 2 values are not finite (first: cell 0, feature 1); predict a number ...
    """
    is_wrong = ~np.isfinite(prediction)
    if is_wrong.any():
        cell, feature = np.argwhere(is_wrong)[0]
        raise ValueError(
            f"prediction: {int(is_wrong.sum())} of {is_wrong.size} values are not finite "
            f"(first: cell {cell}, feature {first_feature + feature}); predict a number for every cell and feature"
        )


def _axis(per: Per) -> int:
    """The axis that correlations run over."""
    return 0 if per == "feature" else 1


def _blocks(truth: Truth, prediction: Values, per: Per) -> Iterator[tuple[Values, Values]]:
    """Truth, made dense, and prediction of some whole features or some whole cells at a time; at least one block."""
    check_shapes(truth, prediction)
    n_cells, n_features = prediction.shape
    if per == "feature":
        size = max(1, _BLOCK_ENTRIES // max(1, n_cells))
        by_feature = truth.tocsc() if sparse.issparse(truth) else truth
        for start in range(0, max(1, n_features), size):
            yield _dense(by_feature[:, start : start + size]), prediction[:, start : start + size]
    else:
        size = max(1, _BLOCK_ENTRIES // max(1, n_features))
        by_cell = truth.tocsr() if sparse.issparse(truth) else truth
        for start in range(0, max(1, n_cells), size):
            yield _dense(by_cell[start : start + size]), prediction[start : start + size]


def _gaps(truth: Truth, prediction: Values) -> Iterator[Floats]:
    for x, y in _blocks(truth, prediction, "cell"):
        yield x.astype(np.float64) - y


def _dense(values: Truth) -> Values:
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def _concatenated(parts: list[Correlations]) -> Correlations:
    return Correlations(np.concatenate([part.values for part in parts]), sum(part.n_undefined for part in parts))
