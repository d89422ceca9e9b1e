"""Features that a batch did not measure are found exactly where they were lost, and nowhere by chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from training_fixtures import simulated

from unisono.preprocessing.unmeasured import (
    Reference,
    calibration_weights,
    may_lack,
    pessimistic_ratio,
    unmeasured,
    unmeasured_by_batch,
)


def without(counts, batch, lost):
    """The counts with the features of each mask set to 0 in its batch."""
    dense = counts.toarray()
    for name, mask in lost.items():
        dense[np.ix_(batch == name, mask)] = 0
    return sparse.csr_matrix(dense)


def drawn(n_batches, rates, n_cells=150, seed=0):
    """Poisson counts, the same rates in every batch, and the batches."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rates, size=(n_batches * n_cells, len(rates)))
    return sparse.csr_matrix(counts), np.repeat([f"b{i}" for i in range(n_batches)], n_cells)


@pytest.mark.parametrize("modality", ["rna", "adt", "atac"])
@pytest.mark.parametrize("seed", [6, 7])
def test_simulated_data_of_two_batches_lack_nothing(modality, seed):
    view = simulated(seed=seed, batch_effect=0.5).views[modality]
    assert unmeasured_by_batch(view.counts, view.batch) == {}
    few = np.concatenate([np.flatnonzero(view.batch == name)[:60] for name in np.unique(view.batch)])
    assert unmeasured_by_batch(view.counts[few], view.batch[few]) == {}


@pytest.mark.parametrize(("modality", "n_lost"), [("rna", 19), ("adt", 5)])
def test_lost_features_are_found_exactly(modality, n_lost):
    view = simulated().views[modality]
    often = np.argsort(-np.asarray((view.counts > 0).sum(axis=0)).ravel())
    lost = np.isin(np.arange(len(often)), often[1 : 2 * n_lost : 2])
    found = unmeasured_by_batch(without(view.counts, view.batch, {"b2": lost}), view.batch)
    assert list(found) == ["b2"]
    np.testing.assert_array_equal(found["b2"], lost)


def test_three_batches_with_panels_of_their_own():
    counts, batch = drawn(3, np.full(17, 2.0))
    lost = {f"b{i}": np.arange(17) % 3 == i for i in range(3)}
    found = unmeasured_by_batch(without(counts, batch, lost), batch)
    assert set(found) == set(lost)
    for name in lost:
        np.testing.assert_array_equal(found[name], lost[name])


@pytest.mark.parametrize("n_cells", [60, 400])
def test_panels_that_share_nothing(n_cells):
    counts, batch = drawn(2, np.full(17, 2.0), n_cells=n_cells)
    lost = {"b0": np.arange(17) < 8, "b1": np.arange(17) >= 8}
    found = unmeasured_by_batch(without(counts, batch, lost), batch)
    for name in lost:
        np.testing.assert_array_equal(found[name], lost[name])


def test_batches_that_lack_the_same_peaks_tell_together_of_those_too_rare_for_one():
    rates = np.random.default_rng(1).choice([0.15, 0.02, 0.01], size=997)
    counts, batch = drawn(6, rates, seed=2)
    lost = np.random.default_rng(3).random(997) < 0.3
    lacking = dict.fromkeys(("b0", "b3", "b4"), lost)
    found = unmeasured_by_batch(without(counts, batch, lacking), batch)
    assert set(found) == set(lacking)
    mask = found["b0"]
    assert all(np.array_equal(mask, found[name]) for name in found)
    total = np.asarray(counts.sum(axis=0)).ravel()
    assert total[lost & ~mask].sum() < 0.02 * total[lost].sum()
    assert total[mask & ~lost].sum() < 0.02 * total[lost].sum()


def test_one_batch_says_nothing():
    counts, _ = drawn(2, np.full(7, 2.0))
    assert unmeasured_by_batch(counts, np.full(300, "all")) == {}


def test_markers_of_a_type_that_a_batch_lacks_are_measured_there():
    """A fifth of the cells of b0 are of a type with 13 genes of its own; b1 has none of them."""
    rng = np.random.default_rng(4)
    is_type = np.concatenate([rng.random(400) < 0.2, np.zeros(200, dtype=bool)])
    rates = np.where(is_type[:, None], np.r_[np.full(13, 2.0), np.full(70, 0.5)], np.r_[np.zeros(13), np.full(70, 1.0)])
    rates[:, 60:] *= np.where(is_type, 3.0, 1.0)[:, None]
    counts = sparse.csr_matrix(rng.poisson(rates))
    batch = np.repeat(["b0", "b1"], [400, 200])
    assert counts[400:, :13].sum() == 0
    assert counts[:400, :13].sum() > 1000
    assert unmeasured_by_batch(counts, batch) == {}


def test_weights_carry_the_mean_of_codes_to_that_of_other_cells():
    codes = np.random.default_rng(5).normal(size=(5000, 3)) * [1.0, 2.0, 0.5]
    codes -= codes.mean(axis=0)
    wanted = np.array([0.1, -0.3, 0.05])
    weight = calibration_weights(codes, wanted)
    assert weight.mean() == pytest.approx(1.0)
    assert (weight >= 0).all()
    np.testing.assert_allclose((weight[:, None] * codes).mean(axis=0), wanted, atol=0.02)


def test_a_ratio_is_at_most_one_and_nearer_to_it_where_few_cells_are_expected():
    found = pessimistic_ratio(np.array([0.0, 0.0, 90.0]), np.array([1.0, 99.0, 30.0]), 1.0)
    np.testing.assert_allclose(found, [0.5, 0.01, 1.0])


def test_a_query_is_judged_by_the_rates_of_training():
    reference = Reference(np.array([400.0, 380.0, 10.0, 0.0, 200.0]), np.full(5, 500.0))
    seen, ones = np.array([80.0, 0.0, 0.0, 0.0, 40.0]), np.ones(5)
    assert may_lack(seen, 100, reference)
    assert unmeasured(seen, 100, reference, ones)[:2].tolist() == [False, True]
    assert not unmeasured(seen, 100, reference, ones)[3]
    assert not may_lack(seen[[0, 2, 3, 4]], 100, Reference(reference.n_seen[[0, 2, 3, 4]], np.full(4, 500.0)))
    assert not may_lack(np.array([1.0, 0.0, 0.0, 0.0, 1.0]), 2, reference)
    assert not unmeasured(seen, 100, reference, np.array([1.0, 0.001, 1.0, 1.0, 1.0])).any()
