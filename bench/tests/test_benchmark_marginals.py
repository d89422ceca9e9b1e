"""Tests of the dense log posterior: its marginals, its agreement with the match on all candidates, its groups."""

from __future__ import annotations

import numpy as np
import pytest

from unisono_bench.marginals import log_posterior
from unisono_bench.methods import Matched
from unisono.matching import Similarity, match_cells

N = 37


def pair(seed: int = 0, beta: float = 7.0, n_right: int = N) -> Matched:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(N, 5)), rng.normal(size=(n_right, 5))
    return Matched(*(x.astype(np.float32) / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right)), beta)


@pytest.mark.parametrize("beta", [0.5, 7.0])
def test_rows_and_columns_sum_to_1(beta):
    found = np.exp(log_posterior(pair(beta=beta)).astype(np.float64))
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=2e-3)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=2e-3)


def test_it_is_the_posterior_of_the_match_where_all_cells_are_candidates():
    matched = pair()
    found = np.exp(log_posterior(matched).astype(np.float64))
    found /= found.sum(axis=1, keepdims=True)
    wanted = match_cells(Similarity(*matched), k=N, max_partners=1000).probabilities.toarray()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_scaling_leaves_ratios_of_the_kernel():
    matched = pair()
    left, right, beta = matched
    residual = log_posterior(matched) - beta * left @ right.T
    residual -= residual.mean(axis=0)
    np.testing.assert_allclose(residual, residual[:, :1].repeat(N, axis=1), atol=1e-4)


def test_a_temperature_far_below_1_leaves_every_value_finite():
    assert np.isfinite(log_posterior(pair(beta=1000.0))).all()


def test_groups_are_scaled_apart():
    matched = pair()
    groups = np.asarray(["a"] * 11 + ["b"] * 26), np.asarray(["b"] * 26 + ["a"] * 11)
    found = log_posterior(matched, groups)
    is_inside = groups[0][:, None] == groups[1][None, :]
    assert (np.isneginf(found) == ~is_inside).all()
    alone = log_posterior(Matched(matched.left[:11], matched.right[26:], matched.beta))
    np.testing.assert_allclose(found[:11, 26:], alone, atol=1e-5)


def test_sides_of_unequal_size_are_refused():
    with pytest.raises(ValueError, match="37 left and 31 right cells"):
        log_posterior(pair(n_right=31))
