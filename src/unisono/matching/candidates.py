"""Candidate partners: cells of the same group and the nearest of them, exact; never holds the full similarity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import NDArray
from scipy import sparse

from unisono.config import MatchingConfig
from unisono.messages import BadInput, bad_input

Vectors = Float[np.ndarray, "_ _"]
"""cell x dimension."""

Labels = Shaped[np.ndarray, " _"]
"""Group of each cell."""
Rows = Int[np.ndarray, " _"]
Counts = Int[np.ndarray, " row"]
Floats = Float[np.ndarray, " _"]

DEFAULT_K = MatchingConfig().n_candidates
MAX_ENTRIES_PER_ROW = 1000
"""Most entries per row of a matching file."""

_BLOCK_ENTRIES = 2**22
"""Similarities held at a time: 16 MB of float32; larger blocks are slower."""
_STRIDE = 16
"""Every sixteenth cell of the other side is sampled for the threshold above which similarities are looked at."""
_ROWS_AT_A_TIME = 1024
"""Rows of a sparse graph that are laid out as a table."""
_MARGIN = 4.0
"""Standard deviations by which more cells are looked at than asked for, so that hardly a cell finds too few."""
_TIED = 4
"""A cell has ties where so many times more of the sample reach its threshold than were meant to."""


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
        block_entries: similarities looked at together; does not change the result.

    Returns:
        left x right CSR of scores, sorted by column within a row, no row empty; a score of 0 is stored.

    Raises:
        ValueError: a side has no cells, dimensions differ, a value is not finite, or k or cap is below 1.

    Examples:
        The first left cell is the best of two right ones, one of which is its best:

        >>> import numpy as np, unisono as un
        >>> left, right = np.array([[3.0, 0.0], [0.0, 2.0]]), np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 0.5]])
        >>> un.matching.nearest(left, right, k=1).toarray()
        array([[0. , 3. , 2.7],
               [2. , 0. , 0. ]], dtype=float32)
    """
    _check(left, right)
    k = DEFAULT_K if k is None else k
    if min(k, cap) < 1:
        raise ValueError(f"k={k}, cap={cap}: expected at least 1 neighbour")
    graph = _union(left, right, k, block_entries)
    counts = np.diff(graph.indptr)
    if counts.max() <= cap:
        return graph
    is_in_full = np.repeat(counts > cap, counts)
    ends = np.concatenate([[0], np.cumsum(np.where(counts > cap, counts, 0))])
    full = sparse.csr_matrix((graph.data[is_in_full], graph.indices[is_in_full], ends), shape=graph.shape)
    is_kept = np.ones(graph.nnz, dtype=bool)
    is_kept[is_in_full] = rank_in_row(full, first=_is_best_of_column(graph)[is_in_full]) < cap
    return keep(graph, is_kept)


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


def _union(left: Vectors, right: Vectors, k: int, block_entries: int) -> sparse.csr_matrix:
    """The graph of `nearest` before rows are capped.

    Every similarity is computed once. Each cell has a threshold, from a sample of the other side, that somewhat more
    than k of the others pass; pairs that pass that of either cell are held, and the k best are found among them. Cells
    that fewer than k pass are looked at once more, by themselves.
    """
    thresholds = _thresholds(left, right, k, block_entries), _thresholds(right, left, k, block_entries)
    held, least_left = _held(left, right, *thresholds, k, block_entries)
    transposed = held.T.tocsr()
    least_right = kth_largest(transposed.data, np.diff(transposed.indptr), k, thresholds[1])
    del transposed
    is_kept = held.data >= np.repeat(least_left, np.diff(held.indptr))
    is_kept |= held.data >= least_right[held.indices]
    graph = keep(held, is_kept)
    del held, is_kept
    odd_left, odd_right = (np.flatnonzero(np.isinf(least)) for least in (least_left, least_right))
    if len(odd_left) or len(odd_right):
        ahead, back = _best(left[odd_left], right, k, block_entries), _best(right[odd_right], left, k, block_entries)
        rows = np.concatenate([row_of_entries(graph), np.repeat(odd_left, ahead.shape[1]), back.ravel()])
        columns = np.concatenate([graph.indices, ahead.ravel(), np.repeat(odd_right, back.shape[1])])
        graph = sparse.csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=graph.shape)
    graph.data = inner_products(left, right, row_of_entries(graph), graph.indices)
    return graph


