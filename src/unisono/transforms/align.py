"""Columns of a query put into the model's order by feature name, never by place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.types import View


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each feature of the model stands in the query (-1: missing), and how many of the query's are unknown."""

    columns: NDArray[np.intp]
    n_unknown: int

    @property
    def is_present(self) -> NDArray[np.bool_]:
        return self.columns >= 0

    @property
    def n_missing(self) -> int:
        return int((~self.is_present).sum())


def align(wanted: NDArray[np.str_], found: NDArray[np.str_]) -> Alignment:
    """Match two sets of unique feature names."""
    columns = pd.Index(found).get_indexer(pd.Index(wanted))
    return Alignment(columns, n_unknown=len(found) - int((columns >= 0).sum()))


def aligned_counts(view: View, alignment: Alignment) -> sparse.csr_matrix:
    """The view's counts over the model's features, in the model's order; a missing feature is an empty column."""
    columns = alignment.columns
    if np.array_equal(columns, np.arange(len(view.features))):
        return view.counts
    place = np.full(len(view.features), -1, dtype=np.int64)
    place[columns[columns >= 0]] = np.flatnonzero(columns >= 0)
    new_columns = place[view.counts.indices]
    keep = new_columns >= 0
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    aligned = sparse.csr_matrix(
        (view.counts.data[keep], new_columns[keep], kept_before[view.counts.indptr]),
        shape=(view.n_cells, len(columns)),
    )
    aligned.sort_indices()
    return aligned
