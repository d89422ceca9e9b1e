"""How far predicted log odds may stray from their mean; reads no counts and knows no network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

_STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
_PRIORS = (0.0, 1.0, 4.0, 16.0, 64.0)


@dataclass(frozen=True)
class LogOddsShrinkage:
    """Deviations of log odds are multiplied by strength · n / (n + prior), n the training cells a peak was open in.

    What was learnt of a peak that was open in a handful of cells is mostly these cells' chance. Order over cells, and
    so the AUROC of a peak by its content, is left as it is; probabilities are.

    Attributes:
        strength: of a peak that was open often, 0 to 1.
        prior: open cells at which half of it is left.
    """

    strength: float = 0.5
    prior: float = 4.0

    def of(self, n_open: NDArray[np.floating]) -> NDArray[np.float32]:
        """The factor of each peak."""
        return np.asarray(self.strength * n_open / np.maximum(n_open + self.prior, 1e-12), dtype=np.float32)


def fit_log_odds_shrinkage(
    is_open: NDArray[np.bool_],
    deviation: NDArray[np.floating],
    base: NDArray[np.floating],
    n_open: NDArray[np.floating],
) -> LogOddsShrinkage:
    """The temper under which unseen cells are the most likely, of a grid of 50.

    Args:
        is_open: cell x peak, as measured.
        deviation: cell x peak, of the predicted log odds from their mean.
        base: cell x peak, log odds that are not tempered: the peak's mean and the cell's depth.
        n_open: training cells in which each peak was open.

    Raises:
        ValueError: shapes disagree.
    """
    if not is_open.shape == deviation.shape == base.shape or len(n_open) != is_open.shape[1]:
        raise ValueError(f"shapes are {is_open.shape}, {deviation.shape}, {base.shape}, wanted the same cell x peak")

    def loss(log_odds_shrinkage: LogOddsShrinkage) -> float:
        log_odds = base + log_odds_shrinkage.of(n_open) * deviation
        return float(np.logaddexp(0.0, log_odds).mean() - (log_odds * is_open).mean())

    return min((LogOddsShrinkage(*choice) for choice in product(_STRENGTHS, _PRIORS)), key=loss)
