"""Whole numbers that are no raw counts, such as binarised or rounded values: noticed by what counts always have."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from unisono.io.naming import Source
from unisono.io.places import SAMPLED_ROWS, X, in_memory, is_named, looks_raw, place_name, raw_remedy
from unisono.messages import Finding
from unisono.modalities import spec_of

_MIN_CELLS = 20
_EQUAL_DEPTHS = 0.03
"""Deviation of the depths of cells, relative to their mean, below which they are one; of raw counts it exceeds 0.2."""
_ABOVE_ONE = 30.0
"""Values above 1 that chance must give before their absence says anything."""


def unlike_counts(counts: sparse.csr_matrix, source: Source, place: str) -> list[Finding]:
    """W012: whole numbers that are no raw counts, by depth, by their maximum, or as a layer of counts has others."""
    if counts.shape[0] < _MIN_CELLS or not counts.nnz:
        return []
    is_binary = spec_of(source.kind).is_binary
    reason = None if is_binary else (_of_equal_depth(counts) or _of_ones(counts))
    reason = reason or (_of_other_layer(counts, source) if place == X else None)
    if reason is None:
        return []
    return [Finding("W012", source.source_name, f"{place_name(place)}: {reason}.", raw_remedy(source, place))]


def _of_equal_depth(counts: sparse.csr_matrix) -> str | None:
    depth = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    depth = depth[depth > 0]
    if len(depth) < _MIN_CELLS or depth.std() > _EQUAL_DEPTHS * depth.mean():
        return None
    total = f"{'the same' if np.ptp(depth) == 0 else 'nearly the same'} total ({depth.mean():,.0f})"
    return f"all cells have {total}, as values that were normalised and rounded have, or counts thinned to one depth"


def _of_ones(counts: sparse.csr_matrix) -> str | None:
    if counts.data.max() > 1:
        return None
    seen = np.bincount(counts.indices, minlength=counts.shape[1]) / counts.shape[0]
    rate = -np.log(np.maximum(1.0 - seen, 1.0 / (2 * counts.shape[0])))
    n_expected = counts.shape[0] * float((1.0 - np.exp(-rate) * (1.0 + rate)).sum())
    if n_expected < _ABOVE_ONE:
        return None
    return f"no value exceeds 1, where counts as frequent would have {n_expected:,.0f} above: looks binarised"


def _of_other_layer(counts: sparse.csr_matrix, source: Source) -> str | None:
    """Where a layer that is called after counts holds other counts than X."""
    for name in source.adata.layers:
        if name is None or not is_named(name):
            continue
        sample: Any = in_memory(source.adata.layers[name][:SAMPLED_ROWS])
        other = sparse.csr_matrix(sample)
        if looks_raw(other) and other.sum() > 0 and (abs(other - counts[:SAMPLED_ROWS]) > 0).nnz:
            return f"holds whole numbers, but layers[{name!r}] holds others"
    return None
