"""How much of a prediction's variance is content's, how much style's, how much of both together; never sees a model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class VarianceShares:
    """Two-way decomposition of the variance over a grid of contents and styles, summed over features.

    Attributes:
        content: share of the means over styles.
        style: share of the means over contents.
        interaction: what is left: a style that moves some cells otherwise than others.
        total: variance of all values, summed over features, on the scale of the prediction.
        n_contents: rows of the grid.
        n_styles: columns of the grid.
    """

    content: float
    style: float
    interaction: float
    total: float
    n_contents: int
    n_styles: int


def variance_shares(blocks: Iterable[NDArray[np.floating]]) -> VarianceShares:
    """Shares of the variance that add up to 1.

    Args:
        blocks: content x style x feature, some features at a time: every content in every style.

    Raises:
        ValueError: there are no values, fewer than two contents or styles, or nothing varies.
    """
    squares, n_contents, n_styles = np.zeros(3), 0, 0
    for block in blocks:
        values = np.asarray(block, dtype=np.float64)
        n_contents, n_styles = values.shape[:2]
        if min(n_contents, n_styles) < 2:
            raise ValueError(f"{n_contents} contents in {n_styles} styles: wanted two or more of each")
        values = values - values.mean(axis=(0, 1))
        of_content, of_style = values.mean(axis=1), values.mean(axis=0)
        rest = values - of_content[:, None] - of_style
        squares += [
            n_styles * np.square(of_content).sum(),
            n_contents * np.square(of_style).sum(),
            np.square(rest).sum(),
        ]
    total = float(squares.sum())
    if total == 0:
        raise ValueError("nothing varies: every value of a feature is the same")
    content, style, interaction = (float(part) for part in squares / total)
    return VarianceShares(content, style, interaction, total / (n_contents * n_styles), n_contents, n_styles)
