"""The weight of a blend goes to the similarity that knows the partners, by the likelihood of known pairs."""

import numpy as np
import pytest
from scipy.special import log_softmax

from unisono.matching import SimilarityPair, fit_linear_weight, partner_losses


def similarity(noise, seed, n_cells=150):
    rng = np.random.default_rng(seed)
    content = np.random.default_rng(0).standard_normal((n_cells, 5))
    left, right = (content + noise * rng.standard_normal(content.shape) for _ in range(2))
    return (left @ right.T) / 25.0


def test_the_weight_goes_to_the_similarity_that_knows_and_is_half_between_equals():
    knows, guesses = similarity(0.3, 1), similarity(30.0, 2) / 900.0
    assert fit_linear_weight([SimilarityPair(knows, guesses)]) < 0.2
    assert fit_linear_weight([SimilarityPair(guesses, knows)]) > 0.8
    assert fit_linear_weight([SimilarityPair(similarity(0.6, 3), similarity(0.6, 4))]) == pytest.approx(0.5, abs=0.12)


def test_no_other_weight_makes_the_partners_likelier():
    first, second = similarity(0.5, 5), similarity(0.8, 6)
    weight = fit_linear_weight([SimilarityPair(first, second)])

    def loss(second_weight):
        blend = (1 - second_weight) * first + second_weight * second
        return min(
            -np.diag(log_softmax(beta * blend, axis=0) + log_softmax(beta * blend, axis=1)).mean()
            for beta in np.linspace(2, 200, 400)
        )

    assert 0.05 < weight < 0.95
    assert loss(weight) < min(loss(weight + 0.1), loss(weight - 0.1))


def test_cells_of_other_groups_do_not_compete():
    rng = np.random.default_rng(7)
    within = np.repeat(["a", "b"], 75)
    same = np.where(within[:, None] == within[None, :], 1.0, -1.0)
    knows_group, knows_cell = same, similarity(0.5, 8) + 0.01 * rng.standard_normal((150, 150))
    alone = fit_linear_weight([SimilarityPair(knows_group, knows_cell, within)])
    assert alone > fit_linear_weight([SimilarityPair(knows_group, knows_cell)]) + 0.05


def test_without_pairs_there_is_nothing_to_choose_by():
    with pytest.raises(ValueError, match="no pairs"):
        fit_linear_weight([])


def test_the_loss_of_partners_is_the_least_cross_entropy_both_ways_over_all_temperatures():
    scores = similarity(0.7, 9, n_cells=61)
    both = [-np.diag(log_softmax(b * scores, axis=0) + log_softmax(b * scores, axis=1)).mean() for b in range(300)]
    assert partner_losses(scores).mean() == pytest.approx(min(both) - 2 * np.log(61), abs=1e-3)


def test_the_loss_of_partners_is_zero_without_knowledge_and_that_of_all_cells_with_all_of_it():
    assert partner_losses(np.zeros((7, 7))) == pytest.approx(np.zeros(7))
    assert partner_losses(-np.eye(7)) == pytest.approx(np.zeros(7), abs=1e-6)
    assert partner_losses(np.eye(7)) == pytest.approx(np.full(7, -2 * np.log(7)), abs=1e-4)


def test_the_loss_of_partners_counts_only_cells_of_their_group():
    within = np.array(["a", "b", "a", "b", "a", "a", "b"])
    same = np.where(within[:, None] == within, 1.0, -1.0)
    assert partner_losses(same, within) == pytest.approx(np.zeros(7), abs=1e-6)
    assert partner_losses(same).mean() < -1.0
