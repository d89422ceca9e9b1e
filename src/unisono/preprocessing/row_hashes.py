"""A number of each cell by its counts, by which cells that a model was fitted on are known again; keeps no count."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_MIN_FEATURES = 5
"""Features with counts that a cell needs, so that its number is its own."""

_ROWS_AT_A_TIME = 8192

Hashes = NDArray[np.uint64]


def row_hashes(counts: sparse.csr_matrix, features: NDArray[np.str_]) -> Hashes:
    """Σ count · h(feature) modulo 2^64 of each cell, whatever the order of the features; 0 where few have counts.

    Equal counts have equal numbers; others meet with probability 2^-64.
    """
    weights = np.array([_of_name(str(name)) for name in features], dtype=np.uint64)
    found = np.zeros(counts.shape[0], dtype=np.uint64)
    for start in range(0, len(found), _ROWS_AT_A_TIME):
        ends = counts.indptr[start : start + _ROWS_AT_A_TIME + 1]
        entries = slice(ends[0], ends[-1])
        products = counts.data[entries].astype(np.uint64) * weights[counts.indices[entries]]
        sums = np.concatenate([[np.uint64(0)], np.cumsum(products, dtype=np.uint64)])[ends - ends[0]]
        found[start : start + _ROWS_AT_A_TIME] = np.where(np.diff(ends) >= _MIN_FEATURES, np.diff(sums), np.uint64(0))
    return found


def _of_name(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
