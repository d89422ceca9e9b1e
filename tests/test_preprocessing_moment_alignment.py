"""Tests of the shared space: modalities come to one mean and covariance, and inner products rank as similarity does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import sqrtm

from unisono.config import EmbeddingConfig
from unisono.preprocessing import moment_alignment
from unisono.preprocessing.moment_alignment import between

N, DIM = 1013, 5


def covariance(seed):
    root = np.random.default_rng(seed).normal(size=(DIM, DIM + 3))
    return root @ root.T / DIM + 0.1 * np.eye(DIM)


def vectors(*names):
    """The same cells in several modalities of other spreads and places, of about unit length."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(N, DIM)) * [2.0, 1.5, 1.0, 0.7, 0.5]
    found = {
        "rna": shared + 0.2 * rng.normal(size=(N, DIM)) + 3.0,
        "atac": 0.5 * shared + 0.2 * rng.normal(size=(N, DIM)) - [1.0, 0.0, 2.0, 0.0, 0.0],
        "adt": 0.8 * shared[:, ::-1] + 0.1 * rng.normal(size=(N, DIM)) + 1.0,
    }
    return {m: (found[m] / 5).astype(np.float32) for m in names or ("atac", "rna")}


def potentials(parts):
    """Hubs lowered, with a mean of its own in each modality."""
    return {m: 0.1 * np.tanh(x[:, 0].astype(float)) - 0.05 * i for i, (m, x) in enumerate(parts.items())}


def similarity(parts, added, a, b):
    return parts[a].astype(float) @ parts[b].T + added[a][:, None] + added[b]


def fit_moment_alignment(parts, added):
    return moment_alignment.fit_moment_alignment(parts, added, EmbeddingConfig())


def both(alignment, parts, added):
    return {m: alignment[m].apply(parts[m], added[m]).astype(float) for m in parts}


def test_the_map_between_covariances_reaches_its_goal_and_is_symmetric():
    start, goal = covariance(1), covariance(2)
    found = between(start, goal)
    np.testing.assert_allclose(found @ start @ found, goal, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, found.T, atol=1e-9)
    assert np.linalg.eigvalsh(found).min() > 0
    np.testing.assert_allclose(between(start, start), np.eye(DIM), atol=1e-9)
    np.testing.assert_allclose(between(np.eye(DIM), goal), np.real(sqrtm(goal)), atol=1e-9)


@pytest.mark.parametrize("names", [("atac", "rna"), ("atac", "rna", "adt")])
def test_aligned_modalities_have_one_mean_and_nearly_one_covariance(names):
    parts = vectors(*names)
    added = potentials(parts)
    alignment = fit_moment_alignment(parts, added)
    aligned = {m: alignment[m].aligned(x, added[m]) for m, x in parts.items()}
    common = np.mean([x.mean(axis=0) for x in parts.values()], axis=0)
    for m in names:
        np.testing.assert_allclose(aligned[m].mean(axis=0), np.append(common, 1.0), atol=1e-5)
    content = {m: x[:, :-1] for m, x in aligned.items()}
    before, after = (np.log(np.diag(np.cov(x["rna"].T) / np.cov(x["atac"].T))) for x in (parts, content))
    assert before.min() > 0.95
    assert np.abs(after).max() < 0.4 * before.min()


def test_the_maps_of_two_modalities_are_each_others_inverse_and_those_of_three_multiply_to_1():
    gains = {m: one.matrix[:DIM, :DIM] for m, one in fit_moment_alignment(*given("atac", "rna")).items()}
    np.testing.assert_allclose(gains["atac"] @ gains["rna"], np.eye(DIM), atol=1e-4)
    assert np.abs(gains["rna"] - np.eye(DIM)).max() > 0.1
    three = [one.matrix[:DIM, :DIM] for one in fit_moment_alignment(*given("atac", "rna", "adt")).values()]
    assert sum(np.linalg.slogdet(gain)[1] for gain in three) == pytest.approx(0.0, abs=1e-4)


def given(*names):
    parts = vectors(*names)
    return parts, potentials(parts)


