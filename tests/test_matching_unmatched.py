"""Tests of missing partners: masses that add up, kinds that are missing on a side, and what cannot be known."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.matching import Anchors, Similarity, match_cells, unmatched_probability

KINDS = 5


def population(n_cells, seed=0, noise=0.6):
    """Paired cells of five kinds, with scores that are log density ratios."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, KINDS, n_cells)
    own = rng.normal(size=(n_cells, 3))
    sides = []
    for _ in range(2):
        values = np.hstack([2.8 * np.eye(KINDS)[kind], own + noise * rng.normal(size=own.shape)])
        sides.append(values.astype(np.float32))
    anchors = Anchors.fit(*sides, 1.0)
    return kind, *Similarity(*sides, 1.0).with_anchors(anchors).vectors


def test_where_all_partners_are_there_cells_keep_about_the_prior():
    _, left, right = population(307)
    for prior_unmatched in (0.02, 0.2):
        u, v = unmatched_probability(Similarity(left, right, 1.0), prior_unmatched)
        assert u.mean() == pytest.approx(prior_unmatched, rel=0.35)
        assert v.mean() == pytest.approx(prior_unmatched, rel=0.35)


def test_as_many_left_as_right_cells_are_expected_to_have_partners():
    _, left, right = population(307)
    u, v = unmatched_probability(Similarity(left, right[:211], 1.0), 0.03)
    assert (1 - u).sum() == pytest.approx((1 - v).sum(), rel=1e-3)
    assert u.mean() > (307 - 211) / 307
    assert v.mean() < 0.05


@pytest.mark.parametrize("n_left", [1.0, 0.4])
def test_a_kind_missing_on_the_right_is_found_out_whichever_side_is_larger(n_left):
    kind, left, right = population(401)
    stays = np.random.default_rng(1).uniform(size=401) < np.where(kind == 2, 1.0, n_left)
    u, _ = unmatched_probability(Similarity(left[stays], right[kind != 2], 1.0), 0.02)
    is_missing = kind[stays] == 2
    assert u[is_missing].mean() > 0.7
    assert u[~is_missing].mean() < 0.15


def test_a_kind_missing_on_each_side_is_found_out_on_both():
    kind, left, right = population(401)
    u, v = unmatched_probability(Similarity(left[kind != 0], right[kind != 1], 1.0), 0.02)
    assert u[kind[kind != 0] == 1].mean() > 0.7
    assert v[kind[kind != 1] == 0].mean() > 0.7
    assert u[kind[kind != 0] != 1].mean() < 0.15


def test_cells_beyond_the_sample_get_the_same_probability(monkeypatch):
    import sys

    kind, left, right = population(401)
    whole, _ = unmatched_probability(Similarity(left, right[kind != 3], 1.0), 0.02)
    monkeypatch.setattr(sys.modules["unisono.matching.unmatched"], "MAX_CELLS", 150)
    sampled, of_right = unmatched_probability(Similarity(left, right[kind != 3], 1.0), 0.02)
    assert sampled.shape == (401,)
    assert of_right.shape == ((kind != 3).sum(),)
    assert np.corrcoef(whole, sampled)[0, 1] > 0.95
    assert np.abs(whole - sampled).mean() < 0.1  # of 25 samples 0.047 in the mean, 0.081 at most


def test_a_prior_of_zero_or_one_is_refused():
    _, left, right = population(31)
    for prior_unmatched in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            unmatched_probability(Similarity(left, right, 1.0), prior_unmatched)


def test_a_coupling_gives_missing_kinds_up_and_leaves_the_rest_their_partners():
    kind, left, right = population(401)
    is_there = kind != 4
    found = match_cells(Similarity(left, right[is_there], 1.0), prior_unmatched=0.02, k=400, max_partners=1000)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-9)
    assert found.p_unmatched[~is_there].mean() > 0.7
    column = np.cumsum(is_there) - 1
    partners = np.asarray(found.probabilities[np.flatnonzero(is_there), column[is_there]]).ravel()
    forced = match_cells(Similarity(left, right[is_there], 1.0), k=400, max_partners=1000)
    by_force = np.asarray(forced.probabilities[np.flatnonzero(is_there), column[is_there]]).ravel()
    assert np.log(partners).mean() > np.log(by_force).mean() - 0.02


def test_cells_that_are_like_nobody_on_the_other_side_still_have_a_row():
    _, left, right = population(211)
    alien = left.copy()
    alien[:17, -1], alien[:17, -2] = 1.0, -900.0  # as if their density ratio to every right cell were e to the −900
    with np.errstate(all="raise", under="ignore"):
        found = match_cells(Similarity(alien, right, 1.0), prior_unmatched=0.02)
    np.testing.assert_allclose(found.p_unmatched[:17], 1.0)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-9)
    assert np.isfinite(found.confidence).all()
    assert found.p_unmatched[17:].max() < 0.5


def test_a_coupling_of_whole_sides_is_nearly_the_one_that_takes_all_partners_to_be_there():
    _, left, right = population(307)
    loose = match_cells(
        Similarity(left, right, 1.0), prior_unmatched=0.02, k=307, max_partners=1000
    ).probabilities.toarray()
    whole = match_cells(Similarity(left, right, 1.0), k=307, max_partners=1000).probabilities.toarray()
    assert np.abs(loose - whole).sum(axis=1).mean() < 0.05
    assert np.abs(loose - whole.T).sum(axis=1).mean() > 0.1
