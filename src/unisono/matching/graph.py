"""Sparse graphs of left by right cells in CSR: rows of entries, ranks, selections; never decides what a score means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def row_of_entries(graph: sparse.csr_matrix) -> NDArray[np.intp]:
    """The row of each stored entry."""
    return np.repeat(np.arange(graph.shape[0], dtype=np.intp), np.diff(graph.indptr))


def rank_in_row(graph: sparse.csr_matrix, first: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
    """The place of each stored entry in its row, 0 for the largest value; entries in `first` come before all others."""
    rows = row_of_entries(graph)
    keys = (-graph.data, rows) if first is None else (-graph.data, ~first, rows)
    order = np.lexsort(keys)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order)) - graph.indptr[:-1].astype(np.intp)[rows]
    return rank


def keep(graph: sparse.csr_matrix, entries: NDArray[np.bool_]) -> sparse.csr_matrix:
    """The graph with only the entries of a mask; an entry of value zero that is kept stays stored."""
    counts = np.bincount(row_of_entries(graph)[entries], minlength=graph.shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_matrix((graph.data[entries], graph.indices[entries], indptr), shape=graph.shape)


def best_in_row(graph: sparse.csr_matrix) -> NDArray[np.intp]:
    """The column of the largest value of each row; no row may be empty."""
    return np.asarray(graph.indices[rank_in_row(graph) == 0], dtype=np.intp)


def value_at(graph: sparse.csr_matrix, columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """The value in one column of each row, 0 where none is stored."""
    rows = row_of_entries(graph)
    is_there = graph.indices == columns[rows]
    found = np.zeros(graph.shape[0])
    found[rows[is_there]] = graph.data[is_there]
    return found


def normalise_rows(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """The graph with each row divided by its sum; no row may sum to zero."""
    rows = row_of_entries(graph)
    total = np.bincount(rows, weights=graph.data, minlength=graph.shape[0])
    return sparse.csr_matrix((graph.data / total[rows], graph.indices, graph.indptr), shape=graph.shape)
