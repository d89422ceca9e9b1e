"""Tests of matrices: every container gives the same counts, and what are no counts is refused with where and why."""

from __future__ import annotations

import os
from types import SimpleNamespace

import mudata
import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import codes, counts, findings_of, mu, only, table, two
from scipy import sparse

from unisono.io.checks.counts import read_counts
from unisono.io.naming import Source
from unisono.io.places import CountsAt, in_memory
from unisono.io.read import cells_from_mudata

COUNTS = counts(7, 11)
CONTAINERS = (
    {
        "csr_matrix": lambda x: sparse.csr_matrix(x.astype(np.float32)),
        "csr_array": lambda x: sparse.csr_array(x.astype(np.float32)),
        "csc_matrix": lambda x: sparse.csc_matrix(x.astype(np.float32)),
        "csc_array": lambda x: sparse.csc_array(x.astype(np.float64)),
        "dense": lambda x: x.astype(np.float32),
        "fortran": lambda x: np.asfortranarray(x.astype(np.float64)),
    }
    | {
        dtype: lambda x, dtype=dtype: sparse.csr_matrix(x.astype(dtype))
        for dtype in ("int8", "uint8", "int16", "uint16", "int64", "uint64", "float64")
    }
    | {
        "dense float16": lambda x: x.astype(np.float16),
        "dense int8": lambda x: x.astype(np.int8),
    }
)


def rna_counts(mdata) -> sparse.csr_matrix:
    return cells_from_mudata(mdata, batch_key=None, is_training=False)[0].views["rna"].counts


def source_of(matrix, **layers) -> Source:
    adata = table(7, 11, "g", matrix=matrix)
    for name, layer in layers.items():
        adata.layers[name] = layer
    return Source("rna", "rna", adata, "x.h5mu, rna")


@pytest.mark.parametrize("container", list(CONTAINERS))
def test_every_container_gives_the_same_canonical_int32_csr(container):
    found = rna_counts(two(CONTAINERS[container](COUNTS)))
    assert type(found) is sparse.csr_matrix
    assert (found.dtype, found.indices.dtype, found.indptr.dtype) == (np.int32, np.int32, np.int32)
    assert found.has_canonical_format
    assert (found.data > 0).all()
    np.testing.assert_array_equal(found.toarray(), COUNTS)


def test_a_view_of_a_mudata_gives_its_rows():
    mdata = two()[["c5", "c2", "c3"]]
    assert mdata.is_view
    np.testing.assert_array_equal(rna_counts(mdata).toarray(), COUNTS[[5, 2, 3]])
    assert mdata.is_view


@pytest.mark.parametrize("container", ["csr_matrix", "csc_matrix", "dense"])
def test_a_backed_file_gives_the_same_counts(tmp_path, container):
    two(CONTAINERS[container](COUNTS)).write_h5mu(tmp_path / "a.h5mu")
    backed = mudata.read_h5mu(tmp_path / "a.h5mu", backed=True)
    assert backed["rna"].isbacked
    np.testing.assert_array_equal(rna_counts(backed).toarray(), COUNTS)
    assert backed["rna"].isbacked
    backed.file.close()


def test_a_backed_file_that_is_gone_is_refused(tmp_path):
    two().write_h5mu(tmp_path / "a.h5mu")
    backed = mudata.read_h5mu(tmp_path / "a.h5mu", backed=True)
    backed.file.close()
    os.remove(tmp_path / "a.h5mu")
    finding = next(finding for finding in findings_of(backed) if finding.code == "E042")
    assert finding.where == "data, rna"
    assert "backing file is gone" in finding.what


def test_dask_gives_the_same_counts():
    array = pytest.importorskip("dask.array")
    np.testing.assert_array_equal(in_memory(array.from_array(COUNTS, chunks=(3, 4))), COUNTS)


def test_what_calls_itself_dask_is_computed():
    lazy = type("Array", (), {"__module__": "dask.array.core", "compute": lambda self: COUNTS})()
    np.testing.assert_array_equal(in_memory(lazy), COUNTS)


def test_a_layer_is_read_in_place_of_x():
    mdata = two(np.zeros((7, 11), np.float32))
    for name in ("rna", "adt"):
        mdata[name].layers["counts"] = sparse.csr_matrix(counts(7, mdata[name].n_vars, seed=3).astype(np.float32))
    cells, _ = cells_from_mudata(mdata, batch_key=None, layer="counts", is_training=True)
    np.testing.assert_array_equal(cells.views["rna"].counts.toarray(), counts(7, 11, seed=3))


def test_a_count_beyond_int32_widens_to_int64():
    large = COUNTS.astype(np.float64)
    large[3, 4] = 2**31
    found = rna_counts(two(sparse.csr_matrix(large)))
    assert found.dtype == np.int64
    assert found[3, 4] == 2_147_483_648


