"""Held-out cells judge prediction by Pearson and matching by rank, at chance where the network says nothing."""

import copy

import numpy as np
import pytest
import torch

from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.preprocessing.projection import on_scale
from unisono.training import validation
from unisono.training.prepare import prepare
from unisono.training.validation import Figures, Validation
from unisono.types import Cells

CPU = torch.device("cpu")
CONFIG = FitConfig(
    linear_decoder_from=0,
    n_members=2,
    n_codes=7,
    max_features={"rna": 61},
    architecture={"content_dim": 4, "style_dim": 2, "n_channels": 3, "n_tokens": 5},
)


@pytest.fixture(scope="module")
def cells():
    return simulate_cells(Recipe(n_cells=307, n_genes=83, n_peaks=149, n_proteins=17, batch_effect=0.6, seed=6)).cells


@pytest.fixture(scope="module")
def prepared(cells):
    return prepare(cells, CONFIG, CPU)


@pytest.fixture(scope="module")
def judge(prepared):
    return Validation(prepared.held_out, prepared.views)


def silenced(prepared):
    """A network whose contents are all zero."""
    network = copy.deepcopy(prepared.network)
    with torch.no_grad():
        for encoder in network.contents.values():
            encoder.linear.zero_()
    return network


def test_a_network_without_content_ranks_at_chance_and_the_closed_form_far_better(prepared, judge):
    silent = silenced(prepared)
    assert all((z == 0).all() for z in judge.contents(silent).values())
    assert judge.rank(silent) == pytest.approx(0.5)
    assert judge.rank(prepared.network) < 0.25


def test_a_network_without_content_predicts_nothing_but_the_batch(prepared, judge):
    assert judge.figures(silenced(prepared)).correlation < judge.figures(prepared.network).correlation - 0.1


def test_rank_is_the_share_of_rivals_in_the_batch_that_look_more_alike_than_the_partner(prepared):
    """FOSCTTM by hand, of the closed-form start, whose vectors are the same for every member."""
    judge = Validation(prepared.held_out, prepared.views)
    found = []
    for a, b in (("atac", "rna"), ("atac", "adt"), ("rna", "adt")):
        z = {
            m: judge.contents(prepared.network)[m][0] * prepared.network.dim_weight[0].detach().numpy() for m in (a, b)
        }
        reach = prepared.network.bias_norm[0].detach().numpy()
        z = {m: np.column_stack([value, np.broadcast_to(reach, (len(value), 1))]) for m, value in z.items()}
        unit = {m: value / np.linalg.norm(value, axis=1, keepdims=True) for m, value in z.items()}
        rows = prepared.held_out.rows
        scores = unit[a][rows[a]] @ unit[b][rows[b]].T
        batch = prepared.held_out.batch
        for i in range(len(batch)):
            similarity_pairs = (batch == batch[i]) & (np.arange(len(batch)) != i)
            found.append((scores[i, similarity_pairs] > scores[i, i]).mean())
            found.append((scores[similarity_pairs, i] > scores[i, i]).mean())
    assert judge.rank(prepared.network) == pytest.approx(np.mean(found), abs=1e-6)


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "rna")])
def test_correlation_is_that_of_the_linear_prediction_before_training(source, target, prepared, judge):
    z = judge.contents(prepared.network)
    rows = prepared.held_out.rows
    decoder, head = prepared.network.decoders[target].linear.numpy(), prepared.network.head(target)
    codes = z[source][0][rows[source]] @ decoder + judge.standardised[target].offset[rows[target]]
    predicted = codes @ head.loadings.numpy().T + head.intercept.numpy()
    truth = on_scale(prepared.held_out.views[target]).toarray()[rows[target]]
    selected = prepared.views[target].preprocessor.projection.selected
    wanted = [
        np.corrcoef(predicted[:, g], truth[:, g])[0, 1] if truth[:, g].std() > 0 else 0.0 for g in sorted(selected)
    ]
    found = judge.correlation_of(prepared.network, z, source, target)
    assert found == pytest.approx(np.mean(wanted), abs=1e-4)


