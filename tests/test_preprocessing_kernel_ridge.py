"""Kernel ridge is scikit-learn's on z-scored codes, and few landmarks come close to all."""

import numpy as np
import pytest

from unisono.config import KernelConfig
from unisono.preprocessing import kernel_ridge
from unisono.preprocessing.kernel_ridge import KernelRidge


def codes(n_cells, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_cells, 7)).astype(np.float32)
    y = np.column_stack([np.tanh(x[:, 0] * x[:, 1]), x[:, 2], np.ones(n_cells)]).astype(np.float32)
    return x, y


def rng():
    return np.random.default_rng(3)


def one_choice(sharpness, ridge):
    return KernelConfig(sharpnesses=(sharpness,), ridges=(ridge,))


@pytest.mark.parametrize(("sharpness", "ridge"), [(1.0, 1.0), (2.0, 0.3), (0.5, 3.0)])
def test_it_is_ridge_on_a_gaussian_kernel_of_codes_z_scored_per_cell(sharpness, ridge):
    oracle = pytest.importorskip("sklearn.kernel_ridge")
    x, y = codes(83)
    z = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    ridge_of = oracle.KernelRidge(alpha=ridge, kernel="rbf", gamma=sharpness / (2 * 7))
    wanted = ridge_of.fit(z[:60], y[:60] - y[:60].mean(0)).predict(z[60:]) + y[:60].mean(axis=0)
    found = KernelRidge.fit(x[:60], y[:60], one_choice(sharpness, ridge), rng()).predict(x[60:])
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_length_and_penalty_are_those_of_the_least_error_when_each_cell_is_left_out():
    x, y = codes(40)
    choices = [(sharpness, ridge) for sharpness in (0.5, 2.0, 8.0) for ridge in (0.1, 1.0, 10.0)]
    errors = []
    for choice in choices:
        error = 0.0
        for left_out in range(40):
            rest = np.arange(40) != left_out
            centred = y[rest] - y.mean(axis=0)  # the mean is that of all cells, as in closed form
            fitted = KernelRidge.fit(x[rest], centred - centred.mean(axis=0), one_choice(*choice), rng())
            error += float(((fitted.predict(x[[left_out]]) - fitted.centre + y.mean(axis=0) - y[left_out]) ** 2).sum())
        errors.append(error)
    config = KernelConfig(sharpnesses=(0.5, 2.0, 8.0), ridges=(0.1, 1.0, 10.0))
    chosen = KernelRidge.fit(x, y, config, rng())
    best = KernelRidge.fit(x, y, one_choice(*choices[int(np.argmin(errors))]), rng())
    assert chosen.sharpness == choices[int(np.argmin(errors))][0]
    np.testing.assert_allclose(chosen.weights, best.weights, atol=1e-5)


def test_the_order_and_the_chunks_of_the_query_change_nothing(monkeypatch):
    x, y = codes(83)
    fitted = KernelRidge.fit(x[:60], y[:60], KernelConfig(), rng())
    whole = fitted.predict(x[60:])
    monkeypatch.setattr(kernel_ridge, "_ROWS_AT_A_TIME", 4)
    np.testing.assert_allclose(fitted.predict(x[60:][::-1])[::-1], whole, atol=1e-6)


def test_half_the_cells_as_landmarks_predict_nearly_as_well_as_all():
    x, y = codes(600)
    error = {}
    for n_landmarks in (500, 250, 5):
        fitted = KernelRidge.fit(x[:500], y[:500], KernelConfig(n_landmarks=n_landmarks), rng())
        assert len(fitted.landmarks) == n_landmarks
        error[n_landmarks] = float(((fitted.predict(x[500:]) - y[500:]) ** 2).mean())
    assert error[250] < 1.15 * error[500]
    assert error[5] > 1.5 * error[500]


def test_what_is_constant_stays_constant_and_a_cell_without_signal_is_no_accident():
    x, y = codes(60)
    fitted = KernelRidge.fit(x, y, KernelConfig(), rng())
    found = fitted.predict(np.zeros((2, 7), dtype=np.float32))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(fitted.predict(x)[:, 2], 1.0, atol=1e-5)


def test_the_mean_jacobian_is_that_of_finite_differences_whatever_the_chunks(monkeypatch):
    x, y = codes(83)
    fitted = KernelRidge.fit(x[:60], y[:60], KernelConfig(), rng())
    query, step = x[60:], 1e-2
    wanted = np.empty((3, 7))
    for d in range(7):
        shift = step * np.eye(7, dtype=np.float32)[d]
        gap = fitted.predict(query + shift).astype(np.float64) - fitted.predict(query - shift)
        wanted[:, d] = gap.mean(axis=0) / (2 * step)
    np.testing.assert_allclose(fitted.mean_jacobian(query), wanted, atol=2e-3)
    assert np.abs(wanted[0]).max() > 0.01
    whole = fitted.mean_jacobian(query)
    monkeypatch.setattr(kernel_ridge, "_ROWS_AT_A_TIME", 4)
    np.testing.assert_allclose(fitted.mean_jacobian(query), whole, atol=1e-6)
