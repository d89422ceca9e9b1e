"""Which cells a method is fitted on and which it is judged by, by name and seed; never looks at a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from unisono.messages import BadInput, bad_input
from unisono.types import Cells

Rows = NDArray[np.intp]
Flags = NDArray[np.bool_]
Labels = NDArray[np.str_]

SplitName = Literal["random", "leave-one-batch-out", "leave-one-donor-out"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
TEST_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Split:
    """Cells to fit on and cells to be judged by, as ascending positions in `Cells.names`.

    Attributes:
        name: the seed, batch or donor that makes it, such as `seed 0` or `s1d2`.
        training: may hold cells of a single modality.
        test: cells with two modalities or more, none of them in training.

    Raises:
        ValueError: a side is empty, or a cell stands on both.
    """

    name: str
    training: Rows
    test: Rows

    def __post_init__(self) -> None:
        if not len(self.training) or not len(self.test):
            raise ValueError(f"split {self.name}: {len(self.training)} training and {len(self.test)} test cells")
        n_shared = len(np.intersect1d(self.training, self.test))
        if n_shared:
            raise ValueError(f"split {self.name}: {n_shared} cells are both in training and in test")


def split_cells(cells: Cells, name: str, *, seed: int = 0, donor: Labels | None = None) -> tuple[Split, ...]:
    """The splits of a name, the same for the same cells, name and seed.

    Only cells with two modalities or more can be tested. `random` is one split: of the n such cells in the order of
    `cells.names`, the first fifth (rounded down) of `numpy.random.default_rng(seed).permutation(n)` is test, and all
    other cells are training. `leave-one-batch-out` is one split a batch, in the order of their names, and
    `leave-one-donor-out` one per donor: its cells are test, those of the others training; those of its cells that
    cannot be tested are in neither, since the batch would no longer be new to the fit. A batch without a cell that can be
    tested is always training.

    Args:
        cells: every cell there is, with its batch.
        name: `random`, `leave-one-batch-out` or `leave-one-donor-out`.
        seed: of `random`; the others draw nothing.
        donor: for `leave-one-donor-out` the donor of each of `cells.names`.

    Raises:
        BadInput: E027 no cell has two modalities, E058 a single batch or donor, E059 unknown name, E060 donors are
            missing or not one per cell, E061 too few cells.
    """
    can_test = np.sum([rows >= 0 for rows in cells.rows.values()], axis=0) > 1
    if name not in SPLITS:
        raise bad_input("E059", "split", f"{name!r} is unknown.", f"say {', '.join(SPLITS)}")
    if not can_test.any():
        raise bad_input("E027", "split", "no cell has two modalities.", "give cells measured in both")
    if name == "random":
        return (_random(can_test, seed),)
    if name == "leave-one-batch-out":
        return _leave_one_out(cells.batch, can_test, "batch")
    if donor is None or len(donor) != len(cells.names):
        raise _no_donors(donor, len(cells.names))
    return _leave_one_out(np.asarray(donor, dtype=str), can_test, "donor")


def _random(can_test: Flags, seed: int) -> Split:
    candidates = np.flatnonzero(can_test)
    n_test = int(TEST_SHARE * len(candidates))
    if n_test == 0:
        what = f"{len(candidates)} cells have two modalities; a fifth of them is none."
        raise bad_input("E061", "split random", what, "give at least 5")
    test = candidates[np.random.default_rng(seed).permutation(len(candidates))[:n_test]]
    is_test = np.zeros(len(can_test), dtype=bool)
    is_test[test] = True
    return Split(f"seed {seed}", np.flatnonzero(~is_test), np.flatnonzero(is_test))


def _leave_one_out(labels: Labels, can_test: Flags, kind: str) -> tuple[Split, ...]:
    if len(np.unique(labels)) < 2:
        what = f"all {len(labels)} cells are of one {kind} ({str(labels[0])!r})."
        raise bad_input(
            "E058", f"split leave-one-{kind}-out", what, f"name the column of the {kind}, or split at random"
        )
    return tuple(
        Split(str(left_out), np.flatnonzero(labels != left_out), np.flatnonzero((labels == left_out) & can_test))
        for left_out in np.unique(labels[can_test])
    )


def _no_donors(donor: Labels | None, n_cells: int) -> BadInput:
    what = "no donors are given." if donor is None else f"{len(donor)} donors for {n_cells} cells."
    return bad_input("E060", "split leave-one-donor-out", what, "give the donor of each cell")
