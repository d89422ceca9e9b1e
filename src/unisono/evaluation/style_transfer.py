"""What a prediction in another batch's style changes: towards that batch, and nothing else; never sees a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from unisono.evaluation.probes import MIN, balanced_accuracy, linear_answers
from unisono.metrics.arrays import Labels, Vectors


@dataclass(frozen=True)
class StyleTransfer:
    """Cells of batch A predicted in the style of B beside their own: means over all ordered pairs A, B.

    The probes are linear, learn from measured codes of the target, and are asked about cells they have not seen.

    Attributes:
        towards: how far the mean prediction moves along the measured difference of the two batches: 0 not at all, 1
            all the way. The measured difference holds what differs in composition too, which style is not to move.
        called_b_own: share of cells of A that are taken for B when predicted in their own style.
        called_b_swapped: the same in the style of B.
        called_b_measured: share of measured cells of B that are taken for B: the most that could be had.
        type_own: balanced accuracy of cell type in predictions in own style; None without two types.
        type_swapped: the same over predictions in every other style: as before if style leaves content alone.
        n_cells: cells that were asked.
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
    """Judge predictions of the same cells in several styles; None where fewer than two batches have 5 cells.

    Args:
        measured: cell x code.
        predicted: name of a batch → cell x code, every cell in the style of that batch.
        batch: of each cell.
        cell_type: of each cell, "" where it is not known; None where none is.
        seed: draws the folds.
    """
    names = [name for name in predicted if (batch == name).sum() >= MIN]
    if len(names) < 2:
        return None
    asked = np.flatnonzero(np.isin(batch, names))
    measured, batch = measured[asked], batch[asked]
    styled = {name: predicted[name][asked] for name in names}
    own = np.empty_like(next(iter(styled.values())))
    for name in names:
        own[batch == name] = styled[name][batch == name]
    cells = np.arange(len(asked)).astype(str)
    answers = linear_answers(measured, batch, cells, (measured, own, *styled.values()), seed)
    of_measured, of_own, of_styled = answers[0], answers[1], dict(zip(styled, answers[2:], strict=True))
    found = []
    for a, b in permutations(names, 2):
        rows, others = batch == a, batch == b
        gap = measured[others].mean(axis=0, dtype=np.float64) - measured[rows].mean(axis=0, dtype=np.float64)
        moved = (styled[b][rows] - own[rows]).mean(axis=0, dtype=np.float64)
        found.append(
            (
                float(moved @ gap / max(float(gap @ gap), 1e-12)),
                float(np.mean(of_own[rows] == b)),
                float(np.mean(of_styled[b][rows] == b)),
                float(np.mean(of_measured[others] == b)),
            )
        )
    shift_fraction, called_own, called_swapped, called_measured = np.mean(found, axis=0).tolist()
    types = _types(measured, own, styled, batch, None if cell_type is None else cell_type[asked], seed)
    return StyleTransfer(shift_fraction, called_own, called_swapped, called_measured, *types, len(asked), len(names))


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
    rows = np.isin(cell_type, names[(n_cells >= MIN) & (names != "")])
    truth = cell_type[rows]
    if len(np.unique(truth)) < 2:
        return None, None
    cells, others = np.arange(len(truth)).astype(str), {name: x[rows] for name, x in styled.items()}
    answers = linear_answers(measured[rows], truth, cells, (own[rows], *others.values()), seed)
    foreign = {name: batch[rows] != name for name in others}
    said = np.concatenate([answer[foreign[name]] for name, answer in zip(others, answers[1:], strict=True)])
    true = np.concatenate([truth[foreign[name]] for name in others])
    return balanced_accuracy(truth, answers[0]), balanced_accuracy(true, said)
