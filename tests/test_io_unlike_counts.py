"""Tests of whole numbers that are no counts: binarised, normalised and rounded; and of counts that only look so."""

from __future__ import annotations

import numpy as np
import pytest
from io_fixtures import codes, findings_of, mu, only, table
from scipy import sparse

N_CELLS = 61


def of_depths(n_features: int, mean: float, seed: int) -> np.ndarray:
    """Counts of cells of other depths and features of other rates, none without a count."""
    rng = np.random.default_rng(seed)
    depths, rates = rng.lognormal(0, 0.4, (N_CELLS, 1)), rng.gamma(1, 1, n_features)
    values = rng.poisson(mean * depths * rates)
    values[np.arange(N_CELLS), np.arange(N_CELLS) % n_features] += 1
    return values


GENES, PROTEINS = of_depths(37, 2.0, 0), of_depths(11, 20.0, 1)


def found(genes, kind: str = "rna", layers=None):
    mdata = mu(
        **{kind: table(N_CELLS, 37, "chr1:1", matrix=sparse.csr_matrix(genes))},
        adt=table(N_CELLS, 11, "p", matrix=sparse.csr_matrix(PROTEINS)),
    )
    for name, layer in (layers or {}).items():
        mdata[kind].layers[name] = layer
    return findings_of(mdata)


def to_depth(depth: float) -> np.ndarray:
    return depth * GENES / GENES.sum(axis=1, keepdims=True)


def test_counts_are_counts():
    assert "W012" not in codes(found(GENES))


@pytest.mark.parametrize("dtype", ["bool as float", np.int8, np.float64])
def test_binarised_counts_are_told_by_what_counts_as_frequent_would_exceed(dtype):
    values = (GENES > 0).astype(np.float32 if isinstance(dtype, str) else dtype)
    what = only(found(values), "W012").what
    assert what.startswith("X: no value exceeds 1, where counts as frequent would have ")
    assert what.endswith("above: looks binarised.")


def test_binarised_chromatin_is_nothing_to_tell():
    assert "W012" not in codes(found((GENES > 0).astype(np.float32), kind="atac"))


def test_sparse_counts_without_a_value_above_1_are_counts():
    values = (np.random.default_rng(2).random((N_CELLS, 37)) < 0.04).astype(np.float32)
    values[np.arange(N_CELLS), np.arange(N_CELLS) % 37] = 1
    assert "W012" not in codes(found(values))


@pytest.mark.parametrize(("depth", "dtype"), [(1e4, np.float32), (1e6, np.int32), (1e6, np.int64), (3e5, np.float64)])
def test_rounded_normalised_counts_are_told_by_their_totals(depth, dtype):
    what = only(found(np.rint(to_depth(depth)).astype(dtype)), "W012").what
    total = np.rint(to_depth(depth)).sum(axis=1).mean()
    assert f"all cells have nearly the same total ({total:,.0f}), as values that were normalised" in what


def test_truncated_counts_per_million_are_told_too():
    assert "all cells have nearly the same total" in only(found(to_depth(1e6).astype(np.int32)), "W012").what


def test_one_depth_of_all_cells_is_told_even_where_it_is_exact():
    rng, depth = np.random.default_rng(5), GENES.sum(axis=1).min()
    values = np.array([rng.multivariate_hypergeometric(cell, depth) for cell in GENES])
    assert len(set(values.sum(axis=1))) == 1
    what = only(found(values), "W012").what
    assert f"all cells have the same total ({depth:,}), " in what
    assert "or counts thinned to one depth" in what


@pytest.mark.parametrize(("kept", "is_told"), [(0.97, True), (0.3, False)])
def test_totals_that_vary_by_a_hundredth_are_told_and_those_of_thinned_counts_are_not(kept, is_told):
    values = np.random.default_rng(7).binomial(to_depth(1e4).astype(int) if is_told else GENES, kept)
    deviation = values.sum(axis=1).std() / values.sum(axis=1).mean()
    assert (deviation < 0.03) == is_told
    assert ("W012" in codes(found(values))) == is_told


def test_counts_downsampled_to_a_share_are_counts():
    assert "W012" not in codes(found(np.random.default_rng(6).binomial(GENES, 0.3)))


@pytest.mark.parametrize("name", ["counts", "raw", "UMI_counts"])
def test_whole_numbers_in_x_next_to_other_counts_in_a_layer_are_told_with_the_place(name):
    finding = only(found(np.minimum(GENES, 3), layers={name: GENES}), "W012")
    assert finding.what == f"X: holds whole numbers, but layers[{name!r}] holds others."
    assert finding.remedy.endswith(f'layer={{"rna": "{name}", "adt": "X"}}')


@pytest.mark.parametrize("layers", [{"counts": GENES}, {"ranks": GENES + 1}, {"counts": GENES * 0.37}])
def test_the_same_counts_another_name_or_no_counts_in_a_layer_are_nothing_to_tell(layers):
    assert "W012" not in codes(found(GENES, layers=layers))


def test_a_handful_of_cells_is_not_judged():
    values = (GENES[:13] > 0).astype(np.float32)
    few = mu(rna=table(13, 37, "g", matrix=values), adt=table(13, 11, "p", matrix=PROTEINS[:13]))
    assert "W012" not in codes(findings_of(few))


def test_counts_above_16_bits_are_read_and_told():
    values = GENES.copy()
    values[4, 5] = 70_001
    what = only(found(values), "W019").what
    assert "X: 1 of" in what
    assert "(first: cell c4, feature chr1:15 = 70001); read as int32 integers" in what
    values[4, 5] = 65_535
    assert "W019" not in codes(found(values))
