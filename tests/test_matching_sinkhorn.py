"""Tests of the one solver: masses are kept, dense and sparse agree with plain iterations in logarithms, old figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.special import logsumexp

from unisono.matching import (
    Anchors,
    MatchingProblem,
    Similarity,
    match_cells,
    nearest,
    sinkhorn,
    solve,
    unmatched_probability,
)

STORAGES = {"dense": np.asarray, "sparse": sparse.csr_matrix}
EXACT = {"max_steps": 20_000, "tolerance": 1e-13}


def reference(log_ratio, rows, columns, left_slack=0.0, right_slack=0.0, n_iter=3000):
    """The plan by Sinkhorn in the log domain on a dense matrix with slack row and column, corner forbidden, float64.

    A slack of infinite mass keeps its potential at 0. It ends when a step moves no potential, up to rounding.
    """
    n_left, n_right = log_ratio.shape
    whole = np.full((n_left + 1, n_right + 1), -np.inf)
    whole[:n_left, :n_right] = log_ratio
    whole[n_left, :n_right] = 0.0 if left_slack > 0 else -np.inf
    whole[:n_left, n_right] = 0.0 if right_slack > 0 else -np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        row_mass, column_mass = np.log(np.append(rows, left_slack)), np.log(np.append(columns, right_slack))
        f, g = np.zeros(n_left + 1), np.zeros(n_right + 1)
        for _ in range(n_iter):
            start = f
            f = row_mass - logsumexp(whole + g, axis=1)
            f[n_left] = f[n_left] if 0 < left_slack < np.inf else 0.0
            g = column_mass - logsumexp(whole + f[:, None], axis=0)
            g[n_right] = g[n_right] if 0 < right_slack < np.inf else 0.0
            if np.abs(f - start).max() < 1e-14:
                break
    return np.exp(whole + f[:, None] + g)


def conditional(plan):
    """Rows over right cells given a partner, and the fraction of each row in the slack column."""
    partner = plan[:-1, :-1]
    return partner / partner.sum(axis=1, keepdims=True), plan[:-1, -1] / plan[:-1].sum(axis=1)


def log_ratio_of(n_left, n_right, scale=1.0, seed=0):
    return scale * np.random.default_rng(seed).normal(size=(n_left, n_right))


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(("n_left", "n_right"), [(13, 13), (17, 11), (11, 17)])
@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_the_posterior_of_one_to_one_matchings_is_that_of_the_log_domain(storage, n_left, n_right, scale):
    log_ratio = log_ratio_of(n_left, n_right, scale)
    found = sinkhorn(MatchingProblem.one_to_one(STORAGES[storage](log_ratio)), **EXACT)
    surplus = n_left - n_right
    plan = reference(log_ratio, np.ones(n_left), np.ones(n_right), max(-surplus, 0), max(surplus, 0))
    wanted, p_unmatched = conditional(plan)
    np.testing.assert_allclose(found.probabilities.toarray(), wanted, atol=1e-9)
    np.testing.assert_allclose(found.p_unmatched, p_unmatched, atol=1e-9)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize(("left_slack", "right_slack"), [(0.0, 0.0), (3.0, np.inf), (np.inf, 2.0), (np.inf, np.inf)])
def test_masses_and_slack_of_any_kind_give_the_plan_of_the_log_domain(storage, left_slack, right_slack):
    rng = np.random.default_rng(4)
    log_ratio, rows, columns = log_ratio_of(7, 11, 2.0), rng.uniform(0.3, 2.0, 7), rng.uniform(0.3, 2.0, 11)
    columns *= rows.sum() / columns.sum()
    problem = MatchingProblem(STORAGES[storage](log_ratio), rows, columns, left_slack, right_slack)
    found = solve(problem, **EXACT)
    plan = np.exp(log_ratio + found.left[:, None] + found.right)
    wanted = reference(log_ratio, rows, columns, left_slack, right_slack)
    np.testing.assert_allclose(plan, wanted[:7, :11], atol=1e-9)
    np.testing.assert_allclose(np.exp(found.left + found.right_slack), wanted[:7, 11], atol=1e-9)
    np.testing.assert_allclose(np.exp(found.right + found.left_slack), wanted[7, :11], atol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=1) + wanted[:7, 11], rows, atol=1e-9)


def test_pairs_that_are_not_stored_have_no_probability_and_the_rest_is_that_of_the_log_domain():
    log_ratio = log_ratio_of(13, 13, 2.0)
    is_stored = (np.random.default_rng(1).uniform(size=(13, 13)) < 0.5) | np.eye(13, dtype=bool)
    graph = sparse.csr_matrix(np.where(is_stored, log_ratio, 0.0))
    found = sinkhorn(MatchingProblem.one_to_one(graph), **EXACT).probabilities.toarray()
    plan = reference(np.where(is_stored, log_ratio, -np.inf), np.ones(13), np.ones(13))
    np.testing.assert_allclose(found, conditional(plan)[0], atol=1e-7)
    assert (found[~is_stored] == 0).all()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("beta", [2.0, 60.0, 900.0])
def test_absorption_gives_step_by_step_what_logarithms_give_however_sharp_the_ratios(storage, beta):
    log_ratio = beta * (unit(97, 0) @ unit(89, 1).T).astype(np.float64)
    rows, columns = np.full(97, 89.0), np.full(89, 97.0)
    found = solve(MatchingProblem(STORAGES[storage](log_ratio), rows, columns), max_steps=200, tolerance=0.0)
    g = -(log_ratio - log_ratio.max(axis=1, keepdims=True)).max(axis=0)
    for _ in range(200):
        f = np.log(rows) - logsumexp(log_ratio + g, axis=1)
        g = np.log(columns) - logsumexp(log_ratio + f[:, None], axis=0)
    np.testing.assert_allclose(found.left, f, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(found.right, g, rtol=1e-9, atol=1e-7)


def unit(n_cells, seed):
    values = np.random.default_rng(seed).normal(size=(n_cells, 3))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


SIMILARITY = Similarity(unit(5, 0), unit(4, 1), 3.0)
BEFORE = {
    "a surplus of left cells": [
        [0.199609, 0.069641, 0.172657, 0.558093],
        [0.104123, 0.07918, 0.129573, 0.687124],
        [0.847459, 0.029753, 0.069879, 0.052909],
        [0.022191, 0.517966, 0.442041, 0.017802],
        [0.030879, 0.540683, 0.423792, 0.004646],
    ],
    "a surplus of right cells": [
        [0.17627, 0.067383, 0.713062, 0.017907, 0.025379],
        [0.061491, 0.051235, 0.025032, 0.417912, 0.44433],
        [0.152451, 0.083842, 0.05879, 0.35665, 0.348266],
        [0.492737, 0.444575, 0.044509, 0.014362, 0.003817],
    ],
    "partners that may be missing": [
        [0.18728, 0.067935, 0.163312, 0.581473],
        [0.0964, 0.076218, 0.120939, 0.706442],
        [0.84107, 0.030701, 0.069917, 0.058311],
        [0.021626, 0.52482, 0.434289, 0.019265],
        [0.030113, 0.548212, 0.416644, 0.005031],
    ],
}
"""What three loops gave before there was one solver, for unit vectors of 5 left and 4 right cells, at β = 3."""


def test_the_figures_from_before_there_was_one_solver_are_reproduced():
    swapped = Similarity(SIMILARITY.right, SIMILARITY.left, 3.0)
    found = {
        "a surplus of left cells": match_cells(SIMILARITY),
        "a surplus of right cells": match_cells(swapped),
        "partners that may be missing": match_cells(SIMILARITY, prior_unmatched=0.1),
    }
    for case, wanted in BEFORE.items():
        np.testing.assert_allclose(found[case].probabilities.toarray(), wanted, atol=2e-4, err_msg=case)
    p_unmatched = [0.117081, 0.352972, 0.158716, 0.193105, 0.178141]
    np.testing.assert_allclose(found["a surplus of left cells"].p_unmatched, p_unmatched, atol=1e-4)
    confidence = [0.492751, 0.444589, 0.712954, 0.417945, 0.444366]
    np.testing.assert_allclose(found["a surplus of left cells"].confidence, confidence, atol=1e-4)
    u, v = unmatched_probability(SIMILARITY, 0.1)
    np.testing.assert_allclose(u, [0.150878, 0.419056, 0.210951, 0.249866, 0.231888], atol=1e-4)
    np.testing.assert_allclose(v, [0.081891, 0.059077, 0.090133, 0.031606], atol=1e-4)


def test_the_potentials_and_log_marginals_from_before_are_reproduced():
    anchors = Anchors.fit(SIMILARITY.left, SIMILARITY.right, 3.0)
    wanted = [
        [-0.823033, -1.228558, -0.782399, -2.036879],
        [0.610416, 0.204891, 0.65105, -0.60343],
        [-0.554817, -0.960343, -0.514183, -1.768663],
        [-0.284603, -0.690129, -0.243969, -1.49845],
        [-0.385582, -0.791108, -0.344948, -1.599429],
    ]
    np.testing.assert_allclose(anchors.left_potential[:, None] + anchors.right_potential, wanted, atol=1e-3)
    square = Similarity(SIMILARITY.left[:4], SIMILARITY.right, 3.0)
    log_marginals = [
        [-1.864959, -1.897365, -1.285016, -0.871107],
        [-2.489562, -1.742819, -1.545903, -0.636941],
        [-0.283673, -2.612385, -2.054152, -3.091659],
        [-4.679081, -0.508272, -0.962389, -4.933802],
    ]
    found = sinkhorn(MatchingProblem.one_to_one(square.log_ratio())).probabilities.toarray()
    np.testing.assert_allclose(np.log(found), log_marginals, atol=1e-3)


def test_rows_and_columns_sum_to_one_for_equal_sizes():
    found = sinkhorn(MatchingProblem.one_to_one(log_ratio_of(19, 19, 2.0)), **EXACT)
    np.testing.assert_allclose(found.probabilities.sum(axis=0), 1.0, atol=1e-9)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-12)
    assert (found.p_unmatched == 0).all()


def test_surplus_of_left_cells_is_the_expected_number_without_partner():
    found = sinkhorn(MatchingProblem.one_to_one(log_ratio_of(23, 14, 1.5)), **EXACT)
    assert found.p_unmatched.sum() == pytest.approx(9, abs=1e-8)
    joint = found.probabilities.multiply(1 - found.p_unmatched[:, None])
    np.testing.assert_allclose(joint.sum(axis=0), 1.0, atol=1e-8)


def test_surplus_of_right_cells_leaves_no_left_cell_unmatched_and_no_column_above_one():
    found = sinkhorn(MatchingProblem.one_to_one(log_ratio_of(14, 23, 1.5)), **EXACT)
    assert (found.p_unmatched == 0).all()
    assert found.probabilities.sum(axis=0).max() < 1


def test_swapping_sides_transposes():
    log_ratio = log_ratio_of(16, 16, 3.0)
    one, other = (
        sinkhorn(MatchingProblem.one_to_one(values), **EXACT).probabilities.toarray()
        for values in (log_ratio, log_ratio.T.copy())
    )
    np.testing.assert_allclose(one, other.T, atol=1e-8)
    assert np.abs(one - other).max() > 0.1


def test_a_constant_for_a_row_or_column_changes_nothing_for_equal_sizes():
    log_ratio, rng = log_ratio_of(12, 12, 2.0), np.random.default_rng(3)
    moved = log_ratio + 2 * rng.normal(size=(12, 1)) + 2 * rng.normal(size=12)
    one, other = (sinkhorn(MatchingProblem.one_to_one(values), **EXACT) for values in (log_ratio, moved))
    np.testing.assert_allclose(one.probabilities.toarray(), other.probabilities.toarray(), atol=1e-8)


def test_one_log_ratio_for_all_means_no_preference():
    found = sinkhorn(MatchingProblem.one_to_one(np.full((6, 4), 10.0)))
    np.testing.assert_allclose(found.probabilities.toarray(), 0.25)
    np.testing.assert_allclose(found.p_unmatched, 1 / 3, atol=1e-4)


def test_graph_without_a_perfect_matching_still_has_rows_that_sum_to_one():
    graph = sparse.csr_matrix(np.array([[2.0, 0.0, 0.0], [4.0, 0.0, 0.0], [2.0, 2.0, 6.0]]))
    found = sinkhorn(MatchingProblem.one_to_one(graph))
    assert np.isfinite(found.probabilities.data).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)


@pytest.mark.parametrize(("n_left", "n_right"), [(30, 30), (34, 29), (29, 34)])
@pytest.mark.parametrize("beta", [1e-6, 1e4])
def test_extreme_temperatures_stay_finite(n_left, n_right, beta):
    rng = np.random.default_rng(5)
    left = rng.normal(size=(n_left, 3)).astype(np.float32)
    right = rng.normal(size=(n_right, 3)).astype(np.float32)
    for log_ratio in (beta * nearest(left, right, 4), beta * (left @ right.T).astype(np.float64)):
        found = sinkhorn(MatchingProblem.one_to_one(log_ratio))
        assert np.isfinite(found.probabilities.data).all()
        assert np.isfinite(found.p_unmatched).all()


def test_a_row_without_candidates_is_refused():
    with pytest.raises(ValueError, match="1 of 2 left cells have no candidate"):
        MatchingProblem.one_to_one(sparse.csr_matrix(np.array([[1.0, 2.0], [0.0, 0.0]])))


def test_masses_of_other_cells_are_refused():
    with pytest.raises(ValueError, match=r"3 left and 7 right masses for log ratios \(3, 5\)"):
        MatchingProblem(sparse.csr_matrix(np.ones((3, 5))), np.ones(3), np.ones(7))
