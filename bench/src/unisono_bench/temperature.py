"""From vectors of any scale to log density ratios, by partners held out: for peers that give similarities alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono_bench.exam import Setting
from unisono_bench.methods import Matched
from unisono.matching import DepthTerm, Similarity, fit_beta, fit_beta_and_depth_weight

_MAX_PAIRS = 1500
"""Held-out pairs that a temperature is fitted on, as for Unisono."""

Values = NDArray[np.float32]
Depth = NDArray[np.float64]


@dataclass(frozen=True)
class Temperature:
    """What turns inner products into log density ratios.

    Attributes:
        spread: standard deviation of inner products of held-out cells, by which vectors are scaled first.
        beta: inverse temperature without depth.
        with_depth: the terms with depth.
    """

    spread: float
    beta: float
    with_depth: DepthTerm

    @classmethod
    def fit(
        cls, left: Values, right: Values, left_depth: Depth, right_depth: Depth, batch: NDArray[np.str_]
    ) -> Temperature:
        """By the likelihood of partners within batches.

        Args:
            left: held-out cell x dimension; row i of both sides is the same cell.
            right: held-out cell x dimension.
            left_depth: log total counts of the left cells.
            right_depth: log total counts of the right cells.
            batch: of each cell.
        """
        rows = slice(0, _MAX_PAIRS)
        left, right, batch = left[rows], right[rows], batch[rows]
        spread = float((left.astype(np.float64) @ right.T).std()) or 1.0
        sides = _scaled(left, spread), _scaled(right, spread)
        beta = fit_beta(*sides, within=batch)
        term = fit_beta_and_depth_weight(*sides, left_depth[rows], right_depth[rows], within=batch, beta=beta)
        return cls(spread, beta, term)

    def matched(self, sides: tuple[Values, Values], log_depths: tuple[Depth, Depth], setting: Setting) -> Matched:
        """The vectors of other cells with the temperature of a setting, depth appended where it says so."""
        similarity = Similarity(*(_scaled(side, self.spread) for side in sides), self.beta)
        if setting.depth:
            similarity = similarity.with_depth(self.with_depth, log_depths, setting.groups)
        return Matched(*similarity.vectors, similarity.beta)


def _scaled(vectors: Values, spread: float) -> Values:
    return np.asarray(vectors / np.sqrt(spread), dtype=np.float32)
