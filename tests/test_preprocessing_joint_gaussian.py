"""Codes of cells in which not all was measured are completed by what the other modalities say of them."""

import numpy as np
import pytest

from unisono.config import CompletionConfig, LinearPathConfig
from unisono.preprocessing.joint_gaussian import Incomplete, JointGaussian, PartView, completed
from unisono.preprocessing.linear_path import fit_linear_path
from unisono.types import MeasuredFeatures

CONFIG = CompletionConfig(noise=1e-6, passes=300)
N_MEASURED = 150


def population(n_columns, rng):
    root = rng.normal(size=(n_columns, n_columns)) / np.sqrt(n_columns)
    return root @ root.T + 0.3 * np.eye(n_columns)


def with_holes(n_cells=3000, n_columns=7, n_lacking=3, n_measured=N_MEASURED, seed=0):
    """Gaussian cells, of which only the first few were measured in the last columns."""
    rng = np.random.default_rng(seed)
    covariance = population(n_columns, rng)
    whole = rng.multivariate_normal(np.zeros(n_columns), covariance, size=n_cells)
    rows = np.ones((2, n_columns), dtype=bool)
    rows[1, -n_lacking:] = False
    known = MeasuredFeatures(rows, (np.arange(n_cells) >= n_measured).astype(np.intp))
    return whole, np.where(rows[known.row_of], whole, 0.0), known, covariance


def regression(x, y):
    return np.linalg.lstsq(x, y, rcond=None)[0].T


def test_columns_that_few_cells_measured_are_regressed_on_the_others_over_those_cells():
    """For one pattern of holes the maximum of the likelihood is known: the regression of the cells without them."""
    whole, values, known, _ = with_holes()
    joint = JointGaussian.fit(values, known, [slice(0, 7)], CONFIG)
    few = whole[:N_MEASURED]
    gain, spread = joint.of_unknown(known.rows[1])
    wanted = regression(few[:, :4], few[:, 4:])
    np.testing.assert_allclose(gain, wanted, atol=1e-3)
    left = few[:, 4:] - few[:, :4] @ wanted.T
    np.testing.assert_allclose(spread, left.T @ left / len(few), atol=1e-3)
    np.testing.assert_allclose(joint.covariance[:4, :4], whole[:, :4].T @ whole[:, :4] / len(whole), atol=1e-9)


def test_the_covariance_of_columns_never_measured_together_follows_from_what_both_share():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(20_000, 1))
    whole = np.hstack([shared, shared, shared]) + 0.5 * rng.normal(size=(20_000, 3))
    rows = np.array([[True, True, False], [True, False, True]])
    known = MeasuredFeatures(rows, np.arange(20_000) % 2)
    joint = JointGaussian.fit(whole * rows[known.row_of], known, [slice(0, 3)], CONFIG)
    by_the_first = 1.0 / 1.25  # what is left beside it, no cell tells: a little of the start, 0, remains
    assert joint.covariance[1, 2] == pytest.approx(by_the_first, abs=0.08)


def test_complete_values_have_their_own_covariance_after_one_pass():
    whole, *_ = with_holes()
    known = MeasuredFeatures(np.ones((1, 7), dtype=bool), np.zeros(len(whole), dtype=np.intp))
    joint = JointGaussian.fit(whole, known, [slice(0, 7)], CONFIG)
    np.testing.assert_allclose(joint.covariance, whole.T @ whole / len(whole), atol=1e-12)


def two_modalities(n_cells=4000, n_measured=400, seed=1):
    """Codes of RNA; proteins, the last two of which few cells measured, and which RNA alone tells."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_cells, 6))
    shown = np.array([[0.9, 0, 0, 0, 0, 0], [0, 0.9, 0, 0, 0, 0], [0, 0, 0.9, 0, 0, 0], [0, 0, 0, 0.9, 0, 0]]).T
    y = x @ shown + np.sqrt(1 - 0.81) * rng.normal(size=(n_cells, 4))
    rows = np.array([[True] * 4, [True, True, False, False]])
    measured = MeasuredFeatures(rows, (np.arange(n_cells) >= n_measured).astype(np.intp))
    to_codes = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    part = PartView(y * rows[measured.row_of], measured, to_codes)
    codes = {"rna": x, "adt": part.values @ to_codes}
    return codes, {m: np.ones(n_cells, dtype=bool) for m in codes}, part, y @ to_codes


def test_completed_codes_are_what_the_other_modality_says_and_measured_ones_stay():
    codes, has, part, truth = two_modalities()
    whole = completed(codes, has, Incomplete({"adt": part}, CONFIG))
    assert whole.codes["rna"] == pytest.approx(codes["rna"])
    np.testing.assert_allclose(whole.codes["adt"][:400], truth[:400], atol=1e-12)
    lost = part.to_codes[2:]
    found, wanted = whole.codes["adt"][400:] @ lost.T, truth[400:] @ lost.T
    assert [np.corrcoef(found[:, i], wanted[:, i])[0, 1] for i in range(2)] == pytest.approx([0.9, 0.9], abs=0.02)
    np.testing.assert_allclose(whole.covariance("adt", has), np.cov(truth.T), atol=0.12)


def test_without_holes_nothing_is_completed():
    codes, has, *_ = two_modalities()
    assert completed(codes, has, Incomplete({}, CONFIG)).codes is codes


def test_cells_that_lack_the_modality_are_no_reason_to_forget_what_the_others_measured():
    codes, has, part, truth = two_modalities()
    has["adt"] = np.arange(4000) < 2000
    rows = np.vstack([part.measured.rows, np.zeros((1, 4), dtype=bool)])
    row_of = np.where(has["adt"], part.measured.row_of, 2)
    part = PartView(part.values * has["adt"][:, None], MeasuredFeatures(rows, row_of), part.to_codes)
    whole = completed(codes, has, Incomplete({"adt": part}, CONFIG))
    np.testing.assert_allclose(whole.codes["adt"][:400], truth[:400], atol=1e-12)
    assert np.abs(whole.codes["adt"][400:2000] @ part.to_codes[2:].T).mean() > 0.5


def test_directions_that_few_cells_measured_correlate_as_in_the_cells_that_did():
    """Of codes completed by themselves the last two directions would be lost in the first two."""
    codes, has, part, truth = two_modalities()
    rng = np.random.default_rng(0)
    with_part = fit_linear_path(codes, has, 4, LinearPathConfig(), rng, Incomplete({"adt": part}, CompletionConfig()))
    predicted = codes["rna"] @ with_part.encoders["rna"] @ with_part.decoders["adt"]
    alone = fit_linear_path(codes, has, 4, LinearPathConfig(), rng)
    by_itself = codes["rna"] @ alone.encoders["rna"] @ alone.decoders["adt"]
    lost, wanted = part.to_codes[2:].T, truth @ part.to_codes[2:].T

    def slope(found):
        return float((found @ lost * wanted).sum() / (wanted**2).sum())

    assert slope(predicted) > 2 * slope(by_itself)
