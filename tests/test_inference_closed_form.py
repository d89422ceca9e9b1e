"""Expected depth follows depth and content of the source; shrinkage spares peaks that are often open."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from unisono.inference.closed_form import ClosedFormTerms, LinearRidge, LogOddsShrinkage, fit_expected_depth
from unisono.modalities import Known
from unisono.preprocessing.align import align
from unisono.preprocessing.preprocessor import StandardisedCodes


def standardised(relative, x):
    n_cells = len(relative)
    nothing = np.zeros(n_cells, dtype=np.float32)
    names = np.array(["a", "b"])
    alignment = align("rna", Known(names), names)
    cells, batch = np.arange(n_cells).astype(str), np.full(n_cells, "b1")
    return StandardisedCodes(
        "rna", cells, x, 0 * x, 1 + 0 * x, nothing, relative, nothing.astype(float), nothing, batch, alignment
    )


def fit_depth(source, depth):
    return fit_expected_depth(source, depth, ridge=0.02, min_pairs=5)


def example(slope, n_cells=400):
    rng = np.random.default_rng(0)
    relative = rng.standard_normal(n_cells).astype(np.float32)
    x = rng.standard_normal((n_cells, 2)).astype(np.float32)
    depth = slope * relative + 0.5 * x[:, 1] + 0.1 * rng.standard_normal(n_cells)
    return standardised(relative, x), depth.astype(np.float32)


def test_depth_and_content_get_the_weights_that_made_the_depth():
    source, depth = example(0.7)
    np.testing.assert_allclose(fit_depth(source, depth), [0.7, 0.0, 0.5], atol=0.03)


def test_where_depths_have_nothing_in_common_the_depth_of_the_source_says_nothing():
    source, depth = example(0.0)
    assert abs(fit_depth(source, depth)[0]) < 0.02


def test_a_cell_read_twice_as_deeply_is_expected_to_be_deeper_and_without_weights_nothing_is_expected():
    source, depth = example(0.7)
    weights = fit_depth(source, depth)
    deeper = standardised(source.relative_depth + np.float32(np.log(2)), source.x)
    gain = ClosedFormTerms(depth=weights).expected_depth(deeper) - ClosedFormTerms(depth=weights).expected_depth(source)
    np.testing.assert_allclose(gain, weights[0] * np.log(2), atol=1e-5)
    assert ClosedFormTerms().expected_depth(source) is None


def test_without_pairs_no_depth_is_expected():
    source, depth = example(0.7, n_cells=4)
    assert not fit_depth(source, depth).any()
    assert fit_depth(*example(0.7, n_cells=5)).any()


def test_the_factor_is_half_the_strength_where_a_peak_was_open_as_often_as_the_prior_says():
    scale = LogOddsShrinkage(0.6, 4.0).scale(np.array([0.0, 4.0, 12.0]))
    np.testing.assert_allclose(scale, [0.0, 0.3, 0.45], rtol=1e-6)
    np.testing.assert_allclose(LogOddsShrinkage(0.6, 0.0).scale(np.array([0.5, 7.0])), [0.6, 0.6], rtol=1e-6)


PENALTIES = (0.5, 20.0, 3000.0)


@pytest.mark.parametrize(("noise", "wanted"), [(0.05, 0.5), (5.0, 20.0), (12.0, 3000.0)])
def test_the_ridge_is_scikit_learns_at_the_penalty_of_the_least_leave_one_out_error(noise, wanted):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((61, 7)) + 2.0
    y = x @ rng.standard_normal((7, 3)) + noise * rng.standard_normal((61, 3)) - 1.0
    other = rng.standard_normal((11, 7)).astype(np.float32)
    chosen = RidgeCV(alphas=PENALTIES).fit(x, y)
    assert chosen.alpha_ == wanted
    found = LinearRidge.fit(x.astype(np.float32), y.astype(np.float32), PENALTIES)
    np.testing.assert_allclose(found.predict(other), chosen.predict(other), rtol=1e-4, atol=1e-4)
    fixed = Ridge(alpha=20.0).fit(x, y).predict(other)
    one = LinearRidge.fit(x.astype(np.float32), y.astype(np.float32), (20.0,))
    np.testing.assert_allclose(one.predict(other), fixed, rtol=1e-4, atol=1e-4)
