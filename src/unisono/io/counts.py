"""One modality's matrix, whatever its container, as canonical CSR of integers; refuses what are no raw counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.naming import Source
from unisono.messages import Finding

_NORMALISED_MAX = 20.0
"""log1p of counts per 10,000 stays below log(10,001) = 9.2; on a log2 scale below 14."""
_FEW_INTEGERS = 0.5
_LARGEST_COUNT = 2**53
_SAMPLED_ROWS = 100


def read_counts(source: Source, layer: str | None) -> tuple[sparse.csr_matrix | None, list[Finding]]:
    """The raw counts of a modality (int32, int64 where one exceeds it), or None and why not.

    The matrix may share memory with the AnnData; it is copied as soon as anything has to be changed.
    """
    try:
        absent = _absent(source, layer)
        found = None if absent else in_memory(source.adata.X if layer is None else source.adata.layers[layer])
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        return None, [_unreadable(source, error)]
    if absent:
        return None, [absent]
    problems = _unusable(found, source, layer)
    if problems:
        return None, problems
    matrix = _fresh_csr(found)
    try:
        matrix.check_format(full_check=True)
    except ValueError as error:
        what = f"{_place(layer)} is damaged: {error}."
        return None, [Finding("E003", source.source_name, what, "download it again or restore it")]
    findings = list(_value_findings(matrix, source, layer))
    if findings:
        return None, findings
    return _canonical(matrix, source, layer)


def in_memory(matrix: Any) -> Any:
    """The same values as a scipy sparse matrix or numpy array: backed is read, dask is computed."""
    import h5py
    from anndata.abc import CSCDataset, CSRDataset

    match matrix:
        case CSRDataset() | CSCDataset():
            return matrix.to_memory()
        case h5py.Dataset():
            return matrix[()]
        case _ if type(matrix).__module__.startswith("dask."):
            return matrix.compute()
        case _ if _is_sparse(matrix):
            return matrix
        case _:
            return np.asarray(matrix)


def _is_sparse(matrix: Any) -> bool:
    return bool(sparse.issparse(matrix))


def _absent(source: Source, layer: str | None) -> Finding | None:
    layers = [name for name in source.adata.layers if name is not None]
    if layer is not None and layer not in layers:
        what = f"layer {layer!r} not in mdata[{source.name!r}].layers (has: {', '.join(['X', *layers])})."
        return Finding("E010", source.source_name, what, "name a layer that every modality has, or omit layer to use X")
    if layer is None and source.adata.X is None:
        pick = f'pass layer="{layers[0]}", in the shell --layer {layers[0]}' if layers else "put raw counts into X"
        return Finding("E011", source.source_name, f"mdata[{source.name!r}].X is None.", pick)
    return None


def _place(layer: str | None) -> str:
    return "X" if layer is None else f"layers[{layer!r}]"


def _unreadable(source: Source, error: Exception) -> Finding:
    what = f"backing file is gone or cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:120]})."
    return Finding("E042", source.source_name, what, "put the file back, or read the data into memory")


def _unusable(found: Any, source: Source, layer: str | None) -> list[Finding]:
    """What forbids a look at the values: the type of the entries (E018), or that there are none (E009)."""
    if found.dtype.kind not in "iuf":
        what = f"{_place(layer)} has dtype {found.dtype}; counts are integers or whole floats."
        return [Finding("E018", source.source_name, what, "store counts as int32 or float32")]
    empty = [f"0 {axis}" for axis, length in zip(("cells", "features"), found.shape, strict=True) if length == 0]
    if empty:
        remedy = "loosen the filter (min_cells, min_genes) that removed them"
        return [Finding("E009", source.source_name, f"has {' and '.join(empty)}.", remedy)]
    return []


def _fresh_csr(found: Any) -> sparse.csr_matrix:
    """A CSR whose flags are its own: scipy caches `has_canonical_format` on the object it was asked of."""
    if not _is_sparse(found):
        # scipy has no float16
        return sparse.csr_matrix(found.astype(np.float32) if found.dtype == np.float16 else found)
    rows = found.tocsr()
    data = rows.data.astype(np.float32) if rows.data.dtype == np.float16 else rows.data
    return sparse.csr_matrix((data, rows.indices, rows.indptr), shape=rows.shape, copy=False)


def _value_findings(matrix: sparse.csr_matrix, source: Source, layer: str | None) -> Iterator[Finding]:
    """E012 to E016: each says how many, and the first by cell and feature."""
    data, n_stored = matrix.data, len(matrix.data)
    if _is_counts(data):
        return
    is_nan, is_huge = np.isnan(data), np.abs(data) > _LARGEST_COUNT
    is_finite_count = ~(is_nan | is_huge)
    is_negative, is_fraction = (data < 0) & is_finite_count, (data != np.rint(data)) & is_finite_count

    def finding(code: str, what: str, mask: NDArray[np.bool_], remedy: str) -> Finding:
        what = f"{_place(layer)}: {what} (first: {_first(mask, matrix, source)})."
        return Finding(code, source.source_name, what, remedy)

    raw = _raw_remedy(source, layer)
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
        else:
            what = f"{is_fraction.sum()} of {n_stored} stored values are not integers, raw counts are needed"
            yield finding("E012", what, is_fraction, raw)


def _is_counts(values: NDArray[Any]) -> bool:
    is_whole = values.dtype.kind in "iu" or bool((values == np.rint(values)).all())
    return is_whole and (not len(values) or bool(values.min() >= 0 and values.max() <= _LARGEST_COUNT))


def _first(mask: NDArray[np.bool_], matrix: sparse.csr_matrix, source: Source) -> str:
    entry = int(np.argmax(mask))
    row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
    cell, feature = source.adata.obs_names[row], source.adata.var_names[matrix.indices[entry]]
    return f"cell {cell}, feature {feature} = {matrix.data[entry]:g}"


def _raw_remedy(source: Source, layer: str | None) -> str:
    adata = source.adata
    places: dict[str, Any] = {
        f"layers[{name!r}]": adata.layers[name] for name in adata.layers if name not in (None, layer)
    }
    if layer is not None and adata.X is not None:
        places["X"] = adata.X
    if adata.raw is not None:
        places[".raw"] = adata.raw.X
    candidates = [place for place, matrix in places.items() if _looks_raw(matrix)]
    if not candidates:
        return "give the raw counts; no layer and no .raw of this modality looks like counts"
    return f"use the raw counts; candidates: {', '.join(candidates)}"


def _looks_raw(matrix: Any) -> bool:
    sample: Any = in_memory(matrix[:_SAMPLED_ROWS])
    values = sample.tocsr().data if _is_sparse(sample) else sample.ravel()
    return values.dtype.kind in "iuf" and _is_counts(values) and bool(values.any())


def _canonical(matrix: sparse.csr_matrix, source: Source, layer: str | None) -> tuple[sparse.csr_matrix, list[Finding]]:
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
    finding = Finding("W017", source.source_name, f"{_place(layer)}: {', '.join(done)} (in a copy).")
    return _narrow(tidy), [finding]


def _narrow(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    top = matrix.data.max() if matrix.nnz else 0
    return matrix.astype(np.int64 if top > np.iinfo(np.int32).max else np.int32, copy=False)
