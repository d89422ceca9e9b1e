"""Tests of anchors: what a density ratio is, against Gaussian pairs whose ratio is known, and who is lifted."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.matching import Anchors, Similarity
from unisono.metrics import foscttm


def gaussian_pairs(n_cells, seed=0, r=0.8, dim=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_cells, dim))
    y = r * x + np.sqrt(1 - r**2) * rng.normal(size=(n_cells, dim))
    return x.astype(np.float32), y.astype(np.float32)


def scores(anchors, left, right, beta=None):
    return Similarity(left, right, beta or anchors.beta).with_anchors(anchors).log_ratio()


def test_the_ratio_averages_to_1_over_the_anchors_of_the_other_side():
    left, right = gaussian_pairs(157)
    anchors = Anchors.fit(left, right[:131], 1.7)
    ratio = np.exp(scores(anchors, left, right[:131]))
    np.testing.assert_allclose(ratio.mean(axis=0), 1.0, atol=2e-3)
    np.testing.assert_allclose(ratio.mean(axis=1), 1.0, atol=2e-3)
    plain = np.exp(1.7 * left.astype(np.float64) @ right[:131].T)
    assert (plain / plain.mean()).mean(axis=1).std() > 0.5


def test_on_gaussian_pairs_it_is_the_log_density_ratio():
    r = 0.6
    left, right = gaussian_pairs(1501, r=r, dim=1)
    anchors = Anchors.fit(left, right, r / (1 - r**2))
    x, y = np.meshgrid([-1.0, 0.0, 0.7], [-0.6, 0.2, 1.1], indexing="ij")
    wanted = -0.5 * np.log(1 - r**2) + (2 * r * x * y - r**2 * (x**2 + y**2)) / (2 * (1 - r**2))
    found = scores(anchors, x[:, :1].astype(np.float32), y[:1].T.astype(np.float32))
    np.testing.assert_allclose(found, wanted, atol=0.1)


def test_another_temperature_adds_the_same_potentials():
    left, right = gaussian_pairs(61)
    anchors = Anchors.fit(left, right, 2.0)
    content = left.astype(np.float64) @ right.T
    np.testing.assert_allclose(
        scores(anchors, left, right, 0.5) - 0.5 * content, scores(anchors, left, right) - 2.0 * content, atol=1e-4
    )


def test_swapped_anchors_give_the_transposed_scores():
    left, right = gaussian_pairs(83)
    anchors = Anchors.fit(left, right[:71], 1.3)
    there = scores(anchors, left[:7], right[:11])
    back = scores(anchors.swapped(), right[:11], left[:7])
    np.testing.assert_allclose(there, back.T, atol=1e-5)
    assert np.abs(there[:7, :7] - there[:7, :7].T).max() > 0.1


def test_hubs_are_lowered_and_rare_kinds_lifted():
    rng = np.random.default_rng(3)
    common, rare = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    kinds = np.where(rng.uniform(size=(211, 1)) < 0.9, common, rare)
    cells = (kinds + 0.05 * rng.normal(size=kinds.shape)).astype(np.float32)
    b = Anchors.fit(cells, cells, 3.0).potential(cells)
    is_rare = kinds[:, 1] > 0
    assert b[is_rare].mean() > b[~is_rare].mean() + 1.0


def test_partners_are_ranked_better_where_some_cells_are_hubs():
    left, right = gaussian_pairs(901, seed=5, dim=4)
    hubs = np.random.default_rng(6).normal(size=(901, 1)).astype(np.float32)
    right = np.hstack([right, hubs])
    left = np.hstack([left, np.ones((901, 1), dtype=np.float32)])
    anchors = Anchors.fit(left[:500], right[:500], 1.5)
    similarity = Similarity(left[500:], right[500:], 1.5).with_anchors(anchors)
    assert foscttm(*similarity.vectors) < 0.8 * foscttm(left[500:], right[500:])


def test_a_population_of_no_cells_is_refused():
    left, right = gaussian_pairs(7)
    with pytest.raises(ValueError, match="0 left and 7 right anchors"):
        Anchors.fit(left[:0], right, 1.0)


def test_potentials_of_both_sides_have_one_mean():
    left, right = gaussian_pairs(97, dim=5)
    anchors = Anchors.fit(left, right[:89], 2.0)
    assert anchors.left_potential.mean() == pytest.approx(anchors.right_potential.mean(), abs=1e-9)
    assert abs(anchors.left_potential.mean()) > 0.1
