"""The data that travels between rooms: View, Cells, Coupling, Prediction; checked when made, never changed after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

Modality = Literal["atac", "rna", "adt"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)
"""In the order of the central dogma: DNA, RNA, protein."""

Pair = tuple[Modality, Modality]
"""Source and target of a prediction, or left and right of a matching."""

ONE_BATCH = "all"
"""The batch of every cell when no batch column was named."""

Link = Literal["nonnegative", "logistic"]


@dataclass(frozen=True, eq=False)
class View:
    """One modality's raw counts over named cells and features.

    Attributes:
        modality: the kind of measurement.
        counts: cells x features, canonical CSR of non-negative integers.
        cells: unique cell names, one a row.
        features: unique feature names, one a column.
        batch: technical batch of each cell.

    Raises:
        ValueError: lengths disagree, a name stands twice, or a count is negative or not an integer.
    """

    modality: Modality
    counts: sparse.csr_matrix
    cells: NDArray[np.str_]
    features: NDArray[np.str_]
    batch: NDArray[np.str_]

    def __post_init__(self) -> None:
        wanted = (len(self.cells), len(self.features))
        if self.counts.shape != wanted:
            raise ValueError(f"{self.modality}: counts are {self.counts.shape}, names say {wanted}")
        if len(self.batch) != len(self.cells):
            raise ValueError(f"{self.modality}: {len(self.batch)} batch entries for {len(self.cells)} cells")
        for what, names in (("cell", self.cells), ("feature", self.features)):
            if not pd.Index(names).is_unique:
                raise ValueError(f"{self.modality}: {what} names are not unique")
        if not np.issubdtype(self.counts.dtype, np.integer):
            raise ValueError(f"{self.modality}: counts are {self.counts.dtype}, wanted integers")
        if self.counts.nnz and self.counts.data.min() < 0:
            raise ValueError(f"{self.modality}: counts contain negative values")

    @property
    def n_cells(self) -> int:
        return len(self.cells)

    @cached_property
    def depth(self) -> NDArray[np.float64]:
        """Total counts of each cell."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def take(self, rows: NDArray[np.intp]) -> View:
        """The same view of some of its cells, in the order given."""
        return replace(self, counts=self.counts[rows], cells=self.cells[rows], batch=self.batch[rows])


@dataclass(frozen=True, eq=False)
class Cells:
    """Views over one set of cells, joined by cell name: a cell may lack a modality."""

    views: Mapping[Modality, View]

    def __post_init__(self) -> None:
        for modality, view in self.views.items():
            if view.modality != modality:
                raise ValueError(f"the view under {modality!r} holds {view.modality!r}")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities present, in the order of the central dogma."""
        return tuple(modality for modality in MODALITIES if modality in self.views)

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """Every cell once, in order of first appearance."""
        return pd.unique(np.concatenate([self.views[modality].cells for modality in self.modalities]))

    @cached_property
    def rows(self) -> dict[Modality, NDArray[np.intp]]:
        """For each modality, the row of each of `names` in its view, -1 where the cell lacks that modality."""
        return {m: pd.Index(self.views[m].cells).get_indexer(pd.Index(self.names)) for m in self.modalities}

    @cached_property
    def batch(self) -> NDArray[np.str_]:
        """The batch of each of `names`, from the first modality that has the cell."""
        batch = np.full(len(self.names), ONE_BATCH, dtype=object)
        for modality in reversed(self.modalities):
            rows = self.rows[modality]
            batch[rows >= 0] = self.views[modality].batch[rows[rows >= 0]]
        return batch.astype(str)

    def take(self, cells: NDArray[np.intp]) -> Cells:
        """Some of the cells (positions in `names`), each in every modality it has."""
        return Cells({m: self.views[m].take(self.rows[m][cells][self.rows[m][cells] >= 0]) for m in self.modalities})


@dataclass(frozen=True, eq=False)
class Coupling:
    """Who is whose partner: row i is the distribution of left cell i over right cells, given that it has a partner.

    Attributes:
        posterior: left x right CSR of probabilities, every row sums to 1.
        p_unmatched: probability that the right side lacks the left cell's partner.
    """

    posterior: sparse.csr_matrix
    p_unmatched: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.posterior.nnz and self.posterior.data.min() < 0:
            raise ValueError(f"a coupling holds probabilities, found {self.posterior.data.min():.4g}")
        sums = np.asarray(self.posterior.sum(axis=1)).ravel()
        if not np.allclose(sums, 1.0, atol=1e-4):
            raise ValueError(f"rows of a coupling sum to 1, found {sums.min():.4g} to {sums.max():.4g}")
        if len(self.p_unmatched) != self.posterior.shape[0]:
            raise ValueError(f"{len(self.p_unmatched)} p_unmatched for {self.posterior.shape[0]} left cells")


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted values of one modality, kept as codes x loadings until they are asked for.

    value = link(codes @ loadings.T + intercept), with link `nonnegative` max(0, .) or `logistic` 1 / (1 + exp(-.)).

    Attributes:
        codes: cell x code.
        loadings: feature x code.
        intercept: one a feature.
    """

    source: Modality
    target: Modality
    cells: NDArray[np.str_]
    features: NDArray[np.str_]
    codes: NDArray[np.float32]
    loadings: NDArray[np.float32]
    intercept: NDArray[np.float32]
    link: Link

    def __post_init__(self) -> None:
        found = (self.codes.shape, self.loadings.shape, self.intercept.shape)
        n_codes = self.codes.shape[-1]
        wanted = ((len(self.cells), n_codes), (len(self.features), n_codes), (len(self.features),))
        if found != wanted:
            raise ValueError(f"prediction of {self.target}: shapes {found}, wanted {wanted}")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.cells), len(self.features)

    def dense(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """The values of some cells (all unless told), cell x feature, on the scale of the target modality."""
        values: NDArray[np.float32] = self.codes[rows] @ self.loadings.T
        values += self.intercept
        if self.link == "nonnegative":
            np.maximum(values, 0.0, out=values)
            return values
        return _logistic(values)

    def take_features(self, columns: slice | NDArray[np.intp]) -> Prediction:
        """The prediction of some of the features."""
        return replace(
            self,
            features=self.features[columns],
            loadings=self.loadings[columns],
            intercept=self.intercept[columns],
        )

    def chunks(self, size: int) -> Iterator[NDArray[np.float32]]:
        """The values, `size` cells at a time."""
        for start in range(0, len(self.cells), size):
            yield self.dense(slice(start, start + size))


def _logistic(values: NDArray[np.float32]) -> NDArray[np.float32]:
    np.clip(values, -60.0, 60.0, out=values)
    np.negative(values, out=values)
    np.exp(values, out=values)
    values += 1.0
    return np.reciprocal(values, out=values)
