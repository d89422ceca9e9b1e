"""After training: weights, shrinkage and temperatures come from validation pairs, through the predictor itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_fixtures import prepare, simulated, small_config

from unisono.inference.closed_form import LogOddsShrinkage
from unisono.matching import DepthTerm, fit_beta
from unisono.nn import infer
from unisono.training.selection import bernoulli_loss, initial_selection, select, selected, set_linear_weight
from unisono.training.validation import Validation
from unisono.types import Cells

CONFIG = small_config()
PAIRS = [("atac", "rna"), ("atac", "adt"), ("rna", "adt")]
GUESS = DepthTerm(beta=10.0, weight=0.0, r=0.0)


FEW_CHOICES = small_config(
    kernel={"shrinkage_strengths": (0.5,), "shrinkage_priors": (4.0,)}, matching={"depth_weights": (0.5,)}
)
"""For tests that look at one selection alone."""


def changed(**architecture):
    return FEW_CHOICES.model_copy(update={"architecture": CONFIG.architecture.model_copy(update=architecture)})


def made(config=CONFIG):
    sizes = {"n_cells": 211, "n_genes": 53, "n_peaks": 71, "n_proteins": 11}
    return prepare(simulated(**sizes, n_batches=3, batch_effect=0.8, seed=9), config)


@pytest.fixture(scope="module")
def prepared():
    return made()


@pytest.fixture(scope="module")
def validation(prepared):
    return prepared.validation


@pytest.fixture(scope="module")
def found(prepared, validation):
    selection = select(prepared.predictor, prepared.views, validation, CONFIG)
    set_linear_weight(prepared.network, 0.2)
    return selection


def test_without_validation_cells_every_choice_is_a_guess_without_depth(prepared):
    guess = initial_selection(prepared.predictor, CONFIG)
    assert guess.betas == dict.fromkeys(PAIRS, 10.0)
    assert guess.depth_terms == dict.fromkeys(PAIRS, GUESS)
    weights = {pair: weight for pair, weight in guess.kernel_weights.items() if pair[0] != pair[1]}
    assert set(weights.values()) == {0.25}
    assert guess.linear_weight == pytest.approx(0.2)
    assert set(guess.shrinkages.values()) == {LogOddsShrinkage(0.5, 4.0)}


def test_temperatures_are_those_of_the_validation_pairs(prepared, validation, found):
    assert list(found.betas) == PAIRS
    for a, b in (("atac", "rna"), ("rna", "adt")):
        rows = prepared.validation_cells.rows
        left, right = (
            infer.vectors(prepared.network, m, validation.codes[m].x[rows[m]], found.linear_weight) for m in (a, b)
        )
        wanted = fit_beta(left, right, within=prepared.validation_cells.batch)
        assert found.betas[a, b] == pytest.approx(wanted, rel=1e-3)
    assert found.betas["rna", "adt"] != pytest.approx(found.betas["atac", "rna"])


def test_the_linear_weight_is_large_where_the_networks_are_random_and_stays_as_configured():
    prepared = made()
    with torch.no_grad():
        for content in prepared.network.contents.values():
            content.to_mu.weight.normal_(generator=torch.Generator().manual_seed(0))
    assert select(prepared.predictor, prepared.views, prepared.validation, FEW_CHOICES).linear_weight > 0.8
    set_linear_weight(prepared.network, 0.3)
    chosen = select(prepared.predictor, prepared.views, prepared.validation, changed(linear_weight=0.3))
    assert chosen.linear_weight == pytest.approx(0.3)


@pytest.mark.parametrize("pair", [("rna", "adt"), ("adt", "rna")])
def test_the_kernel_has_the_weight_under_which_validation_cells_are_predicted_best(pair, prepared, validation, found):
    own = prepared.predictor.terms[pair]
    scores = {}
    for weight in CONFIG.kernel.weights:
        terms = {**prepared.predictor.terms, pair: replace(own, kernel_weight=weight)}
        scores[weight] = validation.correlation(replace(prepared.predictor, terms=terms), *pair)
    assert found.kernel_weights[pair] == max(scores, key=scores.get)
    assert len(set(scores.values())) == 3


def test_log_odds_are_shrunk_as_makes_validation_cells_the_likeliest(prepared, validation, found):
    assert set(found.shrinkages) == {("atac", "atac"), ("rna", "atac"), ("adt", "atac")}
    predictor = selected(prepared.predictor, prepared.views, found)
    rows, rows_atac = validation.cells.paired("rna", "atac")
    is_open = (validation.cells.views["atac"].counts[rows_atac] > 0).toarray()

    def loss(shrinkage):
        scale = shrinkage.scale(prepared.views["atac"].n_seen)
        terms = replace(predictor.terms["rna", "atac"], log_odds_scale=scale)
        one = replace(predictor, terms={**predictor.terms, ("rna", "atac"): terms})
        return bernoulli_loss(is_open, one.predict(validation.codes["rna"].take(rows), "atac").dense())

    best = loss(found.shrinkages["rna", "atac"])
    for other in (LogOddsShrinkage(0.0, 0.0), LogOddsShrinkage(1.0, 0.0), LogOddsShrinkage(0.5, 64.0)):
        assert best < loss(other) + 1e-9


def test_the_loss_of_a_bernoulli_is_log_2_at_one_half_and_finite_where_it_is_wrong():
    is_open = np.array([[True, False], [False, True]])
    assert bernoulli_loss(is_open, np.full((2, 2), 0.5, dtype=np.float32)) == pytest.approx(np.log(2))
    assert bernoulli_loss(is_open, is_open.astype(np.float32)) == pytest.approx(0.0)
    assert 5 < bernoulli_loss(is_open, (~is_open).astype(np.float32)) < 100


def test_rare_peaks_have_a_smaller_factor_and_other_modalities_none(prepared, found):
    told = replace(found, shrinkages={**found.shrinkages, ("rna", "atac"): LogOddsShrinkage(0.8, 10.0)})
    terms = selected(prepared.predictor, prepared.views, told).terms
    atac = prepared.views["atac"]
    open_in = np.asarray((atac.counts.selected > 0).sum(axis=0)).ravel()
    factors = terms["rna", "atac"].log_odds_scale
    wanted = LogOddsShrinkage(0.8, 10.0).scale(open_in)
    np.testing.assert_allclose(factors[atac.preprocessor.projection.selected], wanted, atol=0.05)
    assert factors.std() > 0.02
    assert terms["rna", "adt"].log_odds_scale is None


def test_depth_that_modalities_share_gets_a_weight(found):
    term = found.depth_terms["atac", "rna"]
    assert term.r > 0.1
    assert term.weight > 0.0


def test_a_pair_with_fewer_than_five_validation_cells_gets_the_guess_and_the_others_do_not(prepared):
    views = prepared.validation_cells.views
    few = Cells({"atac": views["atac"], "rna": views["rna"], "adt": views["adt"].take(np.arange(4))})
    selection = select(prepared.predictor, prepared.views, Validation(few, prepared.views, CONFIG), CONFIG)
    set_linear_weight(prepared.network, 0.2)
    assert (selection.betas["rna", "adt"], selection.depth_terms["rna", "adt"]) == (10.0, GUESS)
    assert selection.betas["atac", "rna"] != pytest.approx(10.0)
    assert selection.kernel_weights["rna", "adt"] == 0.25
    assert selection.shrinkages["adt", "atac"] == LogOddsShrinkage(0.5, 4.0)


def test_a_kernel_without_weight_is_dropped_and_depth_is_expected_of_chromatin_alone(prepared, found):
    weights = dict.fromkeys(found.kernel_weights, 0.0) | {("rna", "adt"): 0.5}
    terms = selected(prepared.predictor, prepared.views, replace(found, kernel_weights=weights)).terms
    assert len(terms) == 9
    for (source, target), own in terms.items():
        assert (own.kernel is not None) == ((source, target) == ("rna", "adt"))
        assert (own.depth is not None) == (target == "atac")
        assert own.kernel_weight == weights[source, target]


def test_with_kernels_switched_off_no_prediction_has_one():
    without = made(changed(kernel=False))
    selection = select(without.predictor, without.views, without.validation, without.config)
    assert set(selection.kernel_weights.values()) == {0.0}
    assert all(terms.kernel is None for terms in selected(without.predictor, without.views, selection).terms.values())
