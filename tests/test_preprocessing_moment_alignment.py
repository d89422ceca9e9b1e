"""Tests of tuning: modalities come to one mean and covariance, by the map that moves least, and nobody loses cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from unisono.preprocessing.moment_alignment import between, fit_moment_alignment

N, DIM = 1013, 5


def covariance(seed):
    root = np.random.default_rng(seed).normal(size=(DIM, DIM + 3))
    return root @ root.T / DIM + 0.1 * np.eye(DIM)


def vectors():
    """The same cells in two modalities, one with half the spread and all moved aside."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(N, DIM)) * [2.0, 1.5, 1.0, 0.7, 0.5]
    rna = shared + 0.2 * rng.normal(size=(N, DIM)) + 3.0
    atac = 0.5 * shared + 0.2 * rng.normal(size=(N, DIM)) - [1.0, 0.0, 2.0, 0.0, 0.0]
    return {"atac": atac.astype(np.float32), "rna": rna.astype(np.float32)}


def untied(moment_alignment, x):
    """Tuned without being brought to unit length."""
    return (x - moment_alignment.centre) @ moment_alignment.matrix + moment_alignment.common


def test_the_map_between_covariances_reaches_its_goal_and_is_symmetric():
    start, goal = covariance(1), covariance(2)
    found = between(start, goal).astype(np.float64)
    np.testing.assert_allclose(found @ start @ found, goal, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, found.T, atol=1e-5)
    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(between(start, start), np.eye(DIM), atol=1e-5)
    np.testing.assert_allclose(between(np.eye(DIM), goal), np.real(sqrtm(goal)), atol=1e-5)


def test_tuned_modalities_have_one_mean_and_nearly_one_covariance():
    parts = vectors()
    moment_alignment = fit_moment_alignment(parts, 0.1)
    tuned = {m: untied(moment_alignment[m], x.astype(np.float64)) for m, x in parts.items()}
    np.testing.assert_allclose(tuned["rna"].mean(axis=0), tuned["atac"].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(tuned["rna"].mean(axis=0), (parts["rna"].mean(0) + parts["atac"].mean(0)) / 2, atol=1e-4)
    before, after = (np.log(np.diag(np.cov(x["rna"].T) / np.cov(x["atac"].T))) for x in (parts, tuned))
    assert before.min() > 0.95
    assert after[0] == pytest.approx(0.0, abs=0.1)
    assert (after < 0.4 * before).all()


def test_tuned_vectors_have_unit_length_and_partners_lie_together():
    parts = vectors()
    moment_alignment = fit_moment_alignment(parts, 0.1)
    rna, atac = (moment_alignment[m].apply(parts[m]) for m in ("rna", "atac"))
    np.testing.assert_allclose(np.linalg.norm(rna, axis=1), 1.0, rtol=1e-5)
    partner, other = (rna * atac).sum(axis=1), (rna * np.roll(atac, 1, axis=0)).sum(axis=1)
    assert np.mean(partner > other) > 0.97


def test_a_direction_without_variance_gives_no_infinities():
    parts = {m: x.copy() for m, x in vectors().items()}
    parts["rna"][:, 3], parts["atac"][:, 3] = 0.25, 0.25
    for m, moment_alignment in fit_moment_alignment(parts, 0.1).items():
        found = untied(moment_alignment, parts[m])
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:, 3], 0.25, atol=1e-3)


def test_modalities_that_agree_are_left_alone():
    parts = vectors()
    for moment_alignment in fit_moment_alignment({"rna": parts["rna"], "adt": parts["rna"]}, 0.1).values():
        np.testing.assert_allclose(moment_alignment.matrix, np.eye(DIM), atol=1e-5)
        np.testing.assert_allclose(moment_alignment.centre, moment_alignment.common)


def test_a_vector_is_tuned_alone_as_among_others():
    parts = vectors()
    moment_alignment = fit_moment_alignment(parts, 0.1)["atac"]
    np.testing.assert_allclose(
        moment_alignment.apply(parts["atac"][7:9]), moment_alignment.apply(parts["atac"])[7:9], rtol=1e-4
    )


def test_other_cells_in_another_modality_are_refused():
    parts = vectors()
    with pytest.raises(ValueError, match="vectors of the same cells were wanted"):
        fit_moment_alignment({"rna": parts["rna"], "atac": parts["atac"][1:]}, 0.1)
