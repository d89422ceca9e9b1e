"""Several data sets whose features meet by name, and one of them as a query of a model of others; fits nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import NDArray

import unisono as un
from unisono_bench.data import paired_views, to_mudata
from unisono_bench.tasks import MatchingTask, make_tasks

PAIR = ("rna", "adt")
MAX_QUERY_CELLS = 3000
"""Cells of a data set that are asked about, drawn once: ranks and posteriors are of all pairs."""

UNKNOWN = ""
"""The type of a cell that has none."""


@dataclass(frozen=True, eq=False)
class DataSets:
    """The cells of all data sets over the union of their features, under the names `dataset/cell`.

    Attributes:
        union: as `un.read_cells` gives several data sets, with masks of what each batch did not measure.
        names: of the data sets.
        types: cell name → cell type; UNKNOWN where the data set says none.
    """

    union: un.Cells
    names: tuple[str, ...]
    types: Mapping[str, str]

    @classmethod
    def of(cls, data: Mapping[str, MuData]) -> DataSets:
        """Read data sets by name."""
        union = un.read_cells(list(data.values()), names=list(data), batch_key="batch")
        types: dict[str, str] = {}
        for name, mdata in data.items():
            obs = next(iter(mdata.mod.values())).obs
            if "cell_type" in obs:
                known = obs["cell_type"].astype(object).where(obs["cell_type"].notna(), UNKNOWN).astype(str)
                types |= {f"{name}/{cell}": kind for cell, kind in known.items()}
        return cls(union, tuple(data), types)

    def cells(self, names: Sequence[str]) -> un.Cells:
        """The cells of some data sets over the features that any of them measured."""
        wanted = np.isin([name.split("/")[0] for name in self.union.names], names)
        return over_measured_features(self.union.take(np.flatnonzero(wanted)))

    @cached_property
    def mudata(self) -> Mapping[str, MuData]:
        """Each data set with its own features, spelled alike in all, and its own names of cells and batches."""
        return {name: to_mudata(_with_own_names(self.cells([name]), name)) for name in self.names}

    def features(self, name: str, modality: str) -> NDArray[np.str_]:
        """The features that a data set measured."""
        return self.cells([name]).views[modality].features

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Of each data set."""
        return {name: un.fingerprint(self.cells([name])) for name in self.names}

    def query(self, name: str) -> Query:
        """A data set as others are asked about it: the cells that have both modalities, at most 3,000."""
        cells = self.cells([name])
        left, _ = paired_views(cells, *PAIR)
        drawn = np.sort(np.random.default_rng(0).permutation(left.n_cells)[:MAX_QUERY_CELLS])
        rows = pd.Index(cells.names).get_indexer(pd.Index(left.cells[drawn]))
        return Query(name, cells.take(rows), np.array([self.types.get(cell, UNKNOWN) for cell in left.cells[drawn]]))


@dataclass(frozen=True, eq=False)
class Query:
    """Cells of a data set that is not in the training.

    Attributes:
        name: of the data set.
        cells: row i of both modalities is the same cell.
        types: of each cell, UNKNOWN where it has none.
    """

    name: str
    cells: un.Cells
    types: NDArray[np.str_]

    @cached_property
    def mudata(self) -> MuData:
        """The cells with their own names, as a user would ask about them."""
        return to_mudata(_with_own_names(self.cells, self.name))

    @cached_property
    def truth(self) -> Mapping[str, pd.DataFrame]:
        """Measured values of a modality, on its scale over the features of this data set: cell x feature."""
        return {
            m: pd.DataFrame(un.preprocessing.on_scale(view).toarray(), view.cells, view.features)
            for m, view in self.cells.views.items()
        }

    @cached_property
    def matching(self) -> MatchingTask:
        """RNA on the left, protein on the right and in another order."""
        return make_tasks(self.cells, 0).matchings[0]

    @property
    def labels(self) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        """Types of the left and of the right cells of the matching."""
        right = np.empty_like(self.types)
        right[self.matching.partner] = self.types
        return self.types, right


def over_measured_features(cells: un.Cells) -> un.Cells:
    """The same cells without the features that none of their batches measured."""
    views = {}
    for modality, view in cells.views.items():
        there = np.unique(view.batch)
        unmeasured = {name: mask for name, mask in view.unmeasured.items() if name in there}
        kept = np.flatnonzero(view.measured.rows[np.unique(view.measured.row_of)].any(axis=0))
        views[modality] = replace(
            view,
            counts=view.counts[:, kept],
            features=view.features[kept],
            ids=None,
            unmeasured={name: mask[kept] for name, mask in unmeasured.items() if mask[kept].any()},
        )
    return un.Cells(views)


def _with_own_names(cells: un.Cells, data_set: str) -> un.Cells:
    """The names of cells and batches that they had before the data set's came before them; without masks."""
    return un.Cells(
        {
            m: replace(view, cells=_own(view.cells, data_set), batch=_own(view.batch, data_set), unmeasured={})
            for m, view in cells.views.items()
        }
    )


def _own(names: NDArray[np.str_], data_set: str) -> NDArray[np.str_]:
    return np.array([name.removeprefix(f"{data_set}/") for name in names])
