"""After training: styles are means over a batch's cells; shares and temperatures come from held-out pairs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.matching import DepthTerm, fit_beta
from unisono.nn import infer
from unisono.preprocessing.log_odds import LogOddsShrinkage
from unisono.training.model_selection import anchors, closed_form, complete_codes, select, set_linear_weight, style_book
from unisono.training.prepare import prepare
from unisono.training.validation import Validation
from unisono.types import Cells

CPU = torch.device("cpu")
CONFIG = FitConfig(
    n_members=2,
    n_codes=7,
    architecture={"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5},
)
PAIRS = [("atac", "rna"), ("atac", "adt"), ("rna", "adt")]


def prepared_cells():
    return simulate_cells(
        Recipe(n_cells=211, n_genes=53, n_peaks=71, n_proteins=11, n_batches=3, batch_effect=0.8, seed=9)
    ).cells


@pytest.fixture(scope="module")
def prepared():
    return prepare(prepared_cells(), CONFIG, CPU)


@pytest.fixture(scope="module")
def judge(prepared):
    return Validation(prepared.held_out, prepared.views)


@pytest.mark.parametrize("modality", ["atac", "rna", "adt"])
def test_the_style_of_a_batch_is_the_mean_over_its_cells_and_the_average_over_all(prepared, modality):
    view = prepared.views[modality]
    standardised = view.standardised
    book = style_book(prepared.network, view)
    each = infer.styles(prepared.network, modality, standardised.x, standardised.depth, standardised.offset)
    for name in ("b1", "b2", "b3"):
        rows = standardised.batch == name
        assert 40 < rows.sum() < 70
        style = book.of_batch(name)
        np.testing.assert_allclose(style.latent, each[:, rows].mean(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(style.offset, standardised.offset[rows][0])
    np.testing.assert_allclose(book.average.latent, each.mean(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(book.average.offset, np.zeros(view.standardised.x.shape[1]))
    assert np.abs(book.latents[0] - book.latents[1]).max() > 1e-3


GUESS = DepthTerm(beta=10.0, weight=0.0, r=0.0)


def test_without_held_out_cells_every_choice_is_a_guess_without_depth(prepared):
    found = select(prepared.network, prepared.views, None, CONFIG)
    assert found.betas == dict.fromkeys(PAIRS, 10.0)
    assert found.depth_terms == dict.fromkeys(PAIRS, GUESS)
    assert set(found.kernel_shares.values()) == {0.25}
    assert found.linear_weight == pytest.approx(0.2)


@pytest.fixture(scope="module")
def found(prepared, judge):
    selection = select(prepared.network, prepared.views, judge, CONFIG)
    set_linear_weight(prepared.network, 0.2)
    return selection


def test_temperatures_are_those_of_the_held_out_pairs(prepared, judge, found):
    assert list(found.betas) == PAIRS
    for a, b in (("atac", "rna"), ("rna", "adt")):
        rows = prepared.held_out.rows
        left, right = (
            infer.vectors(prepared.network, m, judge.standardised[m].x[rows[m]], found.linear_weight) for m in (a, b)
        )
        wanted = fit_beta(left, right, within=prepared.held_out.batch)
        assert found.betas[a, b] == pytest.approx(wanted, rel=1e-3)
    assert found.betas["rna", "adt"] != found.betas["atac", "rna"]


def test_the_linear_vote_is_large_where_the_networks_talk_nonsense_and_stays_as_told(prepared, judge):
    network = prepare(prepared_cells(), CONFIG, CPU).network
    with torch.no_grad():
        for content in network.contents.values():
            content.to_mu.weight.normal_(generator=torch.Generator().manual_seed(0))
    assert select(network, prepared.views, judge, CONFIG).linear_weight > 0.8
    told = CONFIG.model_copy(update={"architecture": CONFIG.architecture.model_copy(update={"linear_weight": 0.3})})
    set_linear_weight(network, 0.3)
    assert select(network, prepared.views, judge, told).linear_weight == pytest.approx(0.3)


def test_anchors_are_paired_training_cells_over_which_ratios_average_to_1(prepared, found):
    of_pair = anchors(prepared.network, prepared.views, found.betas)["atac", "rna"]
    assert of_pair.beta == found.betas["atac", "rna"]
    both = prepared.views["atac"].has & prepared.views["rna"].has
    assert len(of_pair.left) == len(of_pair.right) == both.sum()
    one, other = of_pair.normalised(of_pair.left, of_pair.right, of_pair.beta)
    ratio = np.exp(of_pair.beta * one.astype(np.float64) @ other.T)
    np.testing.assert_allclose(ratio.mean(axis=0), 1.0, atol=1e-3)
    np.testing.assert_allclose(ratio.mean(axis=1), 1.0, atol=1e-3)


def test_anchors_are_read_as_if_they_were_unseen(prepared, found):
    view = prepared.views["atac"]
    of_pair = anchors(prepared.network, prepared.views, found.betas)["atac", "rna"]
    names = np.flatnonzero(view.has & prepared.views["rna"].has)
    np.testing.assert_array_equal(
        of_pair.left, infer.vectors(prepared.network, "atac", view.leave_one_out_codes[view.rows[names]])
    )
    spread = view.leave_one_out_codes.std(axis=0) / view.standardised.x.std(axis=0)
    np.testing.assert_allclose(spread, 1 - view.preprocessor.projection.loo_shrinkage(view.counts), rtol=1e-4)
    assert 0.5 < spread.min() < 0.95


def test_complete_codes_are_those_of_held_out_cells_and_else_of_training_cells_as_if_unseen(prepared, judge):
    views, held_out = prepared.views, judge.cells
    rows = np.stack([held_out.rows[m] for m in views])
    of_held_out = complete_codes(views, judge)
    for (m, x), places in zip(of_held_out.items(), rows, strict=True):
        np.testing.assert_array_equal(x, judge.standardised[m].x[places[(rows >= 0).all(axis=0)]])
    without_seven = views["adt"].rows.copy()
    without_seven[:7] = -1
    of_training = complete_codes({**views, "adt": replace(views["adt"], rows=without_seven)}, None)
    np.testing.assert_array_equal(of_training["rna"], views["rna"].leave_one_out_codes[views["rna"].rows[7:]])
    without = Validation(Cells({m: held_out.views[m] for m in ("atac", "rna")}), views)
    assert len(complete_codes(views, without)["rna"]) == len(views["rna"].rows)


def test_where_few_cells_are_paired_all_cells_of_either_side_are_anchors(prepared, found):
    atac = prepared.views["atac"]
    rows = np.where(np.cumsum(atac.has) <= 20, atac.rows, -1)
    few = {**prepared.views, "atac": replace(atac, rows=rows)}
    of_pair = anchors(prepared.network, few, {("atac", "rna"): 5.0})["atac", "rna"]
    assert (len(of_pair.left), len(of_pair.right)) == (20, prepared.views["rna"].has.sum())


def test_peaks_predicted_from_any_modality_have_a_temper_and_rare_ones_a_smaller_factor(prepared, found):
    assert set(found.log_odds_shrinkages) == {("atac", "atac"), ("rna", "atac"), ("adt", "atac")}
    told = replace(found, log_odds_shrinkages={("rna", "atac"): LogOddsShrinkage(0.8, 10.0)})
    routed = closed_form(prepared.views, told, CONFIG, {})
    factors = routed["rna", "atac"].log_odds_shrinkage
    atac = prepared.views["atac"]
    open_in = np.asarray((atac.counts.selected > 0).sum(axis=0)).ravel()
    wanted = LogOddsShrinkage(0.8, 10.0).of(open_in)
    np.testing.assert_allclose(factors[atac.preprocessor.projection.selected], wanted, atol=0.05)
    assert factors.std() > 0.02
    assert routed["rna", "adt"].log_odds_shrinkage is None
    assert routed["adt", "atac"].log_odds_shrinkage.max() < 0.5


def test_depth_that_modalities_share_gets_a_weight(found):
    term = found.depth_terms["atac", "rna"]
    assert term.r > 0.1
    assert term.weight > 0.0


def test_a_pair_with_fewer_than_five_held_out_cells_gets_the_guess_and_the_others_do_not(prepared):
    views = prepared.held_out.views
    few = Cells({"atac": views["atac"], "rna": views["rna"], "adt": views["adt"].take(np.arange(4))})
    selection = select(prepared.network, prepared.views, Validation(few, prepared.views), CONFIG)
    assert (selection.betas["rna", "adt"], selection.depth_terms["rna", "adt"]) == (10.0, GUESS)
    assert selection.betas["atac", "rna"] != 10.0
    assert selection.kernel_shares["rna", "adt"] == 0.25


def test_a_route_has_a_kernel_only_where_it_has_a_share_and_depth_only_to_atac(prepared, found):
    shares = dict.fromkeys(found.kernel_shares, 0.0) | {("rna", "adt"): 0.5}
    made = closed_form(prepared.views, replace(found, kernel_shares=shares), CONFIG, {})
    assert len(made) == 9
    for (source, target), terms in made.items():
        assert (terms.kernel is not None) == ((source, target) == ("rna", "adt"))
        assert (terms.depth is not None) == (target == "atac")
        assert terms.share == shares.get((source, target), 0.0)


def test_without_the_kernel_member_no_route_has_a_kernel(prepared, judge):
    without = CONFIG.model_copy(
        update={"architecture": CONFIG.architecture.model_copy(update={"kernel_member": False})}
    )
    selection = select(prepared.network, prepared.views, judge, without)
    assert selection.kernel_shares == {}
    assert all(terms.kernel is None for terms in closed_form(prepared.views, selection, without, {}).values())


def test_modalities_that_no_cell_shares_get_a_route_that_adds_nothing(prepared, found):
    views = dict(prepared.views)
    atac, adt = views["atac"], views["adt"]
    half = np.arange(len(atac.rows)) < len(atac.rows) // 2
    views["atac"] = replace(atac, rows=np.where(half, atac.rows, -1))
    views["adt"] = replace(adt, rows=np.where(half, -1, adt.rows))
    terms = closed_form(views, replace(found, kernel_shares={("adt", "atac"): 0.5}), CONFIG, {})["adt", "atac"]
    assert terms.kernel is None
    assert terms.share == 0.0
    assert not terms.expected_depth(adt.standardised).any()


def test_kernels_that_were_fitted_to_choose_are_the_ones_that_would_be_fitted_again(prepared, found):
    shares = dict.fromkeys(found.kernel_shares, 0.5)
    chosen = replace(found, kernel_shares=shares)
    assert set(found.kernels) == set(shares)
    taken, anew = (closed_form(prepared.views, chosen, CONFIG, kernels) for kernels in (found.kernels, {}))
    for pair, kernel in found.kernels.items():
        assert taken[pair].kernel is kernel
        np.testing.assert_array_equal(kernel.weights, anew[pair].kernel.weights)
