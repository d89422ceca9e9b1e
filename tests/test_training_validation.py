"""Validation scores are those of the predictor that users get, at chance where the network says nothing."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_fixtures import prepare, simulated, small_config

from unisono.preprocessing.projection import on_scale
from unisono.training.validation import (
    Validation,
    ValidationScores,
    not_validated,
    split,
    training_findings,
    validation_size,
)
from unisono.types import Cells

CONFIG = small_config(linear_path={"min_cells_of_decoder": 0}, max_features={"rna": 61})


@pytest.fixture(scope="module")
def cells():
    return simulated(batch_effect=0.6)


@pytest.fixture(scope="module")
def prepared(cells):
    return prepare(cells, CONFIG)


@pytest.fixture(scope="module")
def validation(prepared):
    return prepared.validation


def silenced(predictor):
    """A predictor whose contents are all zero, and which has no kernel."""
    network = copy.deepcopy(predictor.network)
    with torch.no_grad():
        for encoder in network.contents.values():
            encoder.linear.zero_()
    terms = {pair: replace(own, kernel=None, kernel_weight=0.0, depth=None) for pair, own in predictor.terms.items()}
    return replace(predictor, network=network, terms=terms)


def test_a_network_without_content_ranks_at_chance_and_the_closed_form_far_better(prepared, validation):
    assert validation.foscttm(silenced(prepared.predictor).network) == pytest.approx(0.5)
    assert validation.foscttm(prepared.network) < 0.25


def test_a_predictor_without_content_predicts_nothing(prepared, validation):
    assert validation.scores(silenced(prepared.predictor)).correlation == pytest.approx(0.0, abs=1e-6)
    assert validation.scores(prepared.predictor).correlation > 0.1


def test_foscttm_is_the_fraction_of_cells_of_the_batch_that_are_closer_than_the_partner(prepared, validation):
    """By hand, of the closed-form start, whose vectors are the same for every member."""
    network, found = prepared.network, []
    weight, bias = (getattr(network, name)[0].detach().numpy() for name in ("dim_weight", "bias_norm"))
    for a, b in (("atac", "rna"), ("atac", "adt"), ("rna", "adt")):
        rows, unit = prepared.validation_cells.rows, {}
        for m in (a, b):
            z = validation.codes[m].x @ network.contents[m].linear.numpy() * weight
            z = np.column_stack([z, np.broadcast_to(bias, (len(z), 1))])
            unit[m] = z / np.linalg.norm(z, axis=1, keepdims=True)
        scores = unit[a][rows[a]] @ unit[b][rows[b]].T
        batch = prepared.validation_cells.batch
        for i in range(len(batch)):
            others = (batch == batch[i]) & (np.arange(len(batch)) != i)
            found.append((scores[i, others] > scores[i, i]).mean())
            found.append((scores[others, i] > scores[i, i]).mean())
    assert validation.foscttm(network) == pytest.approx(np.mean(found), abs=1e-6)


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "rna")])
def test_correlation_is_that_of_the_linear_prediction_in_average_style_before_training(source, target, prepared):
    terms = {pair: replace(own, kernel=None) for pair, own in prepared.predictor.terms.items()}
    predictor, validation = replace(prepared.predictor, terms=terms), prepared.validation
    network, rows = prepared.network, prepared.validation_cells.rows
    z = validation.codes[source].x[rows[source]] @ network.contents[source].linear.numpy()
    head = network.head(target)
    codes = z @ network.decoders[target].linear.numpy()
    predicted = np.maximum(codes @ head.loadings.numpy().T + head.intercept.numpy(), 0)
    truth = on_scale(prepared.validation_cells.views[target]).toarray()[rows[target]]
    selected = prepared.views[target].preprocessor.projection.selected
    columns = [g for g in sorted(selected) if truth[:, g].std() > 0 and predicted[:, g].std() > 0]
    wanted = sum(np.corrcoef(predicted[:, g], truth[:, g])[0, 1] for g in columns) / len(selected)
    assert validation.correlation(predictor, source, target) == pytest.approx(wanted, abs=1e-4)


def test_scores_are_the_mean_over_all_directions(prepared, validation):
    directions = [
        validation.correlation(prepared.predictor, a, b) for a in prepared.views for b in prepared.views if a != b
    ]
    assert len(directions) == 6
    assert validation.scores(prepared.predictor).correlation == pytest.approx(np.mean(directions))


def test_only_the_features_with_the_most_counts_are_scored(prepared):
    few = CONFIG.model_copy(update={"validation": CONFIG.validation.model_copy(update={"n_features": 5})})
    validation = Validation(prepared.validation_cells, prepared.views, few)
    view = prepared.views["rna"]
    chosen = view.preprocessor.projection.selected[
        np.sort(np.argsort(-np.asarray(view.counts.selected.sum(axis=0)).ravel())[:5])
    ]
    rows, rows_rna = prepared.validation_cells.paired("adt", "rna")
    predicted = prepared.predictor.predict(validation.codes["adt"].take(rows), "rna").dense()[:, chosen]
    truth = on_scale(prepared.validation_cells.views["rna"]).toarray()[rows_rna][:, chosen]
    wanted = np.mean([np.corrcoef(x, y)[0, 1] for x, y in zip(predicted.T, truth.T, strict=True)])
    assert validation.correlation(prepared.predictor, "adt", "rna") == pytest.approx(wanted, abs=1e-5)


def test_scoring_changes_no_weight_and_gives_the_same_twice(prepared, validation):
    before = {name: value.clone() for name, value in prepared.network.state_dict().items()}
    assert validation.scores(prepared.predictor) == validation.scores(prepared.predictor)
    assert all(torch.equal(value, before[name]) for name, value in prepared.network.state_dict().items())


def test_cells_are_paired_by_name_not_place(prepared, validation):
    rng = np.random.default_rng(1)
    views = {m: view.take(rng.permutation(view.n_cells)) for m, view in prepared.validation_cells.views.items()}
    other = Validation(Cells(views), prepared.views, CONFIG)
    one, two = validation.scores(prepared.predictor), other.scores(prepared.predictor)
    assert two.foscttm == pytest.approx(one.foscttm, abs=1e-6)
    assert two.correlation == pytest.approx(one.correlation, abs=1e-5)


def test_modalities_that_share_no_cell_are_left_out_of_the_scores(cells):
    """A mosaic: one half of the cells has rna and protein, the other rna and chromatin."""
    half = np.arange(307) < 151
    mosaic = Cells(
        {
            "atac": cells.views["atac"].take(np.flatnonzero(half)),
            "rna": cells.views["rna"],
            "adt": cells.views["adt"].take(np.flatnonzero(~half)),
        }
    )
    made = prepare(mosaic, CONFIG)
    scores = made.validation.scores(made.predictor)
    assert 0.1 < scores.correlation < 1.0
    assert 0.0 < scores.foscttm < 0.4


def test_a_reference_costs_two_and_perfection_nothing():
    reference = ValidationScores(correlation=0.4, foscttm=0.2)
    assert reference.cost_against(reference) == pytest.approx(2.0)
    assert ValidationScores(1.0, 0.0).cost_against(reference) == pytest.approx(0.0)
    assert ValidationScores(0.7, 0.3).cost_against(reference) == pytest.approx(0.5 + 1.5)


def test_either_task_alone_can_lower_the_cost_and_raise_it():
    reference = ValidationScores(correlation=0.4, foscttm=0.2)
    assert ValidationScores(0.5, 0.2).cost_against(reference) < 2.0 < ValidationScores(0.3, 0.2).cost_against(reference)
    assert ValidationScores(0.4, 0.1).cost_against(reference) < 2.0 < ValidationScores(0.4, 0.3).cost_against(reference)


def test_a_perfect_reference_does_not_divide_by_zero():
    assert np.isfinite(ValidationScores(0.9, 0.1).cost_against(ValidationScores(1.0, 0.0)))


def chance_of(prepared, predictor, n_cells: int | None = None):
    """W059 of validation cells, of the first of them if a number is given."""
    cells = prepared.validation_cells
    cells = cells if n_cells is None else cells.take(np.arange(n_cells))
    return Validation(cells, prepared.views, CONFIG).at_chance(predictor, CONFIG.seed)


def test_a_predictor_without_content_is_told_to_be_at_chance_with_both_numbers(prepared):
    n_cells = len(prepared.validation_cells.names)
    (finding,) = chance_of(prepared, silenced(prepared.predictor))
    limit = 0.5 - 3 / np.sqrt(12 * 3 * n_cells)
    assert finding.code == "W059"
    assert finding.what.startswith(f"the {n_cells} validation cells are predicted with correlation ")
    assert f" and matched with FOSCTTM 0.500 (by chance above {limit:.3f}): no better than by chance." in finding.what


def test_the_closed_form_is_better_than_chance(prepared):
    assert chance_of(prepared, prepared.predictor) == []


def test_of_fewer_than_ten_validation_cells_nothing_is_told(prepared):
    assert len(chance_of(prepared, silenced(prepared.predictor), 10)) == 1
    assert chance_of(prepared, silenced(prepared.predictor), 9) == []


def test_validation_cells_are_no_more_than_the_limit_and_each_batch_has_its_share():
    cells = simulated(n_cells=240, n_genes=19, n_peaks=23, n_proteins=7)
    view = cells.views["rna"]
    batch = np.where(np.arange(240) < 120, "half", np.where(np.arange(240) < 200, "third", "sixth"))
    cells = Cells({"rna": replace(view, batch=batch), "adt": replace(cells.views["adt"], batch=batch)})
    for seed in range(3):
        limits = {"fraction": 0.2, "min_cells": 5, "max_cells": 12}
        training, validation = split(cells, small_config(seed=seed, validation=limits))
        names, n_cells = np.unique(validation.batch, return_counts=True)
        assert dict(zip(names, n_cells, strict=True)) == {"half": 6, "third": 4, "sixth": 2}
        assert len(training.names) == 228
    free = split(cells, small_config(validation={"fraction": 0.2, "min_cells": 5}))[1]
    assert len(free.names) == 48


@pytest.mark.parametrize(("n_paired", "is_told"), [(3, True), (23, True), (24, None), (31, False)])
def test_too_few_paired_cells_to_validate_on_are_told_before_the_fit(n_paired, is_told):
    config = small_config(validation={"drop_below": 5, "max_fraction": 0.2, "fraction": 0.1, "min_cells": 8})
    cells = simulated(n_cells=41, n_genes=19, n_peaks=23, n_proteins=7)
    rna, adt = cells.views["rna"], cells.views["adt"]
    some = Cells({"rna": rna, "adt": adt.take(np.arange(n_paired))})
    found = not_validated(some, config, "x.h5mu")
    if is_told is not None:
        assert bool(found) is is_told
    assert bool(found) is (validation_size(n_paired, config) == 0)
    assert [each.what for each in found] == [
        f"{n_paired} cells have two modalities, 25 are needed to set some aside: nothing is validated, and how good "
        "the model is cannot be said."
    ] * len(found)
    assert not_validated(some, small_config(validation={"fraction": 0}), "x.h5mu") == []


def test_what_a_fit_lacks_is_found_in_the_cells_alone():
    cells = simulated(n_cells=41, n_genes=19, n_peaks=23, n_proteins=7)
    rna, adt = cells.views["rna"], cells.views["adt"]
    one = replace(adt, counts=adt.counts[:, :1], features=adt.features[:1])
    found = training_findings(Cells({"rna": rna, "adt": one}), CONFIG, "x.h5mu")
    assert [(each.code, each.where) for each in found] == [("E046", "x.h5mu, adt")]
    assert training_findings(Cells({"rna": rna, "adt": adt}), CONFIG, "x.h5mu") == []


def test_validation_cells_alone_in_their_batches_are_matched_as_by_chance(prepared, validation):
    alone = copy.copy(validation)
    alone.codes = {m: replace(c, batch=np.arange(len(c.x)).astype(str)) for m, c in validation.codes.items()}
    assert alone.foscttm(prepared.network) == pytest.approx(0.5)
