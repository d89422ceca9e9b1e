"""Tests of the similarity: its vectors multiply to the formula of its docstring, for all cells and for some."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from unisono.matching import Anchors, DepthTerm, Similarity, standardise_depth

TERM = DepthTerm(beta=2.5, weight=0.7, r=0.6)


def sides(n_left=11, n_right=7, dim=3):
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=(n, dim)).astype(np.float32) for n in (n_left, n_right))


def depths(n_left=11, n_right=7):
    rng = np.random.default_rng(3)
    return rng.normal(7, 2, size=n_left), rng.normal(4, 1, size=n_right)


def gaussian(x, y, r):
    joint = multivariate_normal([0, 0], [[1, r], [r, 1]])
    return np.array([[joint.logpdf([a, b]) - norm.logpdf(a) - norm.logpdf(b) for b in y] for a in x])


def test_content_alone_is_beta_times_the_inner_product():
    left, right = sides()
    found = Similarity(left, right, 1.7)
    np.testing.assert_allclose(found.log_ratio(), 1.7 * left.astype(float) @ right.T, rtol=1e-5, atol=1e-5)
    assert found.vectors == (left, right)


def test_potentials_and_depth_are_added_to_the_content():
    left, right = sides()
    a, b = depths()
    x, y = (standardise_depth(depth) for depth in (a, b))
    found = Similarity(left, right, 1.7, potentials=(a, b)).with_depth(TERM, (a, b))
    wanted = 2.5 * left.astype(float) @ right.T + a[:, None] + b + 0.7 * gaussian(x, y, 0.6)
    np.testing.assert_allclose(found.log_ratio(), wanted, rtol=1e-4, atol=1e-4)
    one, other = found.vectors
    np.testing.assert_allclose(2.5 * one.astype(float) @ other.T, wanted, rtol=1e-4, atol=1e-4)


def test_depth_is_standardised_within_groups():
    left, right = sides()
    a, b = depths()
    group = np.array(["p", "q"])[np.arange(11) % 2], np.array(["q", "p"])[np.arange(7) % 2]
    x, y = standardise_depth(a, group[0]), standardise_depth(b, group[1])
    found = Similarity(left, right, 1.7).with_depth(TERM, (a, b), group)
    wanted = 2.5 * left.astype(float) @ right.T + 0.7 * gaussian(x, y, 0.6)
    np.testing.assert_allclose(found.log_ratio(), wanted, rtol=1e-4, atol=1e-4)


def test_anchors_give_the_potentials_of_both_sides():
    left, right = sides()
    anchors = Anchors.fit(left[:9], right[:5], 1.7)
    found = Similarity(left, right, 1.7).with_anchors(anchors)
    np.testing.assert_allclose(found.potentials[0][:9], anchors.left_potential, atol=1e-2)
    np.testing.assert_allclose(found.potentials[1][:5], anchors.right_potential, atol=1e-2)


def test_some_cells_have_the_log_ratios_that_they_have_among_all():
    left, right = sides()
    whole = Similarity(left, right, 1.7, potentials=depths()).with_depth(TERM, depths())
    rows, columns = np.array([8, 2, 5]), np.array([6, 0])
    np.testing.assert_allclose(
        whole.take(rows, columns).log_ratio(), whole.log_ratio()[np.ix_(rows, columns)], rtol=1e-5
    )


def test_candidates_have_the_log_ratios_of_all_pairs():
    left, right = sides()
    similarity = Similarity(left, right, 1.7, potentials=depths())
    found = similarity.candidates(2)
    rows, columns = found.nonzero()
    assert found.nnz < 77
    np.testing.assert_allclose(
        np.asarray(found[rows, columns]).ravel(), similarity.log_ratio()[rows, columns], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("beta", [0.0, -1.0, np.inf, np.nan])
def test_a_temperature_that_is_no_positive_number_is_refused(beta):
    with pytest.raises(ValueError, match="must be positive and finite"):
        Similarity(*sides(), beta)
