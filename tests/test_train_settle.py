"""After training: styles are means over the cells of each batch, temperatures come from held-out pairs."""

import numpy as np
import pytest
import torch

from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.match import DepthTerm, fit_beta
from unisono.nn import infer
from unisono.train.held_out import HeldOut
from unisono.train.prepare import prepare
from unisono.train.settle import match_terms, style_book
from unisono.types import Cells

CPU = torch.device("cpu")
CONFIG = FitConfig(
    n_members=2,
    n_codes=7,
    architecture={"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5},
)
PAIRS = [("atac", "rna"), ("atac", "adt"), ("rna", "adt")]


@pytest.fixture(scope="module")
def prepared():
    cells = simulate_cells(
        Recipe(n_cells=211, n_genes=53, n_peaks=71, n_proteins=11, n_batches=3, batch_effect=0.8, seed=9)
    ).cells
    return prepare(cells, CONFIG, CPU)


@pytest.fixture(scope="module")
def judge(prepared):
    return HeldOut(prepared.held_out, prepared.views)


@pytest.mark.parametrize("modality", ["atac", "rna", "adt"])
def test_the_style_of_a_batch_is_the_mean_over_its_cells_and_the_average_over_all(prepared, modality):
    view = prepared.views[modality]
    reading = view.reading
    book = style_book(prepared.network, view)
    each = infer.styles(prepared.network, modality, reading.x, reading.depth, reading.offset)
    for name in ("b1", "b2", "b3"):
        rows = reading.batch == name
        assert 40 < rows.sum() < 70
        style = book.of_batch(name)
        np.testing.assert_allclose(style.latent, each[:, rows].mean(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(style.offset, reading.offset[rows][0])
    np.testing.assert_allclose(book.average.latent, each.mean(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(book.average.offset, np.zeros(view.reading.x.shape[1]))
    assert np.abs(book.latents[0] - book.latents[1]).max() > 1e-3


def test_without_held_out_cells_every_pair_gets_the_same_guess_without_depth(prepared):
    found = match_terms(prepared.network, None, ("atac", "rna", "adt"))
    assert found == dict.fromkeys(PAIRS, (10.0, DepthTerm(beta=10.0, weight=0.0, r=0.0)))


@pytest.fixture(scope="module")
def found(prepared, judge):
    return match_terms(prepared.network, judge, ("atac", "rna", "adt"))


def test_temperatures_are_those_of_the_held_out_pairs(prepared, judge, found):
    assert list(found) == PAIRS
    for a, b in (("atac", "rna"), ("rna", "adt")):
        rows = prepared.held_out.rows
        left, right = (infer.vectors(prepared.network, m, judge.readings[m].x[rows[m]]) for m in (a, b))
        wanted = fit_beta(left, right, within=prepared.held_out.batch)
        assert found[a, b][0] == pytest.approx(wanted, rel=1e-3)
    assert found["rna", "adt"][0] != found["atac", "rna"][0]


def test_depth_that_modalities_share_gets_a_weight(found):
    term = found["atac", "rna"][1]
    assert term.r > 0.1
    assert term.weight > 0.0


def test_a_pair_with_fewer_than_five_held_out_cells_gets_the_guess_and_the_others_do_not(prepared):
    views = prepared.held_out.views
    few = Cells({"atac": views["atac"], "rna": views["rna"], "adt": views["adt"].take(np.arange(4))})
    judge = HeldOut(few, prepared.views)
    assert match_terms(prepared.network, judge, ("rna", "adt"))["rna", "adt"] == (10.0, DepthTerm(10.0, 0.0, 0.0))
    assert match_terms(prepared.network, judge, ("atac", "rna"))["atac", "rna"][0] != 10.0
