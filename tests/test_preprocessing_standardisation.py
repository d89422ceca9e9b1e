"""Standardised codes lose their batch's offset, keep the order of strong components, and can be sent back."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import f_oneway

from unisono.config import PreprocessingConfig
from unisono.preprocessing.composition import CodeClusters
from unisono.preprocessing.standardisation import Standardisation, shrinkage_factor

BATCH = np.array(["p"] * 31 + ["q"] * 17 + ["r"] * 5)


@pytest.fixture
def codes():
    rng = np.random.default_rng(0)
    within = rng.normal(size=(53, 3)) * np.array([4.0, 1.0, 0.25])
    between = {"p": [5.0, 0.0, 1.0], "q": [-3.0, 2.0, 0.0], "r": [0.0, -1.0, 7.0]}
    return within + np.array([between[name] for name in BATCH]) + 11.0


@pytest.fixture
def fitted(codes):
    return Standardisation.fit(codes, BATCH, np.linspace(2.0, 9.0, 53), 20.0)


def test_scaled_codes_of_all_training_cells_have_mean_zero(codes, fitted):
    np.testing.assert_allclose(fitted.scaled(codes).mean(axis=0), 0.0, atol=1e-5)


def test_scale_is_the_geometric_mean_of_a_components_deviation_and_the_largest_within_batches(codes, fitted):
    residual = np.concatenate([codes[name == BATCH] - codes[name == BATCH].mean(axis=0) for name in "pqr"])
    deviation = np.sqrt((residual**2).mean(axis=0))
    np.testing.assert_allclose(fitted.scale, np.sqrt(deviation * deviation.max()), rtol=1e-9)


def test_codes_that_do_not_vary_have_the_unit_of_the_codes(codes):
    alike = Standardisation.fit(np.tile(codes[:1], (53, 1)), BATCH, np.full(53, 7.0), 20.0)
    np.testing.assert_array_equal(alike.scale, [1.0, 1.0, 1.0])
    np.testing.assert_allclose(alike.scaled(codes[1:] * 1.0), codes[1:] - codes[0], rtol=1e-5)
    assert alike.depth[1] == pytest.approx(0.1)


def test_codes_of_batches_of_one_cell_each_deviate_from_the_mean_of_all(codes):
    own = Standardisation.fit(codes, np.array([f"b{i}" for i in range(53)]), np.linspace(2.0, 9.0, 53), 20.0)
    together = Standardisation.fit(codes, np.full(53, "all"), np.linspace(2.0, 9.0, 53), 20.0)
    np.testing.assert_allclose(own.scale, together.scale)
    np.testing.assert_allclose(own.scaled(codes).std(axis=0)[0], 1.0, rtol=1e-5)


def test_a_strong_component_stays_stronger_and_the_strongest_has_unit_deviation(codes, fitted):
    x = fitted.scaled(codes) - fitted.of_cells(fitted.scaled(codes), BATCH)[0]
    deviation = x.std(axis=0)
    assert deviation[0] == pytest.approx(1.0, rel=2e-3)
    assert deviation[0] > deviation[1] > deviation[2] > 0.25 / 4.0


def test_codes_of_every_training_batch_keep_of_its_offset_what_chance_would_give(codes, fitted):
    scaled = fitted.scaled(codes)
    x = scaled - fitted.of_cells(scaled, BATCH)[0]
    for name in "pqr":
        of_batch = scaled[name == BATCH].mean(axis=0)
        np.testing.assert_allclose(
            x[name == BATCH].mean(axis=0), (1 - shrinkage_factor(codes, BATCH)) * of_batch, atol=1e-5
        )
        assert np.abs(of_batch).max() > 0.1
        assert np.abs(x[name == BATCH].mean(axis=0)).max() < 0.1


def test_differences_of_batches_are_shrunk_as_the_f_statistic_says(codes):
    f = f_oneway(*(codes[name == BATCH] for name in "pqr")).statistic
    assert f.min() > 10
    np.testing.assert_allclose(shrinkage_factor(codes, BATCH), 1 - 1 / f)


def test_batches_that_differ_by_chance_alone_are_shrunk_to_nearly_one():
    rng = np.random.default_rng(3)
    codes, batch = rng.normal(size=(400, 51)), rng.permutation(np.repeat(np.array(list("abcdefgh")), 50))
    share = shrinkage_factor(codes, batch)
    assert share.min() == 0.0
    assert share.mean() < 0.3
    raw = np.stack([codes[batch == name].mean(axis=0) for name in "abcdefgh"]) - codes.mean(axis=0)
    assert np.square(raw * share).sum() < 0.25 * np.square(raw).sum()
    codes[batch == "a"] += 1.0
    assert shrinkage_factor(codes, batch).min() > 0.5


def test_one_batch_and_batches_of_one_cell_have_no_offsets(codes):
    np.testing.assert_array_equal(shrinkage_factor(codes, np.full(53, "p")), np.zeros(3))
    np.testing.assert_array_equal(shrinkage_factor(codes, np.arange(53).astype(str)), np.zeros(3))


def test_the_offset_of_a_training_batch_is_the_stored_one_whatever_cells_ask(codes, fitted):
    few = fitted.scaled(codes[[3, 40]]) + 100.0
    found = fitted.of_cells(few, np.array(["q", "p"]))[0]
    np.testing.assert_array_equal(found, fitted.offsets[[1, 0]])


def test_a_new_batch_is_centred_by_its_own_shrunken_mean(codes, fitted):
    scaled = fitted.scaled(codes[:13])
    batch = np.array(["new"] * 9 + ["p"] + ["newer"] * 3)
    found = fitted.of_cells(scaled, batch)[0]
    np.testing.assert_allclose(found[:9], np.tile(scaled[:9].sum(axis=0) / 29.0, (9, 1)), rtol=1e-5)
    np.testing.assert_array_equal(found[9], fitted.offsets[0])
    np.testing.assert_allclose(found[10:], np.tile(scaled[10:13].sum(axis=0) / 23.0, (3, 1)), rtol=1e-5)


def test_a_new_batch_of_one_cell_keeps_twenty_twentyfirsts_of_its_content_without_clusters(codes, fitted):
    scaled = fitted.scaled(codes[:1])
    kept = scaled - fitted.of_cells(scaled, np.array(["new"]))[0]
    np.testing.assert_allclose(kept, scaled * 20 / 21, rtol=1e-5)


def test_the_offset_of_a_new_batch_is_the_share_of_its_mean_that_clusters_select(codes, fitted):
    clusters = CodeClusters.fit(fitted.scaled(codes), PreprocessingConfig(), 0)
    known = replace(fitted, clusters=clusters)
    cells = fitted.scaled(codes[:31])
    share = known.place(cells).share
    assert share == clusters.place(cells, known.shrunken_mean(cells), 20.0).share < 1 == fitted.place(cells).share
    found = known.of_cells(cells, np.array(["new"] * 31))[0]
    np.testing.assert_allclose(found, np.tile(share * cells.sum(axis=0) / 51, (31, 1)), rtol=1e-5)


def test_the_shrunken_mean_of_many_cells_is_nearly_their_mean(fitted):
    cells = np.random.default_rng(1).normal(3.0, 1.0, size=(5000, 2)).astype(np.float32)
    np.testing.assert_allclose(fitted.shrunken_mean(cells), cells.mean(axis=0), rtol=0.005)


def test_depth_is_a_standard_score_of_the_training_cells(fitted):
    log_depth = np.linspace(2.0, 9.0, 53)
    found = fitted.scaled_depth(log_depth)
    np.testing.assert_allclose(found, (log_depth - log_depth.mean()) / log_depth.std(), rtol=1e-5, atol=1e-6)
    assert fitted.scaled_depth(np.array([9.0]))[0] == pytest.approx(found[-1])


def test_equal_depths_and_a_constant_component_give_no_infinities(codes):
    codes[:, 2] = 5.0
    fitted = Standardisation.fit(codes, BATCH, np.full(53, 4.0), 20.0)
    assert np.isfinite(fitted.scaled(codes)).all()
    np.testing.assert_array_equal(fitted.scaled_depth(np.full(3, 4.0)), np.zeros(3))


def test_offsets_stand_in_the_order_of_the_batch_names_not_of_the_cells(codes, fitted):
    order = np.random.default_rng(2).permutation(53)
    shuffled = Standardisation.fit(codes[order], BATCH[order], np.zeros(53), 20.0)
    assert shuffled.batches.tolist() == ["p", "q", "r"]
    np.testing.assert_allclose(shuffled.offsets, fitted.offsets, rtol=1e-5)
