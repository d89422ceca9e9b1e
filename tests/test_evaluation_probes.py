"""Tests of probes: what is there is read, what is not scores chance, and no cell answers for itself."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score

from unisono.evaluation import probes as room
from unisono.evaluation.probes import balanced_accuracy, class_probes, held_out_labels, r_squared, value_probes

N = 217
CELLS = np.array([f"c{i}" for i in range(N)])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def three_classes(seed=1):
    return np.random.default_rng(seed).choice(np.array(["a", "b", "c"]), size=N, p=[0.6, 0.3, 0.1])


def told(vectors, classes, cells=CELLS, **options):
    return {probe.how: probe for probe in class_probes("content", "rna", "batch", vectors, classes, cells, **options)}


def valued(vectors, values, cells=CELLS):
    return {probe.how: probe for probe in value_probes("content", "rna", "depth", vectors, values, cells)}


def test_a_class_that_is_written_down_is_read_without_fault():
    classes = three_classes()
    x = 4.0 * (classes[:, None] == np.array(["a", "b", "c"])) + 0.1 * noise(N, 3)
    for probe in told(x, classes).values():
        assert probe.score == 1.0
        assert probe.chance == pytest.approx(1 / 3)
        assert probe.above_chance == pytest.approx(2 / 3)
        assert (probe.n_cells, probe.n_classes, probe.figure) == (N, 3, "balanced accuracy")


def test_a_class_that_is_not_there_scores_chance_however_unequal_the_classes():
    scores = [probe.score for seed in range(12) for probe in told(noise(N, 5, seed=seed), three_classes(seed)).values()]
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.03)


def test_only_the_neighbours_read_what_no_line_divides():
    x = noise(N, 2)
    found = told(x, np.where((x**2).sum(axis=1) > 1.4, "far", "near"))
    assert found["linear"].score < 0.65
    assert found["neighbours"].score > 0.85


def test_a_cells_other_row_never_answers_for_it():
    classes = np.random.default_rng(2).choice(np.array(["a", "b"]), size=41)
    of_cells = np.eye(41)
    x, both, cells = np.concatenate([of_cells, of_cells]), np.tile(classes, 2), np.tile(CELLS[:41], 2)
    assert told(x, both, np.arange(82).astype(str))["linear"].score > 0.8
    assert told(x, both, cells)["linear"].score < 0.7
    assert told(x, both, cells)["linear"].n_cells == 41


def test_classes_of_fewer_than_five_cells_are_left_out():
    classes = np.array(["often"] * 100 + ["also"] * (N - 104) + ["rare"] * 4)
    found = told(noise(N, 3), classes)
    assert (found["linear"].n_cells, found["linear"].n_classes, found["linear"].chance) == (N - 4, 2, 0.5)
    assert told(noise(N, 3), np.array(["often"] * (N - 4) + ["rare"] * 4)) == {}


def test_a_number_is_read_as_far_as_it_is_there():
    x = noise(N, 4)
    y = x[:, 1] + 2.0 * x[:, 3]
    found = valued(x, y + 3.0)
    assert found["linear"].score > 0.99
    assert 0.5 < found["neighbours"].score < 0.95
    assert found["linear"].figure == "R²"
    half = valued(x, y + np.sqrt(5.0) * noise(N, seed=3))
    assert half["linear"].score == pytest.approx(0.5, abs=0.12)
    assert valued(x, noise(N, seed=8))["linear"].score < 0.05
    assert valued(x, np.full(N, 2.5)) == {}


def test_other_units_of_a_column_make_no_difference_to_the_linear_probe():
    classes, x = three_classes(), noise(N, 4)
    x[classes == "b", 2] += 2.0
    there = told(x, classes)["linear"].score
    assert told(x * [1.0, 30.0, 0.01, 5.0] + 7.0, classes)["linear"].score == pytest.approx(there, abs=1e-9)
    assert there > 0.45


def test_the_seed_draws_the_folds():
    classes, x = three_classes(), noise(N, 4)
    assert told(x, classes, seed=3) == told(x, classes, seed=3)
    assert told(x, classes, seed=3)["linear"].score != told(x, classes, seed=4)["linear"].score


def test_figures_are_those_of_scikit_learn():
    classes, said = three_classes(1), three_classes(2)
    assert balanced_accuracy(classes, said) == pytest.approx(balanced_accuracy_score(classes, said))
    truth, guess = noise(31), noise(31, seed=1)
    assert r_squared(truth, guess) == pytest.approx(r2_score(truth, guess))
    assert r_squared(truth, np.full(31, truth.mean())) == pytest.approx(0.0)


def test_a_linear_probe_answers_for_other_vectors_of_the_cells_it_has_not_seen():
    classes = np.random.default_rng(5).choice(np.array(["left", "right"]), size=N)
    sign = np.where(classes == "left", -1.0, 1.0)
    x = np.stack([2.0 * sign, np.zeros(N)], axis=1) + 0.2 * noise(N, 2)
    own, mirrored = held_out_labels(x, classes, CELLS, (x, -x))
    np.testing.assert_array_equal(own, classes)
    np.testing.assert_array_equal(mirrored, np.where(classes == "left", "right", "left"))


def test_vectors_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="217 vectors, 216 labels and 217 cells"):
        told(noise(N, 2), three_classes()[1:])
    x = noise(N, 2)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite; leave out cells without counts"):
        valued(x, noise(N))


def test_scikit_learn_is_looked_for_by_its_name(monkeypatch):
    assert room.has_probes()
    monkeypatch.setattr(room, "find_spec", lambda name: None if name == "sklearn" else object())
    assert not room.has_probes()
