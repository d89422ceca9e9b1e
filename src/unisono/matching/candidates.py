"""Candidate partners: cells of the same group and the nearest of them, exact; never holds the full similarity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from scipy import sparse

from unisono.config import MatchingConfig
from unisono.messages import BadInput, bad_input

Vectors = Float[NDArray[np.float32], "_ _"]
"""cell x dimension."""

Labels = Shaped[NDArray[np.str_], " _"]
"""Group of each cell."""
Rows = Int[NDArray[np.intp], " _"]

DEFAULT_K = MatchingConfig().n_candidates
MAX_ENTRIES_PER_ROW = 1000
"""Most entries per row of a matching file."""

_BLOCK_ENTRIES = 2**22
"""Similarities held at a time: 16 MB of float32; larger blocks are slower."""
_STRIDE = 8
"""Every eighth column is sampled for the threshold above which a row is sorted."""


def blocks(n_left: int, n_right: int, within: tuple[Labels, Labels] | None) -> Iterator[tuple[Rows, Rows]]:
    """The positions of left and right cells of each group that both sides have; all cells at once without groups.

    The label "" is none: such cells are in no group.

    Raises:
        BadInput: E057, no group is on both sides.
        ValueError: numbers of labels and cells differ.
    """
    if within is None:
        yield np.arange(n_left), np.arange(n_right)
        return
    left, right = (np.asarray(labels) for labels in within)
    if (len(left), len(right)) != (n_left, n_right):
        raise ValueError(f"within: {len(left)} and {len(right)} labels for {n_left} left and {n_right} right cells")
    groups = [group for group in np.intersect1d(left, right) if group != ""]
    if not groups and n_left:
        raise _apart(left, right)
    for group in groups:
        yield np.flatnonzero(left == group), np.flatnonzero(right == group)


def _apart(left: Labels, right: Labels) -> BadInput:
    first = (repr(str(side[0])) if len(side) else "none" for side in (left, right))
    what = f"no group of the left cells is on the right (first: {', '.join(first)})."
    return bad_input("E057", "match", what, "name a column that both sides fill in alike, or match without `within`")


def nearest(
    left: Vectors,
    right: Vectors,
    k: int | None = None,
    *,
    cap: int = MAX_ENTRIES_PER_ROW,
    block_entries: int = _BLOCK_ENTRIES,
) -> sparse.csr_matrix:
    """Each left cell's k best right cells and each right cell's k best left cells, by inner product.

    Args:
        left: left cell x dimension.
        right: right cell x dimension.
        k: neighbours from either side; min(200, n) if None.
        cap: most entries per row. The best stay, and among them first those that are a right cell's best,
            so that a right cell loses its last edge only where more than `cap` right cells have one best left cell.
        block_entries: similarities held at a time; bounds memory, does not change the result.

    Returns:
        left x right CSR of scores, sorted by column within a row, no row empty; a score of 0 is stored.

    Raises:
        ValueError: a side has no cells, dimensions differ, a value is not finite, or k or cap is below 1.
    """
    _check(left, right)
    k = DEFAULT_K if k is None else k
    if min(k, cap) < 1:
        raise ValueError(f"k={k}, cap={cap}: expected at least 1 neighbour")
    ahead = _best(left, right, k, block_entries)
    back = _best(right, left, k, block_entries)
    graph = _union(ahead, back, left, right)
    if np.diff(graph.indptr).max() <= cap:
        return graph
    return keep(graph, rank_in_row(graph, first=_is_best_of_column(graph)) < cap)


def _check(left: Vectors, right: Vectors) -> None:
    for side, vectors in (("left", left), ("right", right)):
        if vectors.ndim != 2 or len(vectors) == 0:
            raise ValueError(
                f"{side}: vectors have shape {vectors.shape}, expected cell x dimension with 1 cell or more"
            )
        n_bad = int((~np.isfinite(vectors)).sum())
        if n_bad:
            raise ValueError(f"{side}: {n_bad} of {vectors.size} values are not finite; look for NaN in the codes")
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"left has {left.shape[1]} dimensions, right {right.shape[1]}; both must come from one model")


def _best(query: Vectors, reference: Vectors, k: int, block_entries: int) -> NDArray[np.intp]:
    """Positions of the best references, query x min(k, n), in no order."""
    n = len(reference)
    if k >= n:
        return np.broadcast_to(np.arange(n), (len(query), n))
    size = max(1, block_entries // n)
    best = np.empty((len(query), k), dtype=np.intp)
    for start in range(0, len(query), size):
        similarity = query[start : start + size] @ reference.T
        best[start : start + size] = _largest(similarity, k)
    return best


def _largest(similarity: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Columns of the k largest of each row: those above a threshold from a sample of columns, then the best of these.

    Exact, at a tenth of the cost of sorting whole rows. A row in which fewer than k pass the threshold is kept whole.
    """
    n = similarity.shape[1]
    in_sample = int(k / _STRIDE + 4 * np.sqrt(k / _STRIDE)) + 2
    sample = np.ascontiguousarray(similarity[:, ::_STRIDE])
    if in_sample >= sample.shape[1]:
        return np.argpartition(similarity, n - k, axis=1)[:, n - k :]
    threshold = np.partition(sample, -in_sample, axis=1)[:, -in_sample]
    passes = similarity >= threshold[:, None]
    passes[passes.sum(axis=1) < k] = True
    rows, columns = np.divmod(np.flatnonzero(passes), n)
    counts = np.bincount(rows, minlength=len(similarity))
    rank = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    shortlist = np.full((len(similarity), counts.max()), -np.inf, dtype=np.float32)
    shortlist[rows, rank] = similarity[passes]
    positions = np.zeros(shortlist.shape, dtype=np.intp)
    positions[rows, rank] = columns
    best = np.argpartition(shortlist, -k, axis=1)[:, -k:]
    return np.take_along_axis(positions, best, axis=1)


