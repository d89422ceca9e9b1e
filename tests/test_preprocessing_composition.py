"""Tests of clusters of training codes: whether the mean of a new batch is its offset or its composition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from unisono.config import PreprocessingConfig
from unisono.preprocessing.composition import CodeClusters

CENTRES = np.array([[4.0, 0, 0, 1], [-3, 3, 0, 0], [0, -4, 2, 0], [0, 0, -4, -2]])
CONFIG = PreprocessingConfig()


def cells(types: tuple[int, ...], n_cells: int = 41, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    """Cells of some of four types, moved by an offset in every code."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(types, n_cells)
    return (CENTRES[kinds] + rng.normal(size=(n_cells, 4)) * 0.6 + offset).astype(np.float32)


@pytest.fixture(scope="module")
def clusters():
    training = cells((0, 1, 2, 3), 600, seed=1)
    return CodeClusters.fit(training - training.mean(axis=0), CONFIG, 0)


TRAINING_MEAN = cells((0, 1, 2, 3), 600, seed=1).mean(axis=0)


@pytest.mark.parametrize("types", [*combinations(range(4), 1), *combinations(range(4), 2), *combinations(range(4), 3)])
def test_the_mean_of_some_types_that_were_measured_like_training_is_no_offset(clusters, types):
    x = cells(types, seed=5) - TRAINING_MEAN
    assert clusters.place(x, x.mean(axis=0), 20.0).share <= 0.25


@pytest.mark.parametrize("offset", [1.5, -2.0])
def test_the_mean_of_all_types_that_were_measured_otherwise_is_their_offset(clusters, offset):
    x = cells((0, 1, 2, 3), 211, seed=6, offset=offset) - TRAINING_MEAN
    assert clusters.place(x, x.mean(axis=0), 20.0).share == 1.0


def test_one_cell_is_left_where_it_is(clusters):
    x = cells((2,), 1, seed=7) - TRAINING_MEAN
    assert clusters.place(x, x.mean(axis=0), 20.0).share == 0.0


def test_the_likelihood_is_that_of_the_mixture_with_the_fractions_that_suit_the_cells(clusters):
    x = cells((1,), 37, seed=8).astype(np.float64) - TRAINING_MEAN
    components = [multivariate_normal(centre, np.diag(clusters.variance)) for centre in clusters.centres.astype(float)]
    density = np.stack([component.pdf(x) for component in components], axis=1)
    fraction = np.full(len(components), 1 / len(components))
    for _ in range(200):
        belongs = density * fraction
        fraction = ((belongs / belongs.sum(axis=1, keepdims=True)).sum(axis=0) + 1) / (len(x) + len(fraction))
    constant = 0.5 * np.log((2 * np.pi) ** 4 * clusters.variance.prod())
    assert clusters.log_likelihood(x) == pytest.approx(np.log(density @ fraction).mean() + constant, abs=0.02)


def test_equal_seeds_give_equal_clusters_and_few_cells_few_of_them():
    x = cells((0, 1, 2, 3), 57, seed=3)
    first, again, other = (CodeClusters.fit(x, CONFIG, seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.centres, again.centres)
    assert not np.array_equal(first.centres, other.centres)
    assert len(first.centres) <= 5
    assert len(CodeClusters.fit(x[:7], CONFIG, 0).centres) == 1


def test_there_are_no_more_clusters_than_unlike_cells():
    x = np.repeat(cells((0, 1), 3, seed=6), 19, axis=0)
    assert len(CodeClusters.fit(x, CONFIG, 0).centres) in (2, 3)
    alike = CodeClusters.fit(np.full((57, 4), 2.5, dtype=np.float32), CONFIG, 0)
    np.testing.assert_allclose(alike.centres, [[2.5] * 4])
