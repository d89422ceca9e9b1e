"""What each figure is for answers that look at no cell: the mean profile, or every partner alike; knows no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unisono.metrics.arrays import Groups, Sparse
from unisono.metrics.ranking import areas_of_ties

_MIN_CLASS = 10
"""Open and closed cells that a peak needs for an AUPRC, as of `areas_per_feature`."""


def of_the_mean_profile(truth: Sparse) -> dict[str, float]:
    """Figures of the prediction that gives every cell the mean of these cells: what a model has to beat.

    Args:
        truth: measured values, cell x feature.

    Returns:
        `pearson` and `spearman` 0, `auroc` 0.5 (a constant knows no order), `auprc` the share of open cells; `rmse`,
        `mae`, `pearson per cell` and `overall pearson` of the mean profile. Names as of `prediction_figures`.
    """
    x = truth.tocsr().astype(np.float64)
    n_cells, n_features = x.shape
    mean = np.asarray(x.mean(axis=0)).ravel()
    squares = float(x.multiply(x).sum()) - n_cells * float(mean @ mean)
    between = n_cells * float(((mean - mean.mean()) ** 2).sum())
    measured = np.asarray(x.astype(bool).sum(axis=0)).ravel()
    gaps = float(np.abs(x.data - mean[x.indices]).sum()) + float(((n_cells - measured) * np.abs(mean)).sum())
    has_area = (measured >= _MIN_CLASS) & (n_cells - measured >= _MIN_CLASS)
    return {
        "pearson": 0.0,
        "spearman": 0.0,
        "rmse": float(np.sqrt(max(squares, 0.0) / (n_cells * n_features))),
        "mae": gaps / (n_cells * n_features),
        "auroc": 0.5,
        "auprc": float(measured[has_area].mean() / n_cells) if has_area.any() else 0.0,
        "pearson per cell": float(_with_profile(x, mean).mean()),
        "overall pearson": float(np.sqrt(between / (between + squares))) if between > 0 else 0.0,
    }


def of_a_blind_match(n_cells: int, groups: Groups | None, at: tuple[int, ...] = (1, 5, 10)) -> dict[str, float]:
    """Figures of a matching that gives all right cells of a cell's group the same probability.

    Args:
        n_cells: on either side, each with its partner.
        groups: of left and of right cells; None for one group.
        at: numbers of candidates of `recall@k`.
    """
    labels = np.zeros(n_cells, dtype=int) if groups is None else np.unique(groups[0], return_inverse=True)[1]
    sizes = np.bincount(labels).astype(np.float64)
    size = sizes[labels]
    ordered, how_many = np.unique(sizes, return_counts=True)  # a small group gives each of its pairs more probability
    auroc, auprc = areas_of_ties(how_many * ordered**2, how_many * ordered)
    share = float(np.mean(1 / size))
    return {
        "foscttm": 0.5,
        **{f"recall@{k}": float(np.mean(np.minimum(k / size, 1.0))) for k in at},
        "match probability": share,
        "one-to-one accuracy": share,
        "pair auroc": auroc if n_cells > 1 else 0.5,
        "pair auprc": auprc,
    }


def _with_profile(x: Sparse, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each cell with the mean profile, over features; 0 where one is constant."""
    n_features = x.shape[1]
    level = np.asarray(x.mean(axis=1)).ravel()
    own = np.sqrt(np.maximum(np.asarray(x.multiply(x).mean(axis=1)).ravel() - level**2, 0.0))
    cross = x @ mean / n_features - level * mean.mean()
    scale = own * mean.std()
    found: NDArray[np.float64] = np.divide(cross, scale, out=np.zeros(len(scale)), where=scale > 1e-12)
    return found
