"""Tests of matching: all probabilities are a matching problem of the one solver, and density ratios take depth in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

import unisono as un
from unisono_bench import matching
from unisono_bench.matching import DensityRatio, all_log_probabilities, matched

N = 37


def pair(seed: int = 0, beta: float = 7.0, n_right: int = N) -> un.matching.Similarity:
    rng = np.random.default_rng(seed)
    sides = [rng.normal(size=(n_cells, 5)).astype(np.float32) for n_cells in (N, n_right)]
    return un.matching.Similarity(*(x / np.linalg.norm(x, axis=1, keepdims=True) for x in sides), beta)


def log_sinkhorn(log_kernel: np.ndarray, n_steps: int = 3000) -> np.ndarray:
    """The dense log-domain reference."""
    rows = columns = np.zeros(len(log_kernel))
    for _ in range(n_steps):
        rows = -logsumexp(log_kernel + columns, axis=1)
        columns = -logsumexp(log_kernel + rows[:, None], axis=0)
    return log_kernel + rows[:, None] + columns


@pytest.mark.parametrize("beta", [0.5, 7.0])
def test_rows_and_columns_sum_to_1(beta):
    found = np.exp(all_log_probabilities(pair(beta=beta)))
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=2e-3)


@pytest.mark.parametrize("beta", [0.5, 7.0])
def test_they_are_those_of_the_dense_reference_in_logarithms(beta):
    similarity = pair(beta=beta)
    wanted = log_sinkhorn(beta * (similarity.left.astype(np.float64) @ similarity.right.T))
    np.testing.assert_allclose(all_log_probabilities(similarity), wanted, atol=2e-3)


def test_they_are_those_of_the_match_where_all_cells_are_candidates():
    found = np.exp(all_log_probabilities(pair()))
    found /= found.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, matched(pair(), "soft").probabilities.toarray(), rtol=1e-5)


def test_a_temperature_far_below_1_leaves_every_value_finite():
    assert np.isfinite(all_log_probabilities(pair(beta=1000.0))).all()


def test_groups_are_scaled_on_their_own():
    similarity = pair()
    groups = np.asarray(["a"] * 11 + ["b"] * 26), np.asarray(["b"] * 26 + ["a"] * 11)
    found = all_log_probabilities(similarity, groups)
    assert (np.isneginf(found) == (groups[0][:, None] != groups[1][None, :])).all()
    alone = all_log_probabilities(similarity.take(np.arange(11), np.arange(26, 37)))
    np.testing.assert_allclose(found[:11, 26:], alone, rtol=1e-9)


def test_sides_of_unequal_size_are_refused():
    with pytest.raises(ValueError, match="37 left and 31 right cells"):
        all_log_probabilities(pair(n_right=31))


def test_a_soft_row_keeps_up_to_a_thousand_partners():
    same = np.ones((1203, 3), dtype=np.float32)
    found = matched(un.matching.Similarity(same[:5], same, 1.0), "soft").probabilities
    assert 100 < np.diff(found.indptr).max() <= 1000


def gaussian_pairs(n_cells: int = 201, noise: float = 0.4, seed: int = 0):
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(n_cells, 6))
    right, depth = left + noise * rng.normal(size=left.shape), rng.normal(size=n_cells)
    sides = [x.astype(np.float32) / np.linalg.norm(x, axis=1, keepdims=True).astype(np.float32) for x in (left, right)]
    return sides, (depth, depth + 0.3 * rng.normal(size=n_cells)), np.full(n_cells, "all")


def test_a_ratio_is_sharper_where_partners_are_clearer():
    betas = []
    for noise in (0.3, 1.2):
        sides, depths, batch = gaussian_pairs(noise=noise)
        betas.append(DensityRatio.fit(*sides, *depths, batch).beta)
    assert betas[0] > 2 * betas[1] > 0


def test_depth_that_partners_share_makes_them_likelier():
    sides, depths, batch = gaussian_pairs(noise=1.0)
    ratio = DensityRatio.fit(*sides, *depths, batch)
    new, new_depths, _ = gaussian_pairs(noise=1.0, seed=1)
    of_partner = []
    for depth in (False, True):
        similarity = ratio.similarity((new[0], new[1]), new_depths, depth=depth, groups=None)
        of_partner.append(np.exp(np.diag(all_log_probabilities(similarity))).mean())
    assert of_partner[1] > 1.5 * of_partner[0]


def test_without_depth_the_vectors_stay_as_they_are():
    sides, depths, batch = gaussian_pairs()
    found = DensityRatio.fit(*sides, *depths, batch).similarity((sides[0], sides[1]), depths, depth=False, groups=None)
    np.testing.assert_array_equal(found.left, sides[0])
    np.testing.assert_array_equal(found.right, sides[1])


def test_a_ratio_is_fitted_on_the_first_pairs_alone(monkeypatch):
    monkeypatch.setattr(matching, "_MAX_PAIRS", 101)
    sides, depths, batch = gaussian_pairs(131)
    first = DensityRatio.fit(*(s[:101] for s in sides), *(d[:101] for d in depths), batch[:101])
    assert DensityRatio.fit(*sides, *depths, batch) == first