def _union(ahead: NDArray[np.intp], back: NDArray[np.intp], left: Vectors, right: Vectors) -> sparse.csr_matrix:
    n_right = len(right)
    forward = np.arange(len(left))[:, None] * n_right + ahead
    reverse = back * n_right + np.arange(n_right)[:, None]
    keys = np.sort(np.concatenate([forward.ravel(), reverse.ravel()]))
    rows, columns = np.divmod(keys[np.append(True, keys[1:] != keys[:-1])], n_right)
    indptr = np.searchsorted(rows, np.arange(len(left) + 1))
    scores = inner_products(left, right, rows, columns)
    return sparse.csr_matrix((scores, columns, indptr), shape=(len(left), n_right))


def inner_products(
    left: Vectors, right: Vectors, rows: Int[np.ndarray, " pair"], columns: Int[np.ndarray, " pair"]
) -> Float[np.ndarray, " pair"]:
    """Scores of the pairs, each summed on its own: they do not depend on blocks or on the order of cells."""
    scores = np.empty(len(rows), dtype=np.float32)
    size = max(1, _BLOCK_ENTRIES // max(1, left.shape[1]))
    for start in range(0, len(rows), size):
        some = slice(start, start + size)
        scores[some] = np.einsum("ij,ij->i", left[rows[some]], right[columns[some]])
    return scores


def _is_best_of_column(graph: sparse.csr_matrix) -> NDArray[np.bool_]:
    """For each entry whether it is the first largest of its column."""
    order = np.lexsort((row_of_entries(graph), -graph.data, graph.indices))
    columns = graph.indices[order]
    is_best = np.zeros(len(order), dtype=bool)
    is_best[order[np.r_[True, columns[1:] != columns[:-1]]]] = True
    return is_best


def row_of_entries(graph: sparse.csr_matrix) -> Rows:
    """The row of each stored entry."""
    return np.repeat(np.arange(graph.shape[0], dtype=np.intp), np.diff(graph.indptr))


def rank_in_row(graph: sparse.csr_matrix, first: Bool[np.ndarray, " entry"] | None = None) -> Rows:
    """The rank of each stored entry in its row, 0 for the largest value; entries in `first` come before all others."""
    rows = row_of_entries(graph)
    keys = (-graph.data, rows) if first is None else (-graph.data, ~first, rows)
    order = np.lexsort(keys)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order)) - graph.indptr[:-1].astype(np.intp)[rows]
    return rank


def keep(graph: sparse.csr_matrix, entries: Bool[np.ndarray, " entry"]) -> sparse.csr_matrix:
    """The graph with only the entries of a mask; an entry of value zero that is kept stays stored."""
    counts = np.bincount(row_of_entries(graph)[entries], minlength=graph.shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_matrix((graph.data[entries], graph.indices[entries], indptr), shape=graph.shape)
