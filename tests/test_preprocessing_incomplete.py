"""Sizes and codes of cells in which not all features were measured: closed forms, and identities where all were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from training_fixtures import simulated, small_config

from unisono.preprocessing.incomplete import Completion, fractions, imputed, noise_to_signal, shares
from unisono.preprocessing.projection import Projection, on_scale
from unisono.preprocessing.svd import truncated_svd
from unisono.types import MeasuredFeatures, View

RNG = np.random.default_rng(0)


def half(n_cells=31, n_features=11, lacked=(1, 4, 8)):
    """Features measured by all cells but every second one, which lacks some."""
    batch = np.where(np.arange(n_cells) % 2 == 1, "odd", "even")
    mask = np.isin(np.arange(n_features), lacked)
    return MeasuredFeatures.of_batches({"odd": mask}, batch, n_features), batch, mask


def view_without(view: View, batch: str, mask) -> View:
    dense = view.counts.toarray()
    dense[np.ix_(view.batch == batch, mask)] = 0
    return replace(view, counts=sparse.csr_matrix(dense), unmeasured={batch: mask})


def test_fractions_are_those_of_the_whole_matrix_where_cells_differ_in_size_alone():
    measured, _, mask = half()
    size, profile = RNG.uniform(1.0, 9.0, 31), RNG.uniform(0.5, 3.0, 11)
    terms = np.outer(size, profile)
    terms[1::2][:, mask] = 0.0
    found = fractions(sparse.csr_matrix(terms), measured)
    np.testing.assert_allclose(found, profile / profile.sum(), rtol=1e-6)
    np.testing.assert_allclose(terms.sum(axis=1) / shares(found, measured), size * profile.sum(), rtol=1e-6)


def test_the_share_of_a_cell_in_which_all_was_measured_is_one_exactly():
    measured, _, _ = half()
    share = shares(fractions(sparse.csr_matrix(RNG.poisson(3.0, (31, 11))), measured), measured)
    assert (share[::2] == 1.0).all()
    assert (share[1::2] < 0.9).all()


def test_codes_are_the_expectation_under_factor_analysis():
    """By the conditional mean of a Gaussian of covariance B diag(1/N) Bᵀ + 1 and mean B m."""
    basis = np.linalg.qr(RNG.normal(size=(11, 3)))[0].astype(np.float32)
    completion = Completion(basis, np.array([0.05, 0.3, 2.0]), np.array([0.4, -1.0, 0.2], dtype=np.float32))
    _, _, mask = half()
    x, b = RNG.normal(size=(7, 11)), basis.astype(float)
    covariance = b @ np.diag(1.0 / completion.noise) @ b.T + np.eye(11)
    mean = b @ completion.mean
    gain = covariance[np.ix_(mask, ~mask)] @ np.linalg.inv(covariance[np.ix_(~mask, ~mask)])
    filled = x.copy()
    filled[:, mask] = mean[mask] + (x[:, ~mask] - mean[~mask]) @ gain.T
    matrix, shift = completion.codes(~mask)
    np.testing.assert_allclose(x @ matrix + shift, filled @ b, atol=1e-5)
    assert (matrix[mask] == 0).all()


def test_codes_of_complete_cells_are_projected_by_the_basis_itself():
    basis = np.linalg.qr(RNG.normal(size=(11, 3)))[0].astype(np.float32)
    matrix, shift = Completion(basis, np.ones(3), np.ones(3, dtype=np.float32)).codes(np.ones(11, dtype=bool))
    assert matrix is basis
    assert not shift.any()


def test_noise_is_what_codes_leave_and_signal_what_they_hold_beyond_it():
    """With many more cells than features the variance of a code is signal plus noise."""
    found = noise_to_signal(np.array([9.0, 3.0]), 9.0 + 3.0 + 8 * 0.5, n_cells=10**9, n_features=10)
    np.testing.assert_allclose(found, [0.5 / 8.5, 0.5 / 2.5], rtol=1e-3)
    few = noise_to_signal(np.array([9.0, 3.0]), 9.0 + 3.0 + 8 * 0.5, n_cells=5, n_features=10)
    assert (few > found).all()
    assert noise_to_signal(np.array([9.0, 0.4]), 9.4 + 4.0, 100, 10)[1] == pytest.approx(1000.0)


def test_directions_of_a_matrix_with_low_rank_parts_are_those_of_the_dense_one():
    measured, _, mask = half()
    values = RNG.normal(size=(31, 11))
    values[1::2][:, mask] = 0.0
    mean = values.sum(axis=0) / measured.n_cells
    basis = np.linalg.qr(RNG.normal(size=(11, 3)))[0].astype(np.float32)
    completion = Completion(basis, np.array([0.1, 0.5, 1.0]), np.zeros(3, dtype=np.float32))
    csr = sparse.csr_matrix(values.astype(np.float32))
    for given in (None, completion):
        dense = values - mean
        dense[1::2][:, mask] = 0.0
        if given is not None:
            matrix, shift = given.signal(~mask)
            dense[np.ix_(np.arange(31) % 2 == 1, mask)] = ((dense[1::2] @ matrix + shift) @ basis.T)[:, mask]
        added = tuple(imputed(csr, mean, mean, measured, given))
        found = truncated_svd(csr, mean, 3, np.random.default_rng(0), n_passes=6, added=added)
        wanted = np.linalg.svd(dense)[2][:3].T
        np.testing.assert_allclose(np.abs((found * wanted).sum(axis=0)), 1.0, atol=1e-4)


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
def test_a_mask_without_features_changes_nothing(modality):
    view = simulated().views[modality]
    empty = replace(view, unmeasured={"b1": np.zeros(len(view.features), dtype=bool)})
    one, other = (Projection.fit(each, small_config()) for each in (view, empty))
    np.testing.assert_array_equal(one.basis, other.basis)
    np.testing.assert_array_equal(one.loadings, other.loadings)
    np.testing.assert_array_equal(one.codes(one.counts(view)), other.codes(other.counts(empty)))


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
def test_a_fit_with_holes_is_near_the_fit_on_whole_data(modality):
    """In directions and in levels; without the mask lost features have half of theirs."""
    view = simulated(batch_effect=0.0).views[modality]
    mask = np.random.default_rng(5).random(len(view.features)) < 0.3
    holes = view_without(view, "b2", mask)
    whole, found, blind = (
        Projection.fit(each, small_config()) for each in (view, holes, replace(holes, unmeasured={}))
    )

    def level(made):
        return (made.intercept + made.loadings @ made.mean_code)[mask].mean()

    assert level(found) == pytest.approx(level(whole), rel=0.1)
    assert level(blind) < 0.7 * level(whole)
    leading = whole.basis[:, :2].T

    def overlap(made):
        order = [np.flatnonzero(made.selected == s)[0] if s in made.selected else -1 for s in whole.selected]
        rows = np.where(np.array(order)[:, None] >= 0, made.basis[order], 0.0)
        return float(np.linalg.norm(leading @ rows) ** 2 / 2)

    assert overlap(found) > 0.8


@pytest.mark.parametrize("modality", ["rna", "adt"])
def test_values_of_a_batch_with_holes_are_on_the_scale_of_whole_cells(modality):
    view = simulated(batch_effect=0.0).views[modality]
    mask = np.random.default_rng(5).random(len(view.features)) < 0.3
    holes, truth = view_without(view, "b2", mask), on_scale(view).toarray()
    rows = np.ix_(view.batch == "b2", ~mask)
    made = Projection.fit(holes, small_config())
    for found in (on_scale(holes), made.on_scale(holes)):
        assert found.toarray()[rows].mean() == pytest.approx(truth[rows].mean(), rel=0.03)
        np.testing.assert_allclose(found.toarray()[view.batch == "b1"], truth[view.batch == "b1"], rtol=1e-5)
    blind = on_scale(replace(holes, unmeasured={})).toarray()[rows].mean()
    assert abs(blind / truth[rows].mean() - 1) > 0.04


def test_a_feature_that_no_cell_measured_is_as_if_its_column_were_absent():
    view = simulated().views["adt"]
    dense = view.counts.toarray()
    dense[:, 3] = 0
    mask = np.arange(17) == 3
    holes = replace(view, counts=sparse.csr_matrix(dense), unmeasured={"b1": mask, "b2": mask})
    short = replace(view, counts=view.counts[:, ~mask], features=view.features[~mask])
    np.testing.assert_allclose(on_scale(holes).toarray()[:, ~mask], on_scale(short).toarray(), rtol=1e-6)
    made = Projection.fit(view, small_config())
    np.testing.assert_allclose(made.codes(made.counts(holes)), made.codes(made.counts(short)), atol=1e-6)
