"""Which splits and seeds a benchmark goes through; says nothing of methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from unisono.evaluation.splits import Labels, Split, split_cells
from unisono.messages import bad_input
from unisono.types import Cells

SplitChoice = Literal["random", "leave-one-batch-out", "leave-one-donor-out", "batches"]
SPLIT_CHOICES: tuple[SplitChoice, ...] = get_args(SplitChoice)


@dataclass(frozen=True, eq=False)
class Round:
    """One split and one seed, through which every method goes.

    Attributes:
        name: the split without its seed: `random`, or the batch or donor left out.
        split: the cells.
        seed: of the methods, and for `random` of the split.
    """

    name: str
    split: Split
    seed: int


def rounds(
    cells: Cells,
    choice: str,
    n_seeds: int,
    *,
    donor: Labels | None = None,
    training: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    n_training: int | None = None,
) -> tuple[Round, ...]:
    """All rounds, seed by seed: with `random` the seed draws the split too, else each split is run with each seed.

    Args:
        cells: every cell there is.
        choice: of `SPLIT_CHOICES`; `batches` is one split by name.
        n_seeds: seeds 0, 1, ...
        donor: for `leave-one-donor-out` the donor of each of `cells.names`.
        training: for `batches` those to learn from; all that are no test batch unless told.
        test: for `batches` those to be judged by.
        n_training: how many of the training cells of a split to learn from, drawn by the seed; all unless told.

    Raises:
        BadInput: E061 fewer training cells than asked for, E062 a named batch is not there, or stands on both sides;
            else as `split_cells`.
    """
    turns = _whole_rounds(cells, choice, n_seeds, donor, training, test)
    if n_training is None:
        return turns
    return tuple(replace(turn, split=_thinned_out(turn.split, n_training, turn.seed)) for turn in turns)


def _whole_rounds(
    cells: Cells,
    choice: str,
    n_seeds: int,
    donor: Labels | None,
    training: Sequence[str] | None,
    test: Sequence[str] | None,
) -> tuple[Round, ...]:
    if choice == "batches":
        named = _named(cells, training, test)
        return tuple(Round(named.name, named, seed) for seed in range(n_seeds))
    if choice == "random":
        return tuple(
            Round(choice, split, seed) for seed in range(n_seeds) for split in split_cells(cells, choice, seed=seed)
        )
    splits = split_cells(cells, choice, donor=donor)
    return tuple(Round(split.name, split, seed) for seed in range(n_seeds) for split in splits)


def _thinned_out(split: Split, n_training: int, seed: int) -> Split:
    """The same test cells, and of the training cells the first few of a permutation drawn by the seed."""
    n_there = len(split.training)
    if not 0 < n_training <= n_there:
        what = f"{n_training} training cells are wanted of {n_there}."
        raise bad_input("E061", f"split {split.name}", what, f"ask for 1 to {n_there} with --train-cells")
    order = np.random.default_rng([seed, 1]).permutation(n_there)
    return replace(split, training=np.sort(split.training[order[:n_training]]))


def _named(cells: Cells, training: Sequence[str] | None, test: Sequence[str] | None) -> Split:
    there = [str(name) for name in np.unique(cells.batch)]
    if not test:
        raise bad_input("E062", "split batches", "no test batches are named.", "as in --test-batches 09H")
    learned = training if training else [name for name in there if name not in test]
    for name in (*learned, *test):
        if name not in there:
            raise bad_input("E062", "split batches", f"no batch {name!r}.", f"the batches are {', '.join(there)}")
    shared = [name for name in learned if name in test]
    if shared:
        what = f"{shared[0]!r} is a training and a test batch."
        raise bad_input("E062", "split batches", what, "name each batch once")
    can_test = np.sum([rows >= 0 for rows in cells.rows.values()], axis=0) > 1
    is_training, is_test = np.isin(cells.batch, learned), np.isin(cells.batch, test) & can_test
    if not is_training.any() or not is_test.any():
        what = f"{is_training.sum()} training cells and {is_test.sum()} test cells with two modalities."
        raise bad_input("E062", "split batches", what, "name batches with cells measured in both")
    return Split("+".join(test), np.flatnonzero(is_training), np.flatnonzero(is_test))
