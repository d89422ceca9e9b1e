"""Identities of preprocessing on random counts: what leaves codes as they are, what is undone, what adds up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from unisono.config import FitConfig
from unisono.modalities.normalise import (
    clr,
    gene_weight,
    log1p_cp10k,
    multinomial_deviance,
    peak_weight,
    power_of_share,
    tf_idf,
)
from unisono.preprocessing.align import Known, align, aligned_counts
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.linear_path import fit_linear_path
from unisono.preprocessing.standardisation import Standardisation, shrinkage_factor
from unisono.preprocessing.svd import truncated_svd
from unisono.preprocessing.thinning import thin
from unisono.types import View

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=25, deadline=None)
N_CELLS, N_FEATURES = 13, 17


def counts_of(seed: int, mean: float = 1.5) -> sparse.csr_matrix:
    """13 cells of 17 features, every cell and every feature with a count."""
    counts = np.random.default_rng(seed).poisson(mean, (N_CELLS, N_FEATURES))
    counts[np.arange(N_FEATURES) % N_CELLS, np.arange(N_FEATURES)] += 1
    return sparse.csr_matrix(counts.astype(np.int32))


def totals(counts: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()


def close(found, expected, rtol=1e-5, atol=1e-5):
    found, expected = (x.toarray() if sparse.issparse(x) else np.asarray(x) for x in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@few
@given(seeds, st.integers(2, 9))
def test_depth_changes_neither_log_cp10k_nor_tf_idf_and_it_changes_clr(seed, factor):
    counts = counts_of(seed)
    deep, weight = (counts * factor).astype(np.int32), peak_weight(counts)
    close(log1p_cp10k(deep, totals(deep)), log1p_cp10k(counts, totals(counts)))
    close(tf_idf(deep, totals(deep), weight), tf_idf(counts, totals(counts), weight))
    assert abs(clr(deep) - clr(counts)).max() > 1e-3


@few
@given(seeds, st.sampled_from([np.int64, np.uint16, np.float32, np.float64]))
def test_values_are_those_of_the_same_counts_of_any_dtype_in_single_precision(seed, dtype):
    counts = counts_of(seed)
    same, total, weight = counts.astype(dtype), totals(counts), peak_weight(counts)
    ways = (
        lambda counts: log1p_cp10k(counts, total),
        clr,
        lambda counts: tf_idf(counts, total, weight),
        lambda counts: power_of_share(counts, total, 2 / 3),
    )
    for way in ways:
        found, expected = way(same), way(counts)
        assert found.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(found.toarray(), expected.toarray())


@few
@given(seeds, st.floats(0.1, 50.0))
def test_rows_of_tf_idf_have_unit_length_whatever_the_weights_are_multiplied_by(seed, factor):
    counts = counts_of(seed)
    weight = peak_weight(counts)
    values = tf_idf(counts, totals(counts), weight)
    close(np.sqrt(values.multiply(values).sum(axis=1)), np.ones((N_CELLS, 1)))
    close(tf_idf(counts, totals(counts), weight * factor), values)


@few
@given(seeds)
def test_features_may_stand_in_any_order(seed):
    counts, order = counts_of(seed), np.random.default_rng(seed).permutation(N_FEATURES)
    shuffled, total, weight = sparse.csr_matrix(counts[:, order]), totals(counts), peak_weight(counts)
    close(clr(shuffled), clr(counts)[:, order])
    close(log1p_cp10k(shuffled, total), log1p_cp10k(counts, total)[:, order])
    close(tf_idf(shuffled, total, weight[order]), tf_idf(counts, total, weight)[:, order])
    close(multinomial_deviance(shuffled), multinomial_deviance(counts)[order])


@few
@given(seeds, st.floats(0.5, 20.0))
def test_a_gene_on_a_larger_scale_weighs_less_by_the_root_of_the_factor(seed, factor):
    values = log1p_cp10k(counts_of(seed), totals(counts_of(seed)))
    close(gene_weight(sparse.csr_matrix(values * factor)), gene_weight(values) / np.sqrt(factor), rtol=1e-3)


@few
@given(seeds, st.integers(2, 7))
def test_deviance_is_proportional_to_counts_and_to_cells(seed, factor):
    counts = counts_of(seed)
    once = multinomial_deviance(counts)
    close(multinomial_deviance(counts * factor), factor * once, atol=1e-6)
    close(multinomial_deviance(sparse.vstack([counts] * factor, format="csr")), factor * once, atol=1e-6)


@few
@given(seeds, st.floats(0.0, 1.0))
def test_thinning_divides_counts_into_what_is_kept_and_what_is_not(seed, rate):
    counts = counts_of(seed, mean=4.0)
    kept = thin(counts, np.full(N_CELLS, rate), np.random.default_rng(seed))
    rest = (counts - kept).toarray()
    assert rest.min() >= 0
    assert kept.data.min() >= 0
    error = np.sqrt(counts.sum() * rate * (1 - rate))
    assert abs(kept.sum() - rate * counts.sum()) < 5.5 * error + 1.5  # binomial, 25 draws
    assert thin(counts, np.ones(N_CELLS), np.random.default_rng(seed)).nnz == counts.nnz
    assert thin(counts, np.zeros(N_CELLS), np.random.default_rng(seed)).sum() == 0


def test_thinning_twice_keeps_the_product_of_the_rates():
    counts, rng = counts_of(0, mean=4.0), np.random.default_rng(3)
    once, again = np.full(N_CELLS, 0.6), np.full(N_CELLS, 0.35)
    mean = np.mean([thin(thin(counts, once, rng), again, rng).sum() for _ in range(400)])
    assert mean == pytest.approx(0.21 * counts.sum(), rel=0.02)


@few
@given(seeds, st.floats(0.1, 30.0), st.floats(-20.0, 20.0))
def test_standardisation_is_free_of_scale_and_shift_and_can_be_undone(seed, scale, shift):
    rng = np.random.default_rng(seed)
    codes, batch = rng.normal(size=(29, 3)) * [1.0, 2.0, 0.3], rng.choice(["a", "b"], 29)
    depth = rng.normal(7.0, 1.0, 29)
    plain = Standardisation.fit(codes, batch, depth, 20.0)
    moved = Standardisation.fit(codes * scale + shift, batch, depth, 20.0)
    close(moved.scaled(codes * scale + shift), plain.scaled(codes), rtol=1e-3, atol=1e-4)
    close(moved.offsets, plain.offsets, rtol=1e-3, atol=1e-4)
    close(plain.scaled(codes) * plain.scale + plain.mean, codes)
    close(shrinkage_factor(codes * scale + shift, batch), shrinkage_factor(codes, batch), rtol=1e-6)


@few
@given(seeds, st.integers(1, 9))
def test_singular_vectors_are_orthonormal_and_follow_rows_and_columns(seed, rank):
    rng = np.random.default_rng(seed)
    counts = counts_of(seed)
    centre = np.asarray(counts.mean(axis=0)).ravel()
    vectors = truncated_svd(counts, centre, rank, np.random.default_rng(1))
    close(vectors.T @ vectors, np.eye(rank), atol=1e-4)
    rows, columns = rng.permutation(N_CELLS), rng.permutation(N_FEATURES)
    moved = truncated_svd(
        sparse.csr_matrix(counts[rows][:, columns]), centre[columns], rank, np.random.default_rng(2), n_passes=3
    )
    dense = counts.toarray() - centre
    energy = np.linalg.norm(dense @ vectors)
    close(np.linalg.norm(dense[:, columns] @ moved), energy, rtol=1e-3)
    best = np.sqrt((np.linalg.svd(dense, compute_uv=False)[:rank] ** 2).sum())
    close(energy, best, rtol=1e-3)


@few
@given(seeds)
def test_a_query_with_its_features_in_any_order_and_company_has_the_same_counts(seed):
    rng = np.random.default_rng(seed)
    counts = counts_of(seed)
    names = np.array([f"gene-{i}" for i in range(N_FEATURES)])
    order = rng.permutation(N_FEATURES + 5)
    wider = sparse.hstack([counts, counts[:, :5]], format="csr")
    features = np.append(names, [f"other-{i}" for i in range(5)])[order]
    cells, batch = np.array([f"c{i}" for i in range(N_CELLS)]), np.full(N_CELLS, "all")
    view = View("rna", sparse.csr_matrix(wider[:, order]), cells, features, batch)
    alignment = align("rna", Known(names), features)
    assert alignment.is_exact.all()
    assert alignment.n_unknown == 5
    np.testing.assert_array_equal(aligned_counts(view, alignment).toarray(), counts.toarray())


@few
@given(seeds, st.floats(0.2, 9.0), st.floats(-5.0, 5.0))
def test_kernel_ridge_is_invariant_to_scale_and_shift_of_a_cell(seed, scale, shift):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(31, width)).astype(np.float32) for width in (7, 3))
    ridge = KernelRidge.fit(x, y, FitConfig().kernel, rng)
    close(ridge.predict((x * scale + shift).astype(np.float32)), ridge.predict(x), rtol=1e-3, atol=1e-3)


@few
@given(seeds)
def test_content_of_the_linear_path_does_not_turn_with_the_codes(seed):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(211, 2)) * [2.0, 1.0]
    codes = {m: np.hstack([shared, np.zeros((211, 2))]) + rng.normal(size=(211, 4)) for m in ("rna", "adt")}
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    has = {m: np.ones(211, dtype=bool) for m in codes}
    plain = fit_linear_path(codes, has, 2, FitConfig().linear_path, np.random.default_rng(1))
    turned = fit_linear_path(
        codes | {"rna": codes["rna"] @ turn}, has, 2, FitConfig().linear_path, np.random.default_rng(1)
    )
    close(turned.correlation, plain.correlation, atol=1e-3)
    content, again = codes["rna"] @ plain.encoders["rna"], codes["rna"] @ turn @ turned.encoders["rna"]
    close(np.abs((content * again).sum(axis=0)), (content**2).sum(axis=0), rtol=1e-2)
