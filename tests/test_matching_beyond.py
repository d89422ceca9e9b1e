"""Probabilities of candidates among all cells, against the same with every pair stored."""

import numpy as np
import pytest

from unisono.matching import MatchingProblem, Similarity, apply_rule, match_posterior, solve


def hard_to_tell_apart(n: int, beta: float, seed: int = 0) -> Similarity:
    """Partners that share a few directions with many others."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, 4))
    left, right = (np.hstack([shared, 0.7 * rng.normal(size=(n, 4))]) for _ in range(2))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right)]
    return Similarity(unit[0].astype(np.float32), unit[1].astype(np.float32), beta)


def dense_posterior(similarity: Similarity) -> np.ndarray:
    log_ratio = similarity.log_ratio()
    found = solve(MatchingProblem.one_to_one(log_ratio), max_steps=2000, tolerance=1e-8)
    rows = np.exp(log_ratio + found.left[:, None] + found.right)
    return rows / rows.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "k"), [(900, 20), (2500, 60)])
def test_the_probability_of_a_candidate_among_all_cells_does_not_depend_on_how_many_are_stored(n, k):
    similarity = hard_to_tell_apart(n, 8.0)
    dense, found = dense_posterior(similarity), match_posterior(similarity, k=k)
    stored = found.probabilities.toarray() > 0
    beyond = np.where(stored, 0.0, dense).sum(axis=1)
    assert beyond.mean() > 0.3
    np.testing.assert_allclose(found.beyond, beyond, atol=0.12)
    assert found.beyond.mean() == pytest.approx(beyond.mean(), abs=0.01)
    among_all = found.probabilities.toarray() * found.listed[:, None]
    np.testing.assert_allclose(among_all[stored], dense[stored], atol=0.01)
    confidence = apply_rule(found, "argmax").confidence
    assert confidence.mean() == pytest.approx(dense.max(axis=1).mean(), rel=0.05)
    assert apply_rule(found, "soft", max_partners=5).confidence == pytest.approx(confidence)


def test_a_row_that_is_cut_says_how_likely_the_partner_is_elsewhere():
    found = match_posterior(hard_to_tell_apart(300, 8.0), k=300)
    cut = apply_rule(found, "soft", max_partners=10)
    largest = np.sort(found.probabilities.toarray(), axis=1)[:, -10:].sum(axis=1)
    np.testing.assert_allclose(cut.listed, largest, atol=1e-6)
    np.testing.assert_allclose(np.asarray(cut.probabilities.sum(axis=1)).ravel(), 1.0, atol=1e-6)


def test_nothing_lies_beyond_candidates_that_are_all_cells():
    found = match_posterior(hard_to_tell_apart(80, 8.0), k=80)
    np.testing.assert_array_equal(found.listed, 1.0)


def test_sides_of_unlike_size_keep_what_lies_beyond_and_who_is_left_over():
    similarity = hard_to_tell_apart(1200, 8.0)
    few = Similarity(similarity.left, similarity.right[:700], 8.0)
    log_ratio = few.log_ratio()
    found = solve(MatchingProblem.one_to_one(log_ratio), max_steps=2000, tolerance=1e-8)
    weight = np.exp(log_ratio + found.right)
    total = weight.sum(axis=1)
    p_unmatched = np.exp(found.right_slack) / (total + np.exp(found.right_slack))
    posterior = match_posterior(few, k=40)
    np.testing.assert_allclose(posterior.p_unmatched, p_unmatched, atol=0.08)
    stored = posterior.probabilities.toarray() > 0
    beyond = np.where(stored, 0.0, weight).sum(axis=1) / total
    assert posterior.beyond.mean() == pytest.approx(beyond.mean(), abs=0.02)
