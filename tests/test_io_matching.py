"""Tests of a matching: pairs in order, rows that sum to 1, and a file that is whole."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from io_fixtures import refusal, snapshot
from scipy import sparse

from unisono.io.matching import MAX_ENTRIES, Matching
from unisono.types import MatchPosterior

POSTERIOR = np.array([[0.0, 0.2, 0.5, 0.3, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.0, 0.0, 0.5]])


def matching(posterior=None, n_right: int = 5) -> Matching:
    rows = sparse.csr_matrix(POSTERIOR) if posterior is None else posterior
    n_left = rows.shape[0]
    left, right = np.array([f"l{i}" for i in range(n_left)]), np.array([f"r{i}" for i in range(n_right)])
    return Matching(MatchPosterior(rows, np.linspace(0.1, 0.4, n_left)), left, right, "rna", "adt", "soft")


def test_pairs_go_by_left_cell_and_then_by_falling_probability():
    pairs = matching().pairs
    assert list(pairs.columns) == ["left", "right", "probability"]
    assert list(zip(pairs["left"], pairs["right"], strict=True)) == [
        ("l0", "r2"), ("l0", "r3"), ("l0", "r1"), ("l1", "r0"), ("l2", "r4"), ("l2", "r0"), ("l2", "r1"),
    ]  # fmt: skip
    np.testing.assert_allclose(pairs["probability"], [0.5, 0.3, 0.2, 1.0, 0.5, 0.25, 0.25])


def test_stored_zeros_are_no_pairs():
    rows = sparse.csr_matrix((np.array([1.0, 0.0]), np.array([2, 3]), np.array([0, 2])), shape=(1, 5))
    assert list(matching(rows).pairs["right"]) == ["r2"]
    assert matching(rows).to_anndata().X.nnz == 1


def test_the_table_holds_names_probabilities_and_the_unmatched():
    table = matching().to_anndata()
    np.testing.assert_allclose(table.X.toarray(), POSTERIOR, atol=1e-7)
    assert (table.X.dtype, table.X.format) == (np.float32, "csr")
    assert (list(table.obs_names), list(table.var_names)) == (["l0", "l1", "l2"], ["r0", "r1", "r2", "r3", "r4"])
    np.testing.assert_allclose(table.obs["p_unmatched"], [0.1, 0.25, 0.4])
    assert table.uns["unisono"] == {"left": "rna", "right": "adt", "rule": "soft"}


def test_a_row_keeps_its_largest_thousand_scaled_to_one():
    weights = np.random.default_rng(0).permutation(np.arange(1.0, 1304.0))
    sparse_row, short_row = weights / weights.sum(), np.eye(1, 1303)[0]
    given = matching(sparse.csr_matrix(np.stack([sparse_row, short_row])), n_right=1303)
    found = given.to_anndata().X
    assert list(np.diff(found.indptr)) == [MAX_ENTRIES, 1]
    np.testing.assert_allclose(np.asarray(found.sum(axis=1)).ravel(), 1.0, atol=1e-5)
    largest = np.where(weights > 303, weights, 0)
    np.testing.assert_allclose(found[0].toarray().ravel(), largest / largest.sum(), rtol=1e-5)
    assert given.match_posterior.posterior.nnz == 1304


def test_equal_names_on_both_sides_are_let_be():
    names = np.array(["a", "b", "c"])
    found = Matching(
        MatchPosterior(sparse.csr_matrix(np.eye(3)[[1, 2, 0]]), np.zeros(3)), names, names, "rna", "adt", "argmax"
    )
    assert list(found.pairs["right"]) == ["b", "c", "a"]


def test_names_that_do_not_fit_the_posterior_are_refused():
    with pytest.raises(ValueError, match=r"match posterior is \(3, 5\), names say \(3, 4\)"):
        matching(n_right=4)


def test_the_file_reads_back_equal_and_is_not_replaced_unasked(tmp_path):
    matching().write(tmp_path / "m.h5ad")
    found = ad.read_h5ad(tmp_path / "m.h5ad")
    np.testing.assert_array_equal(found.X.toarray(), matching().to_anndata().X.toarray())
    np.testing.assert_allclose(found.obs["p_unmatched"], [0.1, 0.25, 0.4])
    before = snapshot(tmp_path)
    assert refusal(matching().write, tmp_path / "m.h5ad").code == "E055"
    assert snapshot(tmp_path) == before
    matching().write(tmp_path / "m.h5ad", force=True)