def test_figures_are_the_mean_over_all_directions(prepared, judge):
    z = judge.contents(prepared.network)
    directions = [
        judge.correlation_of(prepared.network, z, a, b) for a in prepared.views for b in prepared.views if a != b
    ]
    assert len(directions) == 6
    assert judge.figures(prepared.network).correlation == pytest.approx(np.mean(directions))


def test_only_the_features_with_the_most_counts_are_judged(prepared, monkeypatch):
    monkeypatch.setattr(validation, "_MAX_FEATURES", 5)
    view = prepared.views["rna"]
    found = validation._informative_features(view)
    total = np.asarray(view.counts.selected.sum(axis=0)).ravel()
    assert set(found) == set(view.preprocessor.projection.selected[np.argsort(-total)[:5]])
    assert (np.diff(found) > 0).all()


def test_judging_changes_no_weight_and_gives_the_same_twice(prepared, judge):
    before = {name: value.clone() for name, value in prepared.network.state_dict().items()}
    assert judge.figures(prepared.network) == judge.figures(prepared.network)
    assert all(torch.equal(value, before[name]) for name, value in prepared.network.state_dict().items())


def shuffled(cells, seed):
    rng = np.random.default_rng(seed)
    return Cells({m: view.take(rng.permutation(view.n_cells)) for m, view in cells.views.items()})


def test_cells_are_paired_by_name_not_place(prepared, judge):
    other = Validation(shuffled(prepared.held_out, 1), prepared.views)
    one, two = judge.figures(prepared.network), other.figures(prepared.network)
    assert two.rank == pytest.approx(one.rank, abs=1e-6)
    assert two.correlation == pytest.approx(one.correlation, abs=1e-5)


def test_cells_with_one_of_the_two_modalities_are_no_pairs(prepared):
    views = prepared.held_out.views
    partial = Cells({"rna": views["rna"].take(np.arange(41)), "adt": views["adt"].take(np.arange(13, 60))})
    rows_rna, rows_adt = Validation(partial, prepared.views).paired_rows("rna", "adt")
    assert len(rows_rna) == 28
    assert partial.views["rna"].cells[rows_rna].tolist() == partial.views["adt"].cells[rows_adt].tolist()


def test_modalities_that_share_no_cell_are_left_out_of_the_judgement(cells):
    """A mosaic: one half of the cells has rna and protein, the other rna and chromatin."""
    half = np.arange(307) < 151
    mosaic = Cells(
        {
            "atac": cells.views["atac"].take(np.flatnonzero(half)),
            "rna": cells.views["rna"],
            "adt": cells.views["adt"].take(np.flatnonzero(~half)),
        }
    )
    made = prepare(mosaic, CONFIG, CPU)
    figures = Validation(made.held_out, made.views).figures(made.network)
    assert 0.1 < figures.correlation < 1.0
    assert 0.0 < figures.rank < 0.4


def test_a_reference_costs_two_and_perfection_nothing():
    reference = Figures(correlation=0.4, rank=0.2)
    assert reference.cost_against(reference) == pytest.approx(2.0)
    assert Figures(1.0, 0.0).cost_against(reference) == pytest.approx(0.0)
    assert Figures(0.7, 0.3).cost_against(reference) == pytest.approx(0.5 + 1.5)


def test_either_task_alone_can_lower_the_cost_and_raise_it():
    reference = Figures(correlation=0.4, rank=0.2)
    assert Figures(0.5, 0.2).cost_against(reference) < 2.0 < Figures(0.3, 0.2).cost_against(reference)
    assert Figures(0.4, 0.1).cost_against(reference) < 2.0 < Figures(0.4, 0.3).cost_against(reference)


def test_a_perfect_reference_does_not_divide_by_zero():
    assert np.isfinite(Figures(0.9, 0.1).cost_against(Figures(1.0, 0.0)))