def test_inner_products_are_the_similarity_but_for_a_constant_and_the_product_of_potentials():
    parts, added = given()
    alignment = fit_moment_alignment(parts, added)
    alignment = {m: replace(one, length=10.0) for m, one in alignment.items()}  # no vector is longer
    found = both(alignment, parts, added)
    z = {m: alignment[m].aligned(parts[m], added[m])[:, -1] - 1.0 for m in parts}
    wanted = similarity(parts, added, "atac", "rna") + z["atac"][:, None] * z["rna"]
    difference = 100.0 * found["atac"] @ found["rna"].T - wanted
    np.testing.assert_allclose(difference, difference.mean(), atol=2e-3)
    assert wanted.std() > 0.05


def test_vectors_have_unit_length_and_rank_as_the_similarity():
    parts, added = given()
    found = both(fit_moment_alignment(parts, added), parts, added)
    for vectors_of in found.values():
        np.testing.assert_allclose(np.linalg.norm(vectors_of, axis=1), 1.0, rtol=1e-5)
    inner, wanted = found["atac"] @ found["rna"].T, similarity(parts, added, "atac", "rna")
    rows = np.arange(0, N, 31)
    rank = [np.corrcoef(inner[i].argsort().argsort(), wanted[i].argsort().argsort())[0, 1] for i in rows]
    assert np.median(rank) > 0.97


def test_own_directions_say_nothing_of_cells_of_other_modalities_and_little_of_each_other():
    parts, added = given("atac", "rna", "adt")
    alignment = {m: replace(one, length=4.0) for m, one in fit_moment_alignment(parts, added).items()}
    own = {m: alignment[m].apply(parts[m], added[m])[:, DIM + 1 :].astype(float) for m in parts}
    assert np.abs(own["atac"] @ own["rna"].T).max() == 0
    unit = own["rna"] / np.linalg.norm(own["rna"], axis=1, keepdims=True)
    products = (unit @ unit.T)[np.triu_indices(N, 1)]
    assert np.linalg.norm(own["rna"], axis=1).min() > 0.5
    assert np.abs(products).mean() < 0.2
    np.testing.assert_allclose(own["rna"].mean(axis=0), 0.0, atol=0.1)


def test_nearly_all_vectors_are_filled_up():
    parts, added = given()
    alignment = fit_moment_alignment(parts, added)
    norms = np.concatenate([np.linalg.norm(alignment[m].aligned(parts[m], added[m]), axis=1) for m in parts])
    assert np.mean(norms - alignment["rna"].length < 1e-6) == pytest.approx(0.95, abs=0.01)
    assert alignment["rna"].length == alignment["atac"].length


def test_a_direction_without_variance_gives_no_infinities():
    parts = {m: x.copy() for m, x in vectors().items()}
    parts["rna"][:, 3], parts["atac"][:, 3] = 0.25, 0.25
    added = potentials(parts)
    for m, alignment in fit_moment_alignment(parts, added).items():
        found = alignment.aligned(parts[m], added[m])
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:, 3], 0.25, atol=1e-3)


def test_modalities_that_agree_are_left_alone():
    parts = vectors()
    same = {"rna": parts["rna"], "adt": parts["rna"]}
    for alignment in fit_moment_alignment(same, potentials(same)).values():
        np.testing.assert_allclose(alignment.matrix[:DIM, :DIM], np.eye(DIM), atol=1e-5)
        np.testing.assert_allclose(alignment.centre[:DIM], alignment.common[:DIM])


def test_a_vector_is_aligned_alone_as_among_others():
    parts, added = given()
    alignment = fit_moment_alignment(parts, added)["atac"]
    alone = alignment.apply(parts["atac"][7:9], added["atac"][7:9])
    np.testing.assert_allclose(alone, alignment.apply(parts["atac"], added["atac"])[7:9], rtol=1e-4, atol=1e-5)


def test_other_cells_in_another_modality_are_refused():
    parts, added = given()
    with pytest.raises(ValueError, match="expected vectors of the same cells"):
        fit_moment_alignment({"rna": parts["rna"], "atac": parts["atac"][1:]}, added)