def test_duplicates_are_summed_and_zeros_dropped_in_a_copy():
    matrix = sparse.csr_matrix(
        (np.array([100, 1, 100, 0, 5], dtype=np.int8), np.array([4, 2, 4, 1, 0]), np.array([0, 3, 5])), shape=(2, 6)
    )
    mdata = mu(rna=table(2, 6, "g", matrix=matrix), adt=table(2, 3, "p"))
    held = mdata["rna"].X
    before = (held.data.copy(), held.indices.copy(), held.indptr.copy())
    cells, findings = cells_from_mudata(mdata, batch_key=None, is_training=True)
    np.testing.assert_array_equal(cells.views["rna"].counts.toarray(), [[0, 0, 1, 0, 200, 0], [5, 0, 0, 0, 0, 0]])
    what = only(findings, "W017").what
    assert what == "X: 1 duplicate entries summed, 1 stored zeros dropped, indices sorted (in a copy)."
    for array, old in zip((held.data, held.indices, held.indptr), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_a_stale_canonical_flag_of_the_argument_is_not_believed():
    matrix = sparse.csr_matrix((np.array([1, 2]), np.array([3, 3]), np.array([0, 2, 2])), shape=(2, 6))
    matrix.has_canonical_format = True
    found = read_counts(Source("rna", "rna", SimpleNamespace(X=matrix, layers={}), "x"), CountsAt())
    assert found.counts[0, 3] == 3
    assert codes(found.findings) == {"W017"}


def test_positions_beyond_the_matrix_are_refused_before_any_native_code_sees_them():
    matrix = sparse.csr_matrix(COUNTS.astype(np.float32))
    matrix.indices[5] = 4000
    finding = only(read_counts(source_of(matrix), CountsAt()).findings, "E003")
    assert "X is damaged" in finding.what


def test_a_missing_layer_is_refused_with_those_that_are_there():
    mdata = two()
    mdata["rna"].layers["log1p"] = mdata["rna"].X.copy()
    findings = [finding for finding in findings_of(mdata, layer="counts") if finding.code == "E010"]
    assert [finding.where for finding in findings] == ["data, rna", "data, adt"]
    assert findings[0].what == "layer 'counts' not in mdata['rna'].layers (has: X, log1p)."


def test_an_absent_x_is_refused_with_the_layer_to_use():
    mdata = two()
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = None
    finding = only(findings_of(mdata), "E011")
    assert finding.what == "mdata['rna'].X is None."
    assert finding.remedy == 'layer={"rna": "counts", "adt": "X"}'


def test_one_fraction_among_small_counts_is_not_called_log_normalised():
    values = COUNTS.astype(np.float32)
    values[5, 3] = 0.5
    assert codes(findings_of(two(values))) == {"E012"}


@pytest.mark.parametrize("column", [0, 3, 10])
def test_one_fraction_is_refused_with_its_cell_and_feature(column):
    values = COUNTS.astype(np.float32) + 30
    values[5, column] = 0.5
    finding = only(findings_of(two(values)), "E012")
    assert finding.what == (
        f"X: 1 of 77 stored values are not integers, raw counts are needed (first: cell c5, feature g{column} = 0.5)."
    )


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_log_normalised_values_are_refused_with_where_raw_counts_may_be(make):
    mdata = two(make(np.log1p(COUNTS * 7.3).astype(np.float32)))
    mdata["rna"].layers["counts"] = sparse.csr_matrix(COUNTS)
    mdata["rna"].layers["scaled"] = COUNTS - COUNTS.mean()
    mdata["rna"].raw = AnnData(COUNTS.astype(np.float32), var=mdata["rna"].var)
    finding = only(findings_of(mdata), "E013")
    top = np.log1p(COUNTS.max() * 7.3)
    assert f"X: max {top:.3g}, 0% integers: looks log1p-normalised" in finding.what
    assert finding.remedy == (
        'read the raw counts at layers[\'counts\'] (or .raw): layer={"rna": "counts", "adt": "X"}'
    )


def test_without_raw_counts_anywhere_the_remedy_says_so():
    finding = only(findings_of(two(np.log1p(COUNTS * 7.3))), "E013")
    assert "no layer and no .raw of this modality looks like counts" in finding.remedy


def test_large_normalised_values_are_not_called_log_normalised():
    found = codes(findings_of(two(COUNTS * 1234.56)))
    assert "E012" in found
    assert "E013" not in found


def test_negative_integers_are_refused_with_the_smallest():
    values = COUNTS.astype(np.int32)
    values[2, 6], values[4, 1] = -3, -1
    finding = only(findings_of(two(values)), "E014")
    assert finding.what == (
        "X: 2 values < 0 (min -3): looks scaled or CLR-transformed (first: cell c2, feature g6 = -3)."
    )


def test_nan_and_infinity_are_both_refused_in_one_pass():
    values = COUNTS.astype(np.float32)
    values[6, 2], values[1, 9] = np.nan, np.inf
    findings = findings_of(two(sparse.csr_matrix(values)))
    assert "values are NaN (first: cell c6, feature g2 = nan)" in only(findings, "E015").what
    assert "1 of " in only(findings, "E015").what
    assert "infinite or above 2^53 (first: cell c1, feature g9 = inf)" in only(findings, "E016").what


@pytest.mark.parametrize("dtype", [bool, np.complex64, object])
def test_other_dtypes_are_refused_by_name(dtype):
    adata = SimpleNamespace(X=COUNTS.astype(dtype), layers={})
    finding = only(read_counts(Source("rna", "rna", adata, "x"), CountsAt()).findings, "E018")
    assert f"X has dtype {np.dtype(dtype)}" in finding.what


@pytest.mark.parametrize(("n_cells", "n_features", "words"), [(7, 0, "has 0 features."), (0, 11, "has 0 cells.")])
def test_a_matrix_without_cells_or_features_is_refused(n_cells, n_features, words):
    matrix = sparse.csr_matrix((n_cells, n_features), dtype=np.float32)
    mdata = mu(rna=table(n_cells, n_features, "g", matrix=matrix), adt=table(7, 5, "p"))
    assert only(findings_of(mdata), "E009").what == words


N_ROUNDED = 23


def of_depths(n_features: int = 37) -> np.ndarray:
    """Counts of 23 cells of other depths, of which some exceed 20."""
    rng = np.random.default_rng(0)
    depths, rates = rng.lognormal(0, 0.4, (N_ROUNDED, 1)), rng.gamma(0.5, 1, n_features)
    values = rng.poisson(7 * depths * rates)
    values[np.arange(N_ROUNDED), np.arange(N_ROUNDED) % n_features] += 1
    return values


UMIS = of_depths()


def rounded(matrix, is_rounded: bool = True):
    adata = AnnData(np.zeros(matrix.shape, np.float32))
    adata.X = matrix
    return read_counts(Source("rna", "rna", adata, "x.h5mu, rna"), CountsAt(is_rounded=is_rounded))


def without_ambience() -> np.ndarray:
    """Counts of which a part was taken away here and there, as SoupX does."""
    rng = np.random.default_rng(1)
    return np.where(rng.random(UMIS.shape) < 0.3, np.maximum(UMIS - 0.9 * rng.random(UMIS.shape), 0), UMIS)


CORRECTED = {
    "some taken away": without_ambience(),
    "all taken away": np.maximum(UMIS - 0.07 * UMIS.mean(axis=0), 0),
    "shared by halves": UMIS + 0.5 * np.random.default_rng(2).integers(0, 2, UMIS.shape),
    "proteins, all fractions": 60 + 9.1 * UMIS + np.random.default_rng(3).random(UMIS.shape),
    "float32": without_ambience().astype(np.float32),
}


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("name", list(CORRECTED))
def test_fractional_counts_are_rounded_to_the_nearest_when_asked_and_refused_with_the_way_else(name, make):
    values = CORRECTED[name]
    found = rounded(make(values))
    np.testing.assert_array_equal(found.counts.toarray(), np.rint(values))
    n_changed = int((values != np.rint(values)).sum())
    assert only(list(found.findings), "I012").what.startswith(f"X: {n_changed:,} of ")
    assert "round_counts=True" in only(list(rounded(make(values), is_rounded=False).findings), "E012").remedy


def depth_of(values: np.ndarray) -> np.ndarray:
    return values.sum(axis=1, keepdims=True)


LOGS = np.log1p(1e4 * UMIS / depth_of(UMIS))
NORMALISED = {
    "log1p of counts per 10,000": (LOGS, "E013"),
    "log2": (LOGS / np.log(2), "E013"),
    "log10": (LOGS / np.log(10), "E013"),
    "log1p of counts": (np.log1p(UMIS), "E013"),
    "log1p after correction": (np.log1p(1e4 * without_ambience() / depth_of(without_ambience())), "E013"),
    "square roots": (np.sqrt(UMIS + 0.375), "E013"),
    "shares": (UMIS / depth_of(UMIS), "E013"),
    "scaled": ((LOGS - LOGS.mean(axis=0)) / (LOGS.std(axis=0) + 1), "E014"),
    "counts per 10,000": (1e4 * UMIS / depth_of(UMIS), "E012"),
    "counts per million in float32": ((1e6 * UMIS / depth_of(UMIS)).astype(np.float32), "E012"),
    "NaN": (np.where(UMIS.max() == UMIS, np.nan, without_ambience()), "E015"),
}


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("name", list(NORMALISED))
def test_what_is_no_count_is_never_rounded_and_not_told_to_be(name, make):
    values, code = NORMALISED[name]
    found = rounded(make(values))
    assert found.counts is None
    finding = only(list(found.findings), code)
    assert "--round" not in finding.remedy
    assert codes(found.findings) >= codes(rounded(make(values), is_rounded=False).findings) - {"E012"}


def test_whole_numbers_are_not_changed_by_rounding():
    for values in (UMIS, UMIS.astype(np.float32)):
        found = rounded(values)
        np.testing.assert_array_equal(found.counts.toarray(), UMIS)
        assert not found.findings


def test_the_matrix_that_was_given_is_not_rounded_in_place():
    matrix = sparse.csr_matrix(without_ambience())
    before = matrix.data.copy()
    rounded(matrix)
    np.testing.assert_array_equal(matrix.data, before)