def _thresholds(query: Vectors, reference: Vectors, k: int, block_entries: int) -> NDArray[np.float32]:
    """For each query cell a similarity that k references pass, and hardly more than are needed to be sure of it.

    −∞ where the sample is too small to tell; ∞ where more would pass than can be held, as similarities are tied.
    """
    sample = np.ascontiguousarray(reference[::_STRIDE])
    n = int(k / _STRIDE + _MARGIN * np.sqrt(k / _STRIDE)) + 2
    if n >= len(sample):
        return np.full(len(query), -np.inf, dtype=np.float32)
    found = np.empty(len(query), dtype=np.float32)
    size = max(1, block_entries // len(sample))
    for start in range(0, len(query), size):
        some = slice(start, start + size)
        similarity = query[some] @ sample.T
        threshold = np.partition(similarity, -n, axis=1)[:, -n]
        is_tied = np.count_nonzero(similarity >= threshold[:, None], axis=1) > _TIED * n
        found[some] = np.where(is_tied, np.inf, threshold)
    return found


def _held(
    left: Vectors,
    right: Vectors,
    of_left: NDArray[np.float32],
    of_right: NDArray[np.float32],
    k: int,
    block_entries: int,
) -> tuple[sparse.csr_matrix, NDArray[np.float32]]:
    """Pairs that are among the k best of their left cell or pass the threshold of their right one.

    With the similarity of the k-th best of each left cell, ∞ where fewer pass its threshold.
    """
    n_left, n_right = len(left), len(right)
    least, counts, columns, values = np.empty(n_left, dtype=np.float32), np.zeros(n_left, dtype=np.int64), [], []
    size = max(1, block_entries // n_right)
    for start in range(0, n_left, size):
        some = slice(start, start + size)
        similarity = left[some] @ right.T
        passes = similarity >= of_right
        passes |= similarity >= of_left[some, None]
        n_passing = np.count_nonzero(passes, axis=1)
        entries = np.flatnonzero(passes)
        row = np.repeat(np.arange(len(n_passing)), n_passing)
        column, value = (entries - row * n_right).astype(np.int32), similarity.ravel()[entries]
        least[some] = kth_largest(value, n_passing, k, of_left[some])
        is_held = (value >= least[some][row]) | (value >= of_right[column])
        counts[some] = np.bincount(row[is_held], minlength=len(n_passing))
        columns.append(column[is_held])
        values.append(value[is_held])
    parts = np.concatenate(values), np.concatenate(columns), np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_matrix(parts, shape=(n_left, n_right)), least


def kth_largest(values: Floats, counts: Counts, k: int, threshold: Floats | float = -np.inf) -> NDArray[np.floating]:
    """Of each row its k-th largest value, where that is at its threshold or above it; ∞ where none is.

    Args:
        values: of all rows, one row after the other.
        counts: values of each row.
        k: 1 or more.
        threshold: of each row; values below may be incomplete.
    """
    found, ends = np.empty(len(counts), dtype=values.dtype), np.concatenate([[0], np.cumsum(counts)])
    for start in range(0, len(counts), _ROWS_AT_A_TIME):
        some = slice(start, start + _ROWS_AT_A_TIME)
        own = counts[some]
        table = np.full((len(own), max(k, int(own.max(initial=0)))), -np.inf, dtype=values.dtype)
        table[np.arange(table.shape[1]) < own[:, None]] = values[ends[start] : ends[start + len(own)]]
        found[some] = np.partition(table, -k, axis=1)[:, -k]
    return np.where((found >= threshold) & np.isfinite(found), found, values.dtype.type(np.inf))


def _best(query: Vectors, reference: Vectors, k: int, block_entries: int) -> NDArray[np.intp]:
    """Positions of the best references, query x min(k, n), in no order."""
    k, size = min(k, len(reference)), max(1, block_entries // len(reference))
    best = np.empty((len(query), k), dtype=np.intp)
    for start in range(0, len(query), size):
        similarity = query[start : start + size] @ reference.T
        best[start : start + size] = np.argpartition(similarity, len(reference) - k, axis=1)[:, len(reference) - k :]
    return best


def most_similar(
    query: Vectors, reference: Vectors, k: int, *, block_entries: int = _BLOCK_ENTRIES
) -> tuple[Int[np.ndarray, "cell rank"], Float[np.ndarray, "cell rank"]]:
    """The k references with the largest inner product with each query cell, exact.

    Args:
        query: query cell x dimension, finite.
        reference: reference cell x dimension, finite.
        k: how many; all references where there are fewer.
        block_entries: similarities looked at together; which of several tied for the last place is found may depend
            on it, nothing else.

    Returns:
        Positions of references and their scores, query cell x min(k, n), best first, of equal ones the first.

    Raises:
        ValueError: k is below 1, there is no reference, or dimensions differ.
    """
    if k < 1 or len(reference) == 0 or query.shape[1] != reference.shape[1]:
        what = f"k={k}, query {query.shape}, reference {reference.shape}"
        raise ValueError(f"{what}: expected k of 1 or more, and references of the dimension of the query")
    return ranked(query, reference, _best(query, reference, k, block_entries))


def ranked(
    query: Vectors, reference: Vectors, positions: Int[np.ndarray, "cell rank"]
) -> tuple[Int[np.ndarray, "cell rank"], Float[np.ndarray, "cell rank"]]:
    """Positions of references in the order of their scores, with these: the largest first, of equal ones the first."""
    rows = np.repeat(np.arange(len(query)), positions.shape[1])
    scores = inner_products(query, reference, rows, positions.ravel()).reshape(positions.shape)
    order = np.lexsort((positions, -scores))
    return np.take_along_axis(positions, order, axis=1).astype(np.intp), np.take_along_axis(scores, order, axis=1)


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
    largest = np.full(graph.shape[1], -np.inf, dtype=graph.data.dtype)
    np.maximum.at(largest, graph.indices, graph.data)
    entries = np.flatnonzero(graph.data == largest[graph.indices])
    is_best = np.zeros(graph.nnz, dtype=bool)
    is_best[entries[np.unique(graph.indices[entries], return_index=True)[1]]] = True
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


def largest_in_rows(graph: sparse.csr_matrix, k: int) -> Bool[np.ndarray, " entry"]:
    """Which stored entries are among the k largest of their row; of equal ones the first."""
    counts = np.diff(graph.indptr)
    least = np.repeat(np.where(counts > k, kth_largest(graph.data, counts, k), -np.inf), counts)
    is_above, is_tied = graph.data > least, graph.data == least
    n_above, n_tied_before = (np.concatenate([[0], np.cumsum(mask)]) for mask in (is_above, is_tied))
    places_left = k - np.diff(n_above[graph.indptr])
    rank = n_tied_before[:-1] - np.repeat(n_tied_before[graph.indptr[:-1]], counts)
    return np.asarray(is_above | (is_tied & (rank < np.repeat(places_left, counts))))


def keep(graph: sparse.csr_matrix, entries: Bool[np.ndarray, " entry"]) -> sparse.csr_matrix:
    """The graph with only the entries of a mask; an entry of value zero that is kept stays stored."""
    counts = np.bincount(row_of_entries(graph)[entries], minlength=graph.shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    return sparse.csr_matrix((graph.data[entries], graph.indices[entries], indptr), shape=graph.shape)
