"""Mean, ridge, neighbours and kernel ridge equal their formulas and scikit-learn's, on codes made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor

import unisono as un
from unisono_bench.baselines import kernel, regression
from unisono_bench.baselines.kernel import (
    kernel_ridge,
    per_cell,
    random_halves,
    scaled_per_cell,
    scaled_per_component,
)
from unisono_bench.baselines.regression import ALPHAS, Mean, Target, clipped, fit_ridge, nearest, target_space

N_CELLS, N_CODES, N_FEATURES = 37, 5, 11


def codes(n_cells=N_CELLS, seed=0):
    return np.random.default_rng([seed, 1]).normal(size=(n_cells, N_CODES)).astype(np.float32)


def target(x, modality="rna", batch=None, n_features=N_FEATURES):
    """Counts whose rate depends on the codes, in the same cells."""
    rng = np.random.default_rng(2)
    rate = np.exp(0.5 * x @ rng.normal(size=(N_CODES, n_features)) + 1.0)
    names = np.array([f"c{i}" for i in range(len(x))])
    features = np.array([f"f{j}" for j in range(n_features)])
    batch = np.full(len(x), "all") if batch is None else batch
    return un.View(modality, sparse.csr_matrix(rng.poisson(rate).astype(np.int32)), names, features, batch)


def values_of(view):
    return un.preprocessing.on_scale(view).toarray().astype(np.float64)


def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
def test_the_mean_predictor_gives_every_cell_the_training_mean_on_the_targets_scale(modality):
    some = target(codes(), modality)
    source = replace(target(codes(13, 1), "adt" if modality != "adt" else "rna"))
    found = Mean().fit(un.Cells({modality: some}), 0).predict(source, modality)
    np.testing.assert_allclose(found, np.tile(values_of(some).mean(axis=0), (13, 1)), rtol=1e-5)


def test_the_mean_predictor_correlates_with_nothing():
    fitted = Mean().fit(un.Cells({"rna": target(codes())}), 0)
    found = fitted.predict(target(codes(13, 1), "adt"), "rna")
    np.testing.assert_array_equal(np.ptp(found, axis=0), 0.0)


def test_the_mean_predictor_predicts_neither_the_source_nor_what_it_has_not_seen():
    fitted = Mean().fit(un.Cells({"rna": target(codes())}), 0)
    assert fitted.predict(target(codes(13, 1), "rna"), "rna") is None
    assert fitted.predict(target(codes(13, 1), "rna"), "adt") is None


def test_a_target_of_few_features_is_regressed_on_as_it_is():
    some = target(codes())
    y, space = target_space(Target.of(some), 11, rng())
    np.testing.assert_allclose(y, values_of(some) - values_of(some).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(space.values(y), values_of(some), atol=1e-5)


def test_a_target_of_many_features_is_its_nearest_of_low_rank():
    some = target(codes())
    y, space = target_space(Target.of(some), 3, rng())
    centred = values_of(some) - values_of(some).mean(axis=0)
    s = np.linalg.svd(centred, compute_uv=False)
    best = np.sqrt((s[3:] ** 2).sum())
    assert y.shape == (37, 3)
    found = np.linalg.norm(space.values(y) - values_of(some))
    assert (1 - 1e-6) * best < found < 1.01 * best


def test_components_at_zero_are_the_training_mean():
    some = target(codes())
    for n_components in (3, None):
        y, space = target_space(Target.of(some), n_components, rng())
        np.testing.assert_allclose(space.values(np.zeros_like(y))[0], values_of(some).mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(("modality", "wanted"), [("rna", [0, 0.5, 3]), ("adt", [0, 0.5, 3]), ("atac", [0, 0.5, 1])])
def test_values_are_clipped_to_the_range_of_the_scale(modality, wanted):
    found = clipped(np.array([[-2.0, 0.5, 3.0]], dtype=np.float32), modality)
    np.testing.assert_allclose(found, [wanted])


def leave_one_out_error(x, y, alpha):
    cells = np.arange(len(x))
    errors = [Ridge(alpha=alpha).fit(x[cells != i], y[cells != i]).predict(x[[i]])[0] - y[i] for i in cells]
    return np.mean(np.square(errors))


def test_ridge_is_that_of_sklearn_on_the_codes_with_the_penalty_of_least_leave_one_out_error():
    x, new = codes(), codes(13, 1)
    some = target(x)
    x64, y = x.astype(np.float64), values_of(some)
    alpha = min(ALPHAS, key=lambda alpha: leave_one_out_error(x64, y, alpha))
    assert ALPHAS[0] < alpha < ALPHAS[-1]
    wanted = Ridge(alpha=alpha).fit(x64, y).predict(new)
    np.testing.assert_allclose(fit_ridge(x, Target.of(some), rng())(new), wanted, atol=1e-4)


def test_ridge_of_many_features_goes_through_their_svd(monkeypatch):
    x, new, some = codes(), codes(13, 1), target(codes())
    directly = fit_ridge(x, Target.of(some), rng())(new)
    monkeypatch.setattr(regression, "_MANY_FEATURES", 10)
    np.testing.assert_allclose(fit_ridge(x, Target.of(some), rng())(new), directly, atol=1e-4)
    monkeypatch.setattr(regression, "_N_COMPONENTS", 2)
    found = fit_ridge(x, Target.of(some), rng())(new)
    assert np.linalg.matrix_rank(found - values_of(some).mean(axis=0), tol=1e-3) == 2
    assert np.linalg.matrix_rank(directly - values_of(some).mean(axis=0), tol=1e-3) == 5


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
def test_the_one_nearest_neighbour_of_a_training_cell_is_itself(modality):
    x = codes()
    some = target(x, modality)
    found = nearest(1)(x, Target.of(some), rng())(x[[4, 30, 9]])
    np.testing.assert_allclose(found, values_of(some)[[4, 30, 9]], atol=1e-6)


def test_neighbours_are_those_of_sklearn():
    x, new = codes(), codes(13, 1)
    some = target(x)
    wanted = KNeighborsRegressor(7).fit(x, values_of(some)).predict(new)
    np.testing.assert_allclose(nearest(7)(x, Target.of(some), rng())(new), wanted, rtol=1e-5, atol=1e-6)


def test_more_neighbours_than_cells_is_the_mean_of_all():
    x = codes()
    found = nearest(100)(x, Target.of(target(x)), rng())(codes(13, 1))
    np.testing.assert_allclose(found, np.tile(values_of(target(x)).mean(axis=0), (13, 1)), rtol=1e-5)


def test_a_cell_scaled_on_its_own_has_mean_0_and_deviation_1_and_a_constant_one_is_0():
    x = codes()
    x[3] = 2.5
    found = per_cell(x)
    np.testing.assert_array_equal(found[3], 0.0)
    rest = np.delete(found, 3, axis=0)
    np.testing.assert_allclose(rest.mean(axis=1), 0.0, atol=1e-7)
    np.testing.assert_allclose(rest.std(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(per_cell(3.0 * x + 1.0), found, atol=1e-5)


def test_components_are_scaled_as_in_training_whatever_is_asked():
    x = codes() * np.array([1, 2, 3, 5, 7], dtype=np.float32)
    scale = scaled_per_component(x)
    np.testing.assert_allclose(scale(x).std(axis=0), 1.0, rtol=1e-5)
    new = codes(13, 1)
    np.testing.assert_allclose(scale(new), (new - x.mean(axis=0)) / x.std(axis=0), atol=1e-5)


def test_halves_are_a_partition_of_the_cells_where_there_is_one_batch():
    one, other = random_halves(np.full(37, "b1"), rng())
    assert (len(one), len(other)) == (18, 19)
    np.testing.assert_array_equal(np.sort(np.concatenate([one, other])), np.arange(37))


def test_halves_are_of_whole_batches_where_there_are_several():
    batch = np.array([f"b{i % 5}" for i in range(37)])
    one, other = random_halves(batch, rng())
    np.testing.assert_array_equal(np.sort(np.concatenate([one, other])), np.arange(37))
    assert (len(set(batch[one])), len(set(batch[other]))) == (2, 3)
    assert not set(batch[one]) & set(batch[other])


def test_halves_differ_from_draw_to_draw():
    generator = rng()
    draws = {tuple(random_halves(np.full(37, "b1"), generator)[0].tolist()) for _ in range(5)}
    assert len(draws) == 5


def by_hand(x, y, new, halves, alpha=0.2, length_scale=10.0):
    """The mean over fits of k(new, x) (K + alpha I)⁻¹ (y − ȳ), plus ȳ."""
    k = np.exp(-cdist(x, x, "sqeuclidean") / (2 * length_scale**2))
    k_new = np.exp(-cdist(new, x, "sqeuclidean") / (2 * length_scale**2))
    mean = y.mean(axis=0)
    fits = [
        k_new[:, rows] @ np.linalg.solve(k[np.ix_(rows, rows)] + alpha * np.eye(len(rows)), y[rows] - mean)
        for rows in halves
    ]
    return np.mean(fits, axis=0) + mean


@pytest.mark.parametrize("batch", [np.full(N_CELLS, "b1"), np.array([f"b{i % 5}" for i in range(N_CELLS)])])
def test_kernel_ridge_is_the_mean_of_ten_fits_on_halves(batch):
    x, new = 9 * codes(), 9 * codes(13, 1)
    some = target(codes(), batch=batch)
    found = kernel_ridge(scaled_per_cell)(x, Target.of(some), rng())(new)
    generator = rng()
    halves = [half for _ in range(5) for half in random_halves(batch, generator)]
    wanted = by_hand(per_cell(x), values_of(some), per_cell(new), halves)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_kernel_ridge_on_one_division_is_that_of_sklearn():
    x, new = codes(), codes(13, 1)
    some = target(x)
    found = kernel_ridge(scaled_per_component, n_repeats=1)(x, Target.of(some), rng())(new)
    scale, y = scaled_per_component(x), values_of(some)
    models = [
        KernelRidge(alpha=0.2, kernel="rbf", gamma=1 / 200).fit(scale(x[half]), y[half] - y.mean(axis=0))
        for half in random_halves(some.batch, rng())
    ]
    wanted = np.mean([model.predict(scale(new)) for model in models], axis=0) + y.mean(axis=0)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_kernel_ridge_far_from_all_training_cells_is_the_training_mean():
    x = codes()
    found = kernel_ridge(scaled_per_component)(x, Target.of(target(x)), rng())(codes(13, 1) + np.float32(1e4))
    np.testing.assert_allclose(found, np.tile(values_of(target(x)).mean(axis=0), (13, 1)), rtol=1e-5)


def test_kernel_ridge_of_many_features_goes_through_their_svd(monkeypatch):
    monkeypatch.setattr(kernel, "N_COMPONENTS", 2)
    x = codes()
    found = kernel_ridge(scaled_per_cell)(x, Target.of(target(x)), rng())(codes(13, 1))
    assert np.linalg.matrix_rank(found - values_of(target(x)).mean(axis=0), tol=1e-3) == 2


def test_no_kernel_ridge_fit_sees_more_cells_than_allowed():
    machine = kernel_ridge(scaled_per_cell, n_repeats=1, max_cells=7)(codes(), Target.of(target(codes())), rng())
    assert (np.abs(machine.weights).sum(axis=1) > 0).sum() == 14


def test_kernel_ridge_is_the_same_a_few_rows_at_a_time(monkeypatch):
    machine = kernel_ridge(scaled_per_cell)(codes(), Target.of(target(codes())), rng())
    at_once = machine(codes(13, 1))
    monkeypatch.setattr(kernel, "_ROWS_AT_A_TIME", 5)
    np.testing.assert_allclose(machine(codes(13, 1)), at_once, atol=1e-6)


def test_what_kernel_ridge_adds_to_ridge_is_what_no_line_follows():
    x = codes(331)
    x[:, 1:] = 0.0
    counts = np.column_stack([np.full(331, 3), np.round(9 * x[:, 0] ** 2)]).astype(np.int32)
    some = replace(target(x, "adt", n_features=2), counts=sparse.csr_matrix(counts))
    truth = values_of(some)[:, 1]

    def correlation(found):
        return np.corrcoef(found[:, 1], truth)[0, 1]

    assert correlation(kernel_ridge(scaled_per_component)(3 * x, Target.of(some), rng())(3 * x)) > 0.8
    assert abs(correlation(fit_ridge(x, Target.of(some), rng())(x))) < 0.3
