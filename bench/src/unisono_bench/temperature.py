"""From vectors of any scale to log density ratios, by partners held out: for peers that give similarities alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono_bench.exam import Setting
from unisono_bench.methods import Matched
from unisono.matching import DepthTerm, fit_beta, fit_beta_and_depth_weight, standardise_depth, with_depth

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
        left, right = (_scaled(side, self.spread) for side in sides)
        if not setting.depth:
            return Matched(left, right, self.beta)
        labels = setting.groups or (None, None)
        depths = [standardise_depth(depth, groups) for depth, groups in zip(log_depths, labels, strict=True)]
        return Matched(*with_depth(left, right, depths[0], depths[1], self.with_depth), self.with_depth.beta)


def _scaled(vectors: Values, spread: float) -> Values:
    return np.asarray(vectors / np.sqrt(spread), dtype=np.float32)
