"""A number of each cell by its counts, by which cells that a model was fitted on are known again; keeps no count."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_MIN_FEATURES = 5
"""Features with counts that a cell needs, so that its number is its own."""

Hashes = NDArray[np.uint64]


def row_hashes(counts: sparse.csr_matrix, features: NDArray[np.str_]) -> Hashes:
    """Σ count · h(feature) modulo 2^64 of each cell, whatever the order of the features; 0 where few have counts.

    Equal counts have equal numbers; others meet with probability 2^-64.
    """
    weights = np.array([_of_name(str(name)) for name in features], dtype=np.uint64)
    products = counts.data.astype(np.uint64) * weights[counts.indices]
    ends = np.concatenate([[np.uint64(0)], np.cumsum(products, dtype=np.uint64)])
    sums = ends[counts.indptr[1:]] - ends[counts.indptr[:-1]]
    return np.where(np.diff(counts.indptr) >= _MIN_FEATURES, sums, np.uint64(0)).astype(np.uint64)


def _of_name(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
