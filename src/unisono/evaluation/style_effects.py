"""What style does to predictions: its part of their variance, and the move to another batch; never sees a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from unisono.evaluation.probes import MIN_CELLS, balanced_accuracy, held_out_labels
from unisono.metrics.arrays import Labels, Vectors


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


def variance_shares(blocks: Iterable[NDArray[np.floating]]) -> VarianceShares | None:
    """Shares of the variance that add up to 1; None where nothing varies.

    Args:
        blocks: content x style x feature, some features at a time: every content in every style.

    Raises:
        ValueError: there are fewer than two contents or styles.
    """
    squares, n_contents, n_styles = np.zeros(3), 0, 0
    for block in blocks:
        values = np.asarray(block, dtype=np.float64)
        n_contents, n_styles = values.shape[:2]
        if min(n_contents, n_styles) < 2:
            raise ValueError(f"{n_contents} contents in {n_styles} styles: expected two or more of each")
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
        return None
    content, style, interaction = (float(part) for part in squares / total)
    return VarianceShares(content, style, interaction, total / (n_contents * n_styles), n_contents, n_styles)


@dataclass(frozen=True)
class StyleTransfer:
    """Cells of batch A predicted in the style of B, compared with their own: means over all ordered pairs A, B.

    The probes are linear, trained on measured codes of the target and applied to held-out cells.

    Attributes:
        shift_fraction: how far the mean prediction moves along the measured difference of the two batches: 0 not at
            all, 1 all the way. The measured difference includes that of composition, which style should not move.
        called_b_own: fraction of cells of A that the probe calls B when predicted in their own style.
        called_b_swapped: the same in the style of B.
        called_b_measured: fraction of measured cells of B that the probe calls B: the upper limit.
        type_own: balanced accuracy of cell type in predictions in own style; None without two types.
        type_swapped: the same over predictions in every other style: as before if style leaves content alone.
        n_cells: cells of these batches.
        n_batches: batches, each of which is A and B in turn.
    """

    shift_fraction: float
    called_b_own: float
    called_b_swapped: float
    called_b_measured: float
    type_own: float | None
    type_swapped: float | None
    n_cells: int
    n_batches: int


def style_transfer(
    measured: Vectors, predicted: Mapping[str, Vectors], batch: Labels, cell_type: Labels | None, seed: int = 0
) -> StyleTransfer | None:
    """Compare predictions of the same cells in several styles; None where fewer than two batches have 5 cells.

    Args:
        measured: cell x code.
        predicted: name of a batch → cell x code, every cell in the style of that batch.
        batch: of each cell.
        cell_type: of each cell, "" where it is not known; None where none is.
        seed: draws the folds.
    """
    names = [name for name in predicted if (batch == name).sum() >= MIN_CELLS]
    if len(names) < 2:
        return None
    kept = np.flatnonzero(np.isin(batch, names))
    measured, batch = measured[kept], batch[kept]
    styled = {name: predicted[name][kept] for name in names}
    own = np.empty_like(next(iter(styled.values())))
    for name in names:
        own[batch == name] = styled[name][batch == name]
    cells = np.arange(len(kept)).astype(str)
    called = held_out_labels(measured, batch, cells, (measured, own, *styled.values()), seed)
    called_measured, called_own, called_styled = called[0], called[1], dict(zip(styled, called[2:], strict=True))
    found = []
    for a, b in permutations(names, 2):
        rows, others = batch == a, batch == b
        gap = measured[others].mean(axis=0, dtype=np.float64) - measured[rows].mean(axis=0, dtype=np.float64)
        moved = (styled[b][rows] - own[rows]).mean(axis=0, dtype=np.float64)
        found.append(
            (
                float(moved @ gap / max(float(gap @ gap), 1e-12)),
                float(np.mean(called_own[rows] == b)),
                float(np.mean(called_styled[b][rows] == b)),
                float(np.mean(called_measured[others] == b)),
            )
        )
    shift_fraction, called_b_own, called_b_swapped, called_b_measured = np.mean(found, axis=0).tolist()
    types = _types(measured, own, styled, batch, None if cell_type is None else cell_type[kept], seed)
    called_b = called_b_own, called_b_swapped, called_b_measured
    return StyleTransfer(shift_fraction, *called_b, *types, len(kept), len(names))


def _types(
    measured: Vectors,
    own: NDArray[np.floating],
    styled: Mapping[str, Vectors],
    batch: Labels,
    cell_type: Labels | None,
    seed: int,
) -> tuple[float | None, float | None]:
    """Balanced accuracy of cell type in own style, and over all others."""
    if cell_type is None:
        return None, None
    names, n_cells = np.unique(cell_type, return_counts=True)
    rows = np.isin(cell_type, names[(n_cells >= MIN_CELLS) & (names != "")])
    truth = cell_type[rows]
    if len(np.unique(truth)) < 2:
        return None, None
    cells, others = np.arange(len(truth)).astype(str), {name: x[rows] for name, x in styled.items()}
    called = held_out_labels(measured[rows], truth, cells, (own[rows], *others.values()), seed)
    foreign = {name: batch[rows] != name for name in others}
    called_foreign = np.concatenate([labels[foreign[name]] for name, labels in zip(others, called[1:], strict=True)])
    true = np.concatenate([truth[foreign[name]] for name in others])
    return balanced_accuracy(truth, called[0]), balanced_accuracy(true, called_foreign)
