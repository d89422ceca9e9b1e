"""Temperature and depth: known density ratios are recovered, and probabilities are frequencies."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from unisono.config import MatchingConfig
from unisono.matching import (
    Similarity,
    depth_features,
    fit_beta,
    fit_beta_and_depth_weight,
    fit_depth_correlation,
    match_cells,
    standardise_depth,
)
from unisono.metrics import expected_calibration_error


def gaussian_pairs(n, dim, noise, seed=0):
    """Views of one z of variance 1 and correlation rho; the true beta of their inner product is rho / (1 − rho²)."""
    rng = np.random.default_rng(seed)
    z, scale = rng.normal(size=(n, dim)), 1 / np.sqrt(1 + noise**2)
    left, right = (((z + noise * rng.normal(size=z.shape)) * scale).astype(np.float32) for _ in range(2))
    rho = scale**2
    return left, right, rho / (1 - rho**2)


@pytest.mark.parametrize(("dim", "noise"), [(4, 0.5), (12, 1.0)])
def test_the_true_beta_is_recovered(dim, noise):
    left, right, beta = gaussian_pairs(350, dim, noise)
    assert fit_beta(left, right, config=MatchingConfig(n_candidates=350)) == pytest.approx(beta, rel=0.12)


def test_vectors_scaled_by_two_have_a_quarter_of_the_beta():
    left, right, _ = gaussian_pairs(200, 6, 0.7)
    assert fit_beta(2 * left, 2 * right) == pytest.approx(fit_beta(left, right) / 4, rel=0.05)


def test_beta_within_groups_is_that_of_the_groups():
    left, right, beta = gaussian_pairs(300, 5, 0.6)
    group = np.array(["a", "b"])[np.arange(300) % 2]
    right[group == "b"], left[group == "b"] = right[group == "b"] + 4, left[group == "b"] - 4
    assert fit_beta(left, right, within=group) == pytest.approx(beta, rel=0.25)
    assert fit_beta(left, right) < 0.5 * beta


def test_a_partner_outside_the_candidates_counts_against_a_sharp_beta():
    left, right, _ = gaussian_pairs(120, 3, 0.5)
    shuffled = right[np.random.default_rng(1).permutation(120)]
    few = MatchingConfig(n_candidates=3)
    assert fit_beta(left, shuffled, config=few) < 0.25 * fit_beta(left, right, config=few)


def test_probabilities_at_the_fitted_beta_are_frequencies():
    left, right, _ = gaussian_pairs(1200, 9, 0.4, seed=2)
    beta = fit_beta(left[:600], right[:600])
    dense = match_cells(Similarity(left[600:], right[600:], beta)).probabilities.toarray()
    is_right = dense.argmax(axis=1) == np.arange(600)
    assert 0.3 < is_right.mean() < 0.95
    assert expected_calibration_error(dense.max(axis=1), is_right) < 0.1
    soft = match_cells(Similarity(left[600:], right[600:], 0.3 * beta)).probabilities.toarray()
    assert expected_calibration_error(soft.max(axis=1), soft.argmax(axis=1) == np.arange(600)) > 0.3


@pytest.mark.parametrize("r", [0.3, 0.9])
def test_depth_features_multiply_to_the_gaussian_log_ratio(r):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=13), rng.normal(size=7)
    left, right = depth_features(x, y, r)
    joint = multivariate_normal([0, 0], [[1, r], [r, 1]])
    wanted = [[joint.logpdf([a, b]) - norm.logpdf(a) - norm.logpdf(b) for b in y] for a in x]
    np.testing.assert_allclose(left @ right.T, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("r", [0.0, -0.4])
def test_uncorrelated_depth_says_nothing(r):
    x = np.array([-1.0, 0.0, 1.0])
    left, right = depth_features(x, x, r)
    np.testing.assert_array_equal(left @ right.T, 0)


def test_depth_correlation_is_pearson_kept_below_one_and_not_negative():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    y = x + rng.normal(size=500)
    assert fit_depth_correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert fit_depth_correlation(x, x) == 0.95
    assert fit_depth_correlation(x, -x) == 0
    assert fit_depth_correlation(x, np.ones(500)) == 0


def test_standardised_depth_has_mean_zero_and_variance_one_in_each_group():
    depth = np.random.default_rng(0).normal(7, 2, size=40)
    group = np.array(["a", "b", "c"])[np.arange(40) % 3]
    depth[group == "b"] += 5
    depth[group == "c"] = 3.3
    found = standardise_depth(depth, group)
    for name in "ab":
        assert found[group == name].mean() == pytest.approx(0, abs=1e-12)
        assert found[group == name].std() == pytest.approx(1)
    assert (found[group == "c"] == 0).all()
    np.testing.assert_allclose(standardise_depth(depth), (depth - depth.mean()) / depth.std())


def test_depth_independent_of_content_gets_about_its_full_weight_and_helps():
    left, right, beta = gaussian_pairs(700, 4, 0.6)
    x, y, _ = gaussian_pairs(700, 1, 0.5, seed=9)
    x, y = 8 + x[:, 0].astype(float), 5 + 0.3 * y[:, 0].astype(float)
    half = slice(350)
    config = MatchingConfig(depth_weights=(0.5, 1.0, 2.0))
    term = fit_beta_and_depth_weight(left[half], right[half], x[half], y[half], config=config)
    assert term.weight == 1.0
    assert term.r == pytest.approx(0.8, abs=0.06)
    assert term.beta == pytest.approx(beta, rel=0.2)
    rest = slice(350, None)
    without = match_cells(Similarity(left[rest], right[rest], term.beta)).probabilities.diagonal().mean()
    with_depth = Similarity(left[rest], right[rest], term.beta).with_depth(term, (x[rest], y[rest]))
    assert match_cells(with_depth).probabilities.diagonal().mean() > 1.3 * without


def test_depth_unrelated_between_partners_gets_little_weight():
    left, right, _ = gaussian_pairs(300, 4, 0.6)
    x, y = np.random.default_rng(3).normal(size=(2, 300))
    config = MatchingConfig(depth_weights=(0.5, 1.0))
    term = fit_beta_and_depth_weight(left, right, x, -np.abs(y) * x, config=config)
    assert (term.weight, term.r) == (0.0, 0.0)
    assert term.beta == fit_beta(left, right)


def test_pairs_of_unequal_number_are_refused():
    left, right, _ = gaussian_pairs(11, 3, 0.6)
    with pytest.raises(ValueError, match="expected the same cells in all"):
        fit_beta(left, right[:10])
