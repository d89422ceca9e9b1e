"""Tests of conformal widths: order statistics by hand, coverage on fresh cells, groups, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.uncertainty.conformal import Conformal


def drawn(n_cells: int, seed: int, heavy: bool = False):
    """Errors whose size the spread knows in part, cell x 5 features, and the spread."""
    rng = np.random.default_rng(seed)
    spread = rng.uniform(0.2, 2.0, size=(n_cells, 5)).astype(np.float32)
    noise = rng.standard_t(3, size=(n_cells, 5)) if heavy else rng.normal(size=(n_cells, 5))
    return (noise * spread * np.array([1, 2, 0.5, 1, 3])).astype(np.float32), spread


def half_width(found: Conformal, spread, coverage, groups=None):
    names = np.full(len(spread), "") if groups is None else groups
    return found.bounds(coverage, names).half_width(spread)


def covered(found: Conformal, error, spread, coverage, groups=None):
    return np.abs(error) <= half_width(found, spread, coverage, groups)


def test_the_width_is_the_order_statistic_of_the_scores():
    error = np.array([[3.0], [-1.0], [2.0], [-5.0], [4.0], [0.5], [-6.0], [7.0], [-8.0]], dtype=np.float32)
    spread = np.zeros_like(error)
    found = Conformal.fit(error, spread)
    for coverage, rank in ((0.1, 1), (0.5, 5), (0.7, 7), (0.9, 9)):
        wanted = np.sort(np.abs(error).ravel())[rank - 1]
        np.testing.assert_allclose(half_width(found, spread, coverage), wanted, rtol=1e-5)


def test_a_coverage_that_so_few_cells_cannot_promise_is_infinite():
    error, spread = drawn(9, 0)
    found = Conformal.fit(error, spread)
    assert np.isfinite(half_width(found, spread, 0.9)).all()
    assert np.isinf(half_width(found, spread, 0.91)).all()


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("heavy", [False, True])
def test_fresh_cells_are_covered_as_promised(coverage, heavy):
    shares = []
    for seed in range(12):
        found = Conformal.fit(*drawn(150, seed, heavy))
        shares.append(covered(found, *drawn(2000, 100 + seed, heavy), coverage).mean())
    assert coverage - 0.005 < np.mean(shares) < coverage + 0.015


def test_cells_that_the_model_is_unsure_of_get_wider_intervals():
    error, spread = drawn(400, 1)
    width = half_width(Conformal.fit(error, spread), spread, 0.8)
    for feature in range(5):
        assert np.corrcoef(width[:, feature], spread[:, feature])[0, 1] > 0.9


def test_more_coverage_is_wider_and_features_with_larger_errors_are_wider():
    error, spread = drawn(300, 2)
    found = Conformal.fit(error, spread)
    widths = np.stack([half_width(found, spread, c).mean(axis=0) for c in (0.3, 0.5, 0.7, 0.9)])
    assert (np.diff(widths, axis=0) > 0).all()
    assert widths[1].argmax() == 4
    assert widths[1].argmin() == 2


def test_groups_have_widths_of_their_own_and_small_or_unknown_ones_those_of_all():
    error, spread = drawn(300, 3)
    groups = np.array(["calm"] * 200 + ["wild"] * 90 + ["few"] * 10)
    error[200:290] *= 10
    found = Conformal.fit(error, spread, groups, min_cells=20)
    assert Conformal.fit(error, spread, groups).groups == ("calm",)
    assert found.groups == ("calm", "wild")
    assert found.n_cells == (300, 200, 90)
    ask = np.ones((4, 5), dtype=np.float32)
    calm, wild, few, unknown = half_width(found, ask, 0.8, np.array(["calm", "wild", "few", "nobody"]))
    everyone = half_width(found, ask, 0.8)[0]
    assert (wild > 3 * calm).all()
    np.testing.assert_array_equal(few, everyone)
    np.testing.assert_array_equal(unknown, everyone)
    fresh, unsure = drawn(2000, 4)
    assert abs(covered(found, fresh, unsure, 0.8, np.array(["calm"] * 2000)).mean() - 0.8) < 0.03


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.5, 90])
def test_a_coverage_out_of_range_is_refused(coverage):
    error, spread = drawn(30, 5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        half_width(Conformal.fit(error, spread), spread, coverage)


def test_errors_without_their_spread_are_refused():
    with pytest.raises(ValueError, match="expected the same cells"):
        Conformal.fit(np.zeros((3, 2), dtype=np.float32), np.zeros((4, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="1 or more"):
        Conformal.fit(np.zeros((0, 2), dtype=np.float32), np.zeros((0, 2), dtype=np.float32))


def test_widths_of_a_feature_are_over_the_cells_that_measured_it():
    """Of 99 cells 49 measured the last feature: it has the ranks of these 49, the others those of all."""
    error, spread = drawn(99, 3)
    error[:50, 4] = np.nan
    found, alone = Conformal.fit(error, spread), Conformal.fit(error[50:], spread[50:])
    whole = Conformal.fit(np.nan_to_num(error), spread)
    for coverage in (0.5, 0.8, 0.9):
        width = half_width(found, spread, coverage)
        np.testing.assert_allclose(width[:, :4], half_width(whole, spread, coverage)[:, :4])
        np.testing.assert_allclose(width[50:, 4], half_width(alone, spread[50:], coverage)[:, 4])
    few = error[44:56].copy()
    few[:, 4] = np.nan
    assert np.isinf(half_width(Conformal.fit(few, spread[44:56]), spread[:3], 0.5)[:, 4]).all()
