"""Identities of matching on random problems: what leaves probabilities as they are, what adds up, what is mirrored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from unisono.matching import MatchingProblem, Similarity, apply_rule, match_posterior, sinkhorn, unmatched_probability

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(2, 11), st.integers(2, 11))
few = settings(max_examples=25, deadline=None)
EXACT = {"max_steps": 5000, "tolerance": 1e-10}


def ratios(seed: int, shape: tuple[int, int], scale: float = 2.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal(shape)


def solved(log_ratio, **options) -> np.ndarray:
    found = sinkhorn(MatchingProblem.one_to_one(log_ratio), **EXACT, **options)
    return found.probabilities.toarray() * (1.0 - found.p_unmatched)[:, None]


def vectors(seed: int, n_cells: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n_cells, 5))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@few
@given(seeds, sizes)
def test_what_is_added_to_the_ratios_of_one_cell_changes_no_probability_where_sides_are_equal(seed, shape):
    n_cells = shape[0]
    rng, log_ratio = np.random.default_rng(seed), ratios(seed, (n_cells, n_cells))
    shifted = log_ratio + rng.normal(size=(n_cells, 1)) + rng.normal(size=n_cells)
    np.testing.assert_allclose(solved(shifted), solved(log_ratio), atol=1e-6)


@few
@given(seeds, sizes)
def test_the_smaller_side_is_matched_whole_and_nobody_of_the_larger_more_than_once(seed, shape):
    joint = solved(ratios(seed, shape))
    smaller, larger = (1, 0) if shape[0] <= shape[1] else (0, 1)
    np.testing.assert_allclose(joint.sum(axis=smaller), 1.0, atol=1e-6)
    assert joint.sum(axis=larger).max() < 1 + 1e-6
    assert joint.sum() == pytest.approx(min(shape), abs=1e-6)


@few
@given(seeds, sizes)
def test_sides_can_be_exchanged(seed, shape):
    log_ratio = ratios(seed, shape)
    np.testing.assert_allclose(solved(log_ratio.T.copy()), solved(log_ratio).T, atol=1e-6)


@few
@given(seeds, sizes)
def test_a_dense_problem_and_the_same_one_stored_sparsely_have_one_solution(seed, shape):
    log_ratio = ratios(seed, shape)
    np.testing.assert_allclose(solved(sparse.csr_matrix(log_ratio)), solved(log_ratio), atol=1e-9)


@few
@given(seeds, sizes)
def test_cells_in_another_order_have_the_same_partners(seed, shape):
    left, right = vectors(seed, shape[0]), vectors(seed + 1, shape[1])
    order = np.random.default_rng(seed).permutation(shape[1])
    found = match_posterior(Similarity(left, right, 4.0), prior_unmatched=0.1)
    turned = match_posterior(Similarity(left, right[order], 4.0), prior_unmatched=0.1)
    np.testing.assert_allclose(turned.probabilities.toarray(), found.probabilities.toarray()[:, order], atol=1e-4)
    np.testing.assert_allclose(turned.p_unmatched, found.p_unmatched, atol=1e-4)


@few
@given(seeds, sizes, st.floats(0.05, 0.5))
def test_as_many_are_unmatched_on_both_sides_as_the_smaller_lacks_partners(seed, shape, prior):
    left, right = vectors(seed, shape[0]), vectors(seed + 1, shape[1])
    p_left, p_right = unmatched_probability(Similarity(left, right, 1.0), prior)
    assert (1 - p_left).sum() == pytest.approx((1 - p_right).sum(), rel=1e-3)
    for p in (p_left, p_right):
        assert 0 < p.min() < p.max() < 1 or np.ptp(p) < 1e-6


@few
@given(seeds, sizes)
def test_one_to_one_takes_nobody_twice_and_argmax_takes_the_likeliest(seed, shape):
    found = sinkhorn(MatchingProblem.one_to_one(sparse.csr_matrix(ratios(seed, shape))), **EXACT)
    one = apply_rule(found, "one-to-one")
    taken = one.probabilities.toarray()[one.p_unmatched == 0]
    assert taken.sum(axis=0).max() == 1
    assert len(taken) == min(shape)
    best = apply_rule(found, "argmax").probabilities.toarray().argmax(axis=1)
    np.testing.assert_array_equal(best, found.probabilities.toarray().argmax(axis=1))
