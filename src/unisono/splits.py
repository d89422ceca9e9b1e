"""Which cells a method is fitted on and which it is tested on, by name and seed; never looks at a count.

Examples:
    >>> import unisono as un
    >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
    >>> train, test = un.splits.random_split(mdata, seed=0, test_fraction=0.25).take(mdata)
    >>> train.n_obs, test.n_obs
    (30, 10)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.io.checks.batches import find_batches
from unisono.io.naming import sources
from unisono.io.open import as_mudata
from unisono.messages import bad_input, refuse

if TYPE_CHECKING:
    from mudata import MuData

Names = NDArray[np.str_]
Flags = NDArray[np.bool_]

__all__ = ["Split", "by_groups", "leave_one_out", "random_split"]


@dataclass(frozen=True, eq=False)
class Split:
    """Names of the cells to fit on and of those to test on.

    Attributes:
        name: what makes it, such as `seed 0` or the batch left out.
        training: may hold cells of a single modality.
        test: cells with two modalities or more, none of them in training.

    Raises:
        ValueError: a side is empty, or a cell stands on both.
    """

    name: str
    training: Names
    test: Names

    def __post_init__(self) -> None:
        if not len(self.training) or not len(self.test):
            raise ValueError(f"split {self.name}: {len(self.training)} training and {len(self.test)} test cells")
        n_shared = len(np.intersect1d(self.training, self.test))
        if n_shared:
            raise ValueError(f"split {self.name}: {n_shared} cells are both in training and in test")

    def take(self, mdata: MuData) -> tuple[MuData, MuData]:
        """Copies of the training and the test cells, in the order of `mdata`, with its obs, obsm and uns."""
        return _of_cells(mdata, self.training), _of_cells(mdata, self.test)


def _of_cells(mdata: MuData, names: Names) -> MuData:
    """The cells of some names in every modality, put together anew.

    Slicing would do, but mudata 0.3.10 without `pull_on_update` refuses to where the index of cells has a name in their
    modalities, as it often has, and none in `mdata.obs`.
    """
    made = as_mudata({name: part[part.obs_names.isin(names)].copy() for name, part in mdata.mod.items()})
    rows = mdata.obs_names.get_indexer(made.obs_names)
    made.obs = mdata.obs.iloc[rows].copy()
    for key, values in mdata.obsm.items():
        if key not in mdata.mod:  # these say which cells a modality has
            made.obsm[key] = values[rows]
    made.uns = deepcopy(dict(mdata.uns))
    return made


def random_split(
    mdata: MuData, *, seed: int = 0, test_fraction: float = 0.2, modalities: Mapping[str, str] | None = None
) -> Split:
    """A random part of the cells with two modalities as test, all other cells as training.

    Of the n such cells in the order of their first appearance over the modalities (chromatin, RNA, protein), the first
    `test_fraction` (rounded down) of `numpy.random.default_rng(seed).permutation(n)` are test.

    Args:
        mdata: every cell there is.
        seed: equal seeds give equal splits.
        test_fraction: above 0 and below 1.
        modalities: name in the MuData → rna, atac or adt, where the names are unusual.

    Raises:
        BadInput: E027 no cell has two modalities, E061 too few have.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> split = un.splits.random_split(mdata, seed=0)
        >>> len(split.training), len(split.test), split.name
        (32, 8, 'seed 0')
    """
    cells = _cells(mdata, None, modalities)
    candidates = np.flatnonzero(cells["can_test"])
    n_test = int(test_fraction * len(candidates))
    if n_test == 0:
        what = f"{len(candidates)} cells have two modalities; {test_fraction:.0%} of them is none."
        raise bad_input("E061", "random split", what, f"give at least {int(np.ceil(1 / test_fraction))}")
    is_test = np.zeros(len(cells), dtype=bool)
    is_test[candidates[np.random.default_rng(seed).permutation(len(candidates))[:n_test]]] = True
    return _split(f"seed {seed}", cells, ~is_test, is_test)


def leave_one_out(mdata: MuData, key: str, *, modalities: Mapping[str, str] | None = None) -> tuple[Split, ...]:
    """One split for each value of an obs column, such as the batch or the donor, in the order of their names.

    Cells with the value are test, those of all other values training. Cells with the value that have one modality are
    in neither, since the value would no longer be new to the fit. A value without a cell to test is always training.

    Args:
        mdata: every cell there is.
        key: obs column, in `mdata.obs` or in a modality's obs.
        modalities: as for `random_split`.

    Raises:
        BadInput: E027 no cell has two modalities, E029 to E033 the column cannot be used, E058 it has a single value.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> [(split.name, len(split.training), len(split.test)) for split in un.splits.leave_one_out(mdata, "batch")]
        [('b1', 20, 20), ('b2', 20, 20)]
    """
    cells = _cells(mdata, key, modalities)
    if cells["label"].nunique() < 2:
        what = f"all {len(cells)} cells have the same {key} ({cells['label'].iloc[0]!r})."
        raise bad_input("E058", "leave one out", what, "name another column, or split at random")
    label = cells["label"].to_numpy(dtype=str)
    names = np.unique(label[cells["can_test"].to_numpy(dtype=bool)])
    return tuple(_split(str(name), cells, label != name, label == name) for name in names)


def by_groups(
    mdata: MuData,
    key: str,
    *,
    test: Sequence[str],
    training: Sequence[str] | None = None,
    modalities: Mapping[str, str] | None = None,
) -> Split:
    """One split by named values of an obs column, such as batches.

    Args:
        mdata: every cell there is.
        key: obs column, in `mdata.obs` or in a modality's obs.
        test: values whose cells with two modalities are tested.
        training: values to fit on; by default all that are not tested.
        modalities: as for `random_split`.

    Returns:
        The split, named by the values that are tested, joined by +.

    Raises:
        BadInput: E027 no cell has two modalities, E029 to E033 the column cannot be used, E062 a value is not there, or
            stands on both sides, or a side has no cell.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=30, n_genes=30, n_peaks=50, n_proteins=6, n_batches=3)
        >>> split = un.splits.by_groups(mdata, "batch", test=["b3"])
        >>> len(split.training), len(split.test), split.name
        (20, 10, 'b3')
    """
    cells = _cells(mdata, key, modalities)
    there = sorted(set(cells["label"]))
    fitted = list(training) if training else [name for name in there if name not in test]
    for name in (*fitted, *test):
        if name not in there:
            raise bad_input("E062", f"split by {key}", f"no value {name!r}.", f"the values are {', '.join(there)}")
    shared = [name for name in fitted if name in test]
    if shared:
        what = f"{shared[0]!r} is both training and test."
        raise bad_input("E062", f"split by {key}", what, "name each value once")
    is_training, is_test = (cells["label"].isin(side).to_numpy(dtype=bool) for side in (fitted, test))
    n_test = int((is_test & cells["can_test"].to_numpy(dtype=bool)).sum())
    if not is_training.any() or not n_test:
        what = f"{is_training.sum()} training cells and {n_test} test cells."
        raise bad_input("E062", f"split by {key}", what, "name values of cells with two modalities")
    return _split("+".join(test), cells, is_training, is_test)


def _cells(mdata: MuData, key: str | None, modalities: Mapping[str, str] | None) -> pd.DataFrame:
    """Every cell by name, in the order of first appearance, with its label and whether it has two modalities."""
    found, findings = sources(mdata, modalities, "split", is_training=True)
    refuse(findings)
    labels, findings = find_batches(mdata, found, key, "split")
    refuse(findings)
    names = pd.Index(np.concatenate([source.adata.obs_names.to_numpy(dtype=str) for source in found]))
    table = pd.DataFrame({"label": np.concatenate([labels[source.kind] for source in found])}, index=names)
    cells: pd.DataFrame = table[~names.duplicated()].copy()
    cells["can_test"] = names.value_counts(sort=False).to_numpy() > 1
    if not cells["can_test"].any():
        raise bad_input("E027", "split", "no cell has two modalities.", "give cells measured in both")
    return cells


def _split(name: str, cells: pd.DataFrame, is_training: Flags, is_test: Flags) -> Split:
    names, can_test = cells.index.to_numpy(dtype=str), cells["can_test"].to_numpy(dtype=bool)
    return Split(name, names[is_training], names[is_test & can_test])
