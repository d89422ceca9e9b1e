"""One modality's matrix, whatever its container, as canonical CSR of integers; refuses what are no raw counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.checks.unlike_counts import unlike_counts
from unisono.io.naming import Source
from unisono.io.places import (
    LARGEST_COUNT,
    RAW,
    SAMPLED_ROWS,
    CountsAt,
    X,
    absent,
    in_memory,
    is_counts,
    is_sparse,
    matrix_at,
    of_raw,
    place_name,
    raw_remedy,
)
from unisono.messages import Finding, typed

_NORMALISED_MAX = 20.0
"""log1p of counts per 10,000 stays below log(10,001) = 9.2; on a log2 scale below 14."""
_FEW_INTEGERS = 0.5
_LARGEST_USUAL = 65_535
"""Above it counts do not fit into 16 bits, and are hardly ever counts of molecules."""


@dataclass(frozen=True, eq=False)
class CountsRead:
    """What was read of one modality.

    Attributes:
        source: as read: where counts are in .raw, with the features of .raw.
        place: X, .raw or the name of a layer.
        counts: int32, int64 where one exceeds it; None where they cannot be used.
        findings: what was noticed, or why not.
    """

    source: Source
    place: str
    counts: sparse.csr_matrix | None
    findings: tuple[Finding, ...]


def read_counts(source: Source, at: CountsAt) -> CountsRead:
    """The raw counts of a modality, canonical CSR, or why they cannot be used.

    The matrix may share memory with the AnnData; it is copied as soon as anything has to be changed.
    """
    try:
        place, findings = at.place(source)
        missing = absent(source, place)
        if missing:
            return CountsRead(source, place, None, (missing,))
        source = of_raw(source) if place == RAW else source
        found = in_memory(matrix_at(source, place))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        return CountsRead(source, X, None, (_unreadable(source, error),))
    counts, noticed = _counts_of(found, source, place, at.is_rounded)
    return CountsRead(source, place, counts, (*findings, *noticed))


def _counts_of(
    found: Any, source: Source, place: str, is_rounded: bool
) -> tuple[sparse.csr_matrix | None, list[Finding]]:
    problems = _unusable(found, source, place)
    if problems:
        return None, problems
    matrix = _fresh_csr(found)
    try:
        matrix.check_format(full_check=True)
    except ValueError as error:
        what = f"{place_name(place)} is damaged: {error}."
        return None, [Finding("E003", source.source_name, what, "download it again or restore it")]
    rounded = _rounded(matrix) if is_rounded else matrix
    findings = list(_value_findings(rounded, source, place))
    if findings:
        return None, findings
    counts, tidied = _canonical(rounded, source, place)
    noticed = [*tidied, *_said_of_rounding(matrix, rounded, source, place), *_very_large(counts, source, place)]
    return counts, [*noticed, *unlike_counts(counts, source, place)]


def _very_large(counts: sparse.csr_matrix, source: Source, place: str) -> list[Finding]:
    is_large = counts.data > _LARGEST_USUAL
    if not is_large.any():
        return []
    what = f"{place_name(place)}: {is_large.sum():,} of {counts.nnz:,} counts exceed {_LARGEST_USUAL:,}"
    what += f" (first: {_first(is_large, counts, source)}); read as {counts.dtype} integers."
    return [Finding("W019", source.source_name, what, "make sure that they are counts of molecules or fragments")]


def _unreadable(source: Source, error: Exception) -> Finding:
    what = f"backing file is gone or cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:120]})."
    return Finding("E042", source.source_name, what, "put the file back, or read the data into memory")


def _unusable(found: Any, source: Source, place: str) -> list[Finding]:
    """What forbids a look at the values: the type of the entries (E018), or that there are none (E009)."""
    if found.dtype.kind not in "iuf":
        what = f"{place_name(place)} has dtype {found.dtype}; counts are integers or whole floats."
        return [Finding("E018", source.source_name, what, "store counts as int32 or float32")]
    empty = [f"0 {axis}" for axis, length in zip(("cells", "features"), found.shape, strict=True) if length == 0]
    if empty:
        remedy = "loosen the filter (min_cells, min_genes) that removed them"
        return [Finding("E009", source.source_name, f"has {' and '.join(empty)}.", remedy)]
    return []


def _fresh_csr(found: Any) -> sparse.csr_matrix:
    """A CSR whose flags are its own: scipy caches `has_canonical_format` on the object it was asked of."""
    if not is_sparse(found):
        return sparse.csr_matrix(_of_scipy(found))
    rows = found.tocsr()
    data = _of_scipy(rows.data)
    return sparse.csr_matrix((data, rows.indices, rows.indptr), shape=rows.shape, copy=False)


def _of_scipy(values: NDArray[Any]) -> NDArray[Any]:
    """The values in a dtype that scipy has: no float16, and bytes in the order of this machine."""
    dtype = np.dtype(np.float32) if values.dtype == np.float16 else values.dtype.newbyteorder("=")
    return values.astype(dtype, copy=False)


def _value_findings(matrix: sparse.csr_matrix, source: Source, place: str) -> Iterator[Finding]:
    """E012 to E016: each says how many, and the first by cell and feature."""
    data, n_stored = matrix.data, len(matrix.data)
    if is_counts(data):
        return
    is_nan, is_huge = np.isnan(data), np.abs(data) > LARGEST_COUNT
    is_finite_count = ~(is_nan | is_huge)
    is_negative, is_fraction = (data < 0) & is_finite_count, (data != np.rint(data)) & is_finite_count

    def finding(code: str, what: str, mask: NDArray[np.bool_], remedy: str) -> Finding:
        what = f"{place_name(place)}: {what} (first: {_first(mask, matrix, source)})."
        return Finding(code, source.source_name, what, remedy)

    raw = raw_remedy(source, place)
    if is_nan.any():
        yield finding("E015", f"{is_nan.sum()} of {n_stored} stored values are NaN", is_nan, "replace or drop them")
    if is_huge.any():
        what = f"{is_huge.sum()} of {n_stored} stored values are infinite or above 2^53"
        yield finding("E016", what, is_huge, "replace or drop them")
    if is_negative.any():
        what = f"{is_negative.sum()} values < 0 (min {data[is_negative].min():g}): looks scaled or CLR-transformed"
        yield finding("E014", what, is_negative, raw)
    if is_fraction.any():
        share, top = 1 - is_fraction.sum() / is_finite_count.sum(), data[is_finite_count].max()
        if share < _FEW_INTEGERS and top < _NORMALISED_MAX and not is_negative.any():
            what = f"max {top:.3g}, {share:.0%} integers: looks log1p-normalised, raw counts are needed"
            yield finding("E013", what, is_fraction, raw)
        elif _is_scaled_to_depth(matrix):
            what = f"{is_fraction.sum()} of {n_stored} stored values are not integers, but multiples of one number in "
            yield finding(
                "E012", f"{what}each cell: looks normalised by depth, raw counts are needed", is_fraction, raw
            )
        else:
            what = f"{is_fraction.sum()} of {n_stored} stored values are not integers, raw counts are needed"
            yield finding("E012", what, is_fraction, f"{raw}, or round them: {typed('round_counts=True', '--round')}")


def _first(mask: NDArray[np.bool_], matrix: sparse.csr_matrix, source: Source) -> str:
    entry = int(np.argmax(mask))
    row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
    cell, feature = source.adata.obs_names[row], source.adata.var_names[matrix.indices[entry]]
    return f"cell {cell}, feature {feature} = {matrix.data[entry]:g}"


def _canonical(matrix: sparse.csr_matrix, source: Source, place: str) -> tuple[sparse.csr_matrix, list[Finding]]:
    is_canonical, n_zeros = matrix.has_canonical_format, int((matrix.data == 0).sum())
    if is_canonical and not n_zeros:
        return _narrow(matrix), []
    is_sorted, n_stored = matrix.has_sorted_indices, matrix.nnz
    tidy = sparse.csr_matrix(matrix, dtype=np.int64, copy=True)  # int64: a sum of duplicates may exceed the dtype
    tidy.sum_duplicates()
    n_duplicates = n_stored - tidy.nnz
    tidy.eliminate_zeros()
    done = [f"{n_duplicates} duplicate entries summed"] if n_duplicates else []
    done += [f"{n_zeros} stored zeros dropped"] if n_zeros else []
    done += [] if is_sorted else ["indices sorted"]
    finding = Finding("W017", source.source_name, f"{place_name(place)}: {', '.join(done)} (in a copy).")
    return _narrow(tidy), [finding]


def _narrow(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    top = matrix.data.max() if matrix.nnz else 0
    data = matrix.data.astype(np.int64 if top > np.iinfo(np.int32).max else np.int32, copy=False)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape, copy=False)


def _rounded(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The nearest whole numbers; values that are normalised are left, to be refused."""
    data = matrix.data
    if data.dtype.kind != "f" or not len(data) or not np.isfinite(data).all() or _is_normalised(matrix):
        return matrix
    return sparse.csr_matrix((np.rint(data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _is_normalised(matrix: sparse.csr_matrix) -> bool:
    """Whether the values are on a scale of logs, or counts divided by the depth of their cells."""
    has_few_integers = np.mean(matrix.data == np.rint(matrix.data)) < _FEW_INTEGERS
    return bool(has_few_integers and matrix.data.max() < _NORMALISED_MAX) or _is_scaled_to_depth(matrix)


def _is_scaled_to_depth(matrix: sparse.csr_matrix) -> bool:
    """Whether the values of a cell are multiples of its smallest, and most cells have another smallest value."""
    shares, smallest = [], []
    for row in range(min(SAMPLED_ROWS, matrix.shape[0])):
        values = matrix.data[matrix.indptr[row] : matrix.indptr[row + 1]].astype(float)
        values = values[values > 0]
        if len(values) > 1:
            ratios = values / values.min()
            shares.append(np.mean(np.abs(ratios - np.rint(ratios)) < _NEARLY_WHOLE))
            smallest.append(values.min())
    return bool(shares) and float(np.median(shares)) > _MIN_SHARE and len(set(smallest)) > len(smallest) / 2


_NEARLY_WHOLE = 1e-2
_MIN_SHARE = 0.95


def _said_of_rounding(
    matrix: sparse.csr_matrix, rounded: sparse.csr_matrix, source: Source, place: str
) -> list[Finding]:
    n_changed = 0 if rounded is matrix else int((rounded.data != matrix.data).sum())
    what = f"{place_name(place)}: {n_changed:,} of {len(matrix.data):,} stored values were rounded to whole numbers."
    return [Finding("I012", source.source_name, what)] if n_changed else []
