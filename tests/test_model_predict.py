"""Tests of prediction: what the numbers are, what they depend on and what they do not, which queries are refused."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData, concat
from io_fixtures import refusal
from model_fixtures import (
    N_TEST,
    changed,
    correlations,
    counts,
    late_model,
    noticed,
    on_scale,
    rebuilt,
    take,
    test_cells,
    tiny,
    training,
)

from unisono.api import fit
from unisono.model.unisono import Unisono

DIRECTIONS = list(permutations(("atac", "rna", "adt"), 2))


def rna_to_adt(query, model: Unisono | None = None, **options):
    return (model or late_model()).predict(query, source="rna", target="adt", **options).X


def relabelled(batch: str, cells: str = "b1"):
    """The test cells of one batch under another batch name."""
    query = test_cells()
    query = take(query, (query["rna"].obs["batch"] == cells).to_numpy())
    for part in query.mod.values():
        part.obs["batch"] = batch
    return query


@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
def test_rows_are_the_query_cells_in_query_order_and_columns_the_features_of_training(source, target):
    query = test_cells()
    there = late_model().predict(query, source=source, target=target)
    back = late_model().predict(take(query, slice(None, None, -1)), source=source, target=target)
    assert list(there.obs_names) == list(query.obs_names)
    assert list(back.obs_names) == list(query.obs_names)[::-1]
    assert list(there.var_names) == list(training()[target].var_names)
    np.testing.assert_allclose(back.X, there.X[::-1], rtol=1e-4, atol=1e-5)
    assert np.abs(there.X - there.X[::-1]).max() > 0.05


@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
def test_predictions_are_on_the_scale_promised(source, target):
    values = late_model().predict(test_cells(), source=source, target=target).X.astype(np.float64)
    measured = on_scale(test_cells()[target], target)
    assert values.min() >= 0
    if target == "atac":
        assert 0 < values.min() < values.max() < 1
    mean, wanted = values.mean(axis=0), measured.mean(axis=0)
    assert np.corrcoef(mean, wanted)[0, 1] > 0.8
    assert np.abs(mean - wanted).mean() < 0.15 * np.abs(wanted).mean() + 0.05


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "rna"), ("atac", "adt")])
def test_cells_never_seen_are_predicted_better_than_by_the_mean(source, target):
    values = late_model().predict(test_cells(), source=source, target=target).X
    measured = on_scale(test_cells()[target], target)
    assert correlations(measured, values).mean() > {"adt": 0.3, "rna": 0.15}[target]
    wrong_cell = np.roll(values, 1, axis=0)
    assert ((measured - values) ** 2).mean() < 0.95 * ((measured - wrong_cell) ** 2).mean()


def test_a_cell_of_a_known_batch_is_predicted_alike_in_any_company():
    query = test_cells()
    together = rna_to_adt(query)
    with noticed():  # of batches with few cells
        for rows in ([8], [0, 1, 2], [17, 20, 42], slice(3, 40, 2)):
            np.testing.assert_allclose(rna_to_adt(take(query, rows)), together[rows], rtol=1e-4, atol=1e-5)


def test_the_order_of_the_query_genes_leaves_every_bit_alone():
    rna = test_cells()["rna"]
    order = np.random.default_rng(1).permutation(rna.n_vars)
    shuffled = rna[:, order].copy()
    shuffled.X.sort_indices()
    np.testing.assert_array_equal(rna_to_adt(shuffled), rna_to_adt(rna))


def test_genes_are_matched_by_name_not_by_position():
    rna = test_cells()["rna"]
    renamed = rna.copy()
    renamed.var_names = rna.var_names[::-1]
    assert np.abs(rna_to_adt(renamed) - rna_to_adt(rna)).max() > 0.05


def test_genes_unknown_to_the_model_are_ignored():
    rna = test_cells()["rna"]
    more = AnnData(np.full((N_TEST, 2), 900), obs=rna.obs, var=pd.DataFrame(index=["new1", "new2"]))
    wider = concat([more, rna], axis=1, merge="same")
    assert wider.n_vars == 62
    np.testing.assert_array_equal(rna_to_adt(wider), rna_to_adt(rna))


def test_missing_genes_are_counted_in_a_warning_and_cost_little():
    rna = test_cells()["rna"]
    kept = np.setdiff1d(np.arange(60), np.arange(0, 60, 4))
    with noticed() as texts:
        fewer = rna_to_adt(rna[:, kept].copy())
    assert len(texts) == 1
    assert texts[0].startswith("W036 query, rna: 15 of 60 features of the model are missing (first: GENE0001, ")
    whole = rna_to_adt(rna)
    assert np.median(correlations(whole, fewer)) > 0.8
    assert np.abs((whole - fewer).mean(axis=0)).max() < 0.3


def test_even_the_commonest_genes_may_be_missing_without_a_shift():
    rna = test_cells()["rna"]
    kept = np.sort(np.argsort(-counts(rna).sum(axis=0))[12:])
    with noticed():
        for target, allowed in (("adt", 0.06), ("rna", 0.12)):
            whole = late_model().predict(rna, source="rna", target=target).X
            fewer = late_model().predict(rna[:, kept].copy(), source="rna", target=target).X
            assert np.abs((whole - fewer).mean(axis=0)).max() < allowed


def test_a_sound_query_gives_no_warning():
    with noticed() as texts:
        rna_to_adt(test_cells())
        late_model().match(test_cells(), test_cells(), between=("rna", "adt"), within="batch", depth=True)
    assert texts == []


def test_as_many_genes_of_other_names_are_refused_and_never_matched_by_place():
    rna = test_cells()["rna"]
    rna.var_names = [f"ENSMUSG{i:011d}" for i in range(60)]
    found = refusal(rna_to_adt, rna)
    assert found.code == "E037"
    assert "0 % of rna features match" in found.what
    assert "Ensembl mouse" in found.what


def test_too_few_known_genes_are_refused():
    found = refusal(rna_to_adt, test_cells()["rna"][:, :5].copy())
    assert found.code == "E036"
    assert "55 of 60" in found.what


def test_a_style_moves_predictions_the_way_its_batch_was_measured():
    query = test_cells()
    b1, b2 = rna_to_adt(query, style="b1"), rna_to_adt(query, style="b2")
    adt = training()["adt"]
    measured = on_scale(adt, "adt")
    is_b1 = (adt.obs["batch"] == "b1").to_numpy()
    wanted = measured[is_b1].mean(axis=0) - measured[~is_b1].mean(axis=0)
    moved = (b1 - b2).mean(axis=0)
    assert np.corrcoef(moved, wanted)[0, 1] > 0.9
    assert 0.6 < np.abs(moved).sum() / np.abs(wanted).sum() < 1.4
    average = rna_to_adt(query).mean(axis=0)
    assert np.abs(average - (b1 + b2).mean(axis=0) / 2).max() < 0.5 * np.abs(moved).max()


def test_a_style_leaves_the_content_alone():
    query = test_cells()
    before = late_model().embed(test_cells())["rna"].obsm["X_unisono"]
    b1, b2 = (late_model().prediction(query, source="rna", target="adt", style=style) for style in ("b1", "b2"))
    np.testing.assert_array_equal(late_model().embed(query)["rna"].obsm["X_unisono"], before)
    gains = dict(zip(("b1", "b2"), late_model().fitted.predictor.styles["adt"].gains, strict=True))
    np.testing.assert_allclose(b1.loadings * gains["b2"][:, None], b2.loadings * gains["b1"][:, None], rtol=1e-5)
    moved = b1.codes - b2.codes
    assert np.abs(moved.mean(axis=0)).max() > 0.3
    assert moved.std(axis=0).max() < 0.3 * np.abs(moved.mean(axis=0)).max()
    assert correlations(b1.dense(), b2.dense()).min() > 0.9


def test_the_latent_style_reaches_the_prediction_and_not_only_the_offset():
    model = late_model()
    book = model.fitted.predictor.styles["adt"]
    other = replace(book, latents=book.latents + 1.5)
    other_style = changed(model, styles={**model.fitted.predictor.styles, "adt": other})
    assert np.abs(rna_to_adt(test_cells(), other_style, style="b1") - rna_to_adt(test_cells(), style="b1")).max() > 1e-3


@pytest.mark.parametrize(("batch", "other"), [("b1", "b2"), ("b2", "b1")])
def test_reference_cells_give_the_style_of_their_batch(batch, other):
    rows = (training()["adt"].obs["batch"] == batch).to_numpy()
    references = take(training(), rows)
    query = test_cells()
    found = rna_to_adt(query, style=references)
    near, far = rna_to_adt(query, style=batch), rna_to_adt(query, style=other)
    assert np.abs(found - near).mean() < 0.5 * np.abs(found - far).mean()
    np.testing.assert_array_equal(rna_to_adt(query, style=references["adt"]), found)
    assert np.abs(found - rna_to_adt(query)).max() > 0.1


def test_an_unknown_style_is_refused_with_those_known():
    found = refusal(rna_to_adt, test_cells(), style="b7")
    assert found.code == "E031"
    assert "'b7'" in found.what
    assert "b1, b2" in found.what
    assert "average" in found.remedy


def test_reference_cells_without_the_target_are_refused():
    found = refusal(rna_to_adt, test_cells(), style=rebuilt({"rna": training()["rna"]}))
    assert found.code == "E007"
    assert found.where == "style, adt"


def test_a_query_without_the_source_is_refused():
    query = test_cells()
    found = refusal(rna_to_adt, rebuilt({name: query[name] for name in ("atac", "adt")}))
    assert (found.code, found.where) == ("E007", "query, rna")
    assert "atac, adt" in found.what


@pytest.mark.parametrize(("source", "target"), [("rna", "spatial"), ("spatial", "rna")])
def test_a_modality_the_model_does_not_have_is_refused(source, target):
    found = refusal(late_model().predict, test_cells(), source=source, target=target)
    assert found.code == "E043"
    assert "atac, rna, adt" in found.what
    assert "spatial" in found.what


@pytest.mark.parametrize("target", ["atac", "adt", "rna"])
def test_a_prediction_is_its_link_of_codes_times_loadings(target):
    source = "adt" if target == "rna" else "rna"
    kept = late_model().prediction(test_cells(), source=source, target=target)
    dense = late_model().predict(test_cells(), source=source, target=target).X
    linear = kept.codes.astype(np.float64) @ kept.loadings.T.astype(np.float64) + kept.intercept
    wanted = 1 / (1 + np.exp(-linear)) if target == "atac" else np.maximum(linear, 0)
    np.testing.assert_allclose(dense, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(kept.dense(), dense)


def test_a_table_and_a_mudata_of_it_are_predicted_alike():
    np.testing.assert_array_equal(rna_to_adt(test_cells()["rna"]), rna_to_adt(test_cells()))


def test_dense_and_64_bit_counts_are_predicted_alike():
    rna = test_cells()["rna"]
    dense = AnnData(counts(rna), obs=rna.obs, var=rna.var)
    np.testing.assert_array_equal(rna_to_adt(dense), rna_to_adt(rna))


def test_the_query_is_not_changed():
    query, untouched = test_cells(), test_cells()
    rna_to_adt(query, style=query)
    late_model().match(query, query, between=("rna", "adt"))
    for name, part in query.mod.items():
        assert (part.X != untouched[name].X).nnz == 0
        pd.testing.assert_frame_equal(part.obs, untouched[name].obs)
        pd.testing.assert_frame_equal(part.var, untouched[name].var)
        assert list(part.obsm) == []
        assert list(part.layers) == []
    pd.testing.assert_frame_equal(query.obs, untouched.obs)
    rna = test_cells()["rna"]
    rna_to_adt(rna)
    pd.testing.assert_frame_equal(rna.obs, untouched["rna"].obs)


def test_the_target_of_the_query_is_not_looked_at():
    query = test_cells()
    wanted = rna_to_adt(query)
    query["adt"].X = np.full(query["adt"].shape, np.nan)
    np.testing.assert_array_equal(rna_to_adt(query), wanted)


def test_a_source_that_is_no_counts_is_refused_with_its_modality():
    query = test_cells()
    query["rna"].X = query["rna"].X.multiply(0.5).tocsr()
    found = refusal(rna_to_adt, query)
    assert (found.code, found.where) == ("E012", "query, rna")


def test_without_the_batch_column_all_cells_are_one_new_batch_and_a_warning_says_so():
    query = relabelled("b1")
    known = rna_to_adt(query)
    for part in query.mod.values():
        del part.obs["batch"]
    with noticed() as texts:
        unknown = rna_to_adt(query)
    assert texts[0].startswith("W029 query: no column 'batch'")
    assert not any("batch" in part.obs for part in query.mod.values())
    assert correlations(known, unknown).min() > 0.95
    with noticed():
        np.testing.assert_array_equal(rna_to_adt(relabelled("anything")), unknown)


def test_a_batch_column_in_another_modality_alone_does_not_stop_a_prediction():
    query = test_cells()
    del query["rna"].obs["batch"], query["atac"].obs["batch"]
    with noticed():
        assert np.isfinite(rna_to_adt(query)).all()


def test_a_new_batch_is_standardised_by_its_own_statistics_and_a_warning_says_so():
    with noticed() as texts:
        new = rna_to_adt(relabelled("D9"))
    assert [text[:4] for text in texts] == ["W034"]
    assert "'D9'" in texts[0]
    assert "b1, b2" in texts[0]
    true, wrong = rna_to_adt(relabelled("b1")), rna_to_adt(relabelled("b2"))
    assert np.abs(new - true).mean() < 0.7 * np.abs(new - wrong).mean()
    assert np.abs(true - wrong).max() > 0.1


def test_a_single_cell_of_a_new_batch_keeps_its_content():
    new = take(relabelled("D9"), [4])
    with noticed() as texts:
        alone = rna_to_adt(new)
    assert any(text.startswith("W034") for text in texts)
    every = rna_to_adt(relabelled("b1"))
    own = np.abs(every[4] - alone[0]).mean()
    others = np.abs(np.delete(every, 4, axis=0) - alone).mean(axis=1)
    assert own < np.median(others)


def test_cells_without_counts_are_left_out_with_a_warning():
    rna = test_cells()["rna"]
    x = counts(rna)
    x[[3, 7]] = 0
    with noticed() as texts:
        found = late_model().predict(AnnData(x, obs=rna.obs, var=rna.var), source="rna", target="adt")
    assert any("W020" in text and "2 of 43 cells" in text for text in texts)
    assert list(found.obs_names) == list(rna.obs_names.delete([3, 7]))
    np.testing.assert_allclose(found.X, np.delete(rna_to_adt(rna), [3, 7], axis=0), rtol=1e-4, atol=1e-5)


def test_intervals_are_refused_until_there_are_some():
    assert refusal(rna_to_adt, test_cells(), interval=0.9).code == "E053"


def test_the_ensemble_predicts_the_mean_of_its_members():
    def codes(members):
        return of_members(late_model(), members).prediction(test_cells(), source="rna", target="adt").codes

    first, second = codes([0, 0]), codes([1, 1])
    np.testing.assert_allclose(codes([0, 1]), (first + second) / 2, rtol=1e-4, atol=1e-5)
    assert np.abs(first - second).max() > 0.05


def of_members(model: Unisono, members: list[int]) -> Unisono:
    """The model with these of its two members as first and second."""
    network = deepcopy(model.fitted.predictor.network)
    state = {name: value[members] if value.shape[:1] == (2,) else value for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    styles = {
        m: replace(book, latents=book.latents[:, members], average_latent=book.average_latent[members])
        for m, book in model.fitted.predictor.styles.items()
    }
    return changed(model, network=network, styles=styles)


def test_a_chain_goes_through_the_middle_and_not_straight():
    straight, chained = (late_model().predict(test_cells(), "atac", "adt", via=via) for via in (None, "rna"))
    assert np.abs(straight.X - chained.X).max() > 0.01
    assert correlations(straight.X, chained.X).mean() > 0.5


def test_a_chain_forgets_what_the_middle_does_not_hold():
    """With a first step that says the same of every cell, the second has nothing to tell them apart."""
    model = late_model()
    mute = deepcopy(model.fitted.predictor.network)
    with torch.no_grad():
        for parameter in mute.decoders["rna"].parameters():
            parameter.zero_()
        mute.decoders["rna"].get_buffer("linear").zero_()
    terms = {pair: replace(own, kernel=None, kernel_weight=0.0) for pair, own in model.fitted.predictor.terms.items()}
    chained = changed(model, network=mute, terms=terms).predict(test_cells(), "atac", "adt", via="rna").X
    straight = changed(model, network=mute, terms=terms).predict(test_cells(), "atac", "adt").X
    assert np.ptp(chained, axis=0).max() < 1e-4
    assert np.ptp(straight, axis=0).max() > 0.1


def test_the_uncertainty_of_the_first_step_is_carried_into_the_second():
    """The surer the first posterior is made, the less the chain spreads, though the second step stays as it is."""
    model = late_model()

    def spread(log_var: float):
        network = deepcopy(model.fitted.predictor.network)
        with torch.no_grad():
            network.contents["atac"].log_var.fill_(log_var)
            network.contents["atac"].to_log_var.weight.zero_()
            network.contents["atac"].to_log_var.bias.zero_()
        chain = changed(model, network=network)
        return chain.predict(test_cells(), "atac", "adt", via="rna", n_draws=60).layers["spread"]

    sure, unsure = spread(-60.0), spread(1.0)
    assert (sure < unsure).mean() > 0.9
    assert sure.mean() < 0.9 * unsure.mean()


@pytest.mark.filterwarnings("ignore:W032:unisono.messages.InputWarning")
def test_a_cell_has_the_same_draws_whatever_cells_stand_beside_it():
    for options in ({"via": "rna"}, {"n_draws": 7}):
        query = test_cells()
        whole = late_model().predict(query, "atac", "adt", **options)
        part = late_model().predict(take(query, [11, 3, 29]), "atac", "adt", **options)
        for found, wanted in ((part.X, whole.X), (part.layers["spread"], whole.layers["spread"])):
            np.testing.assert_allclose(found, wanted[[11, 3, 29]], rtol=1e-3, atol=1e-4)


def test_draws_leave_the_prediction_as_it_is_and_lie_about_it():
    plain, drawn = (late_model().predict(test_cells(), "rna", "adt", n_draws=n) for n in (0, 120))
    np.testing.assert_array_equal(plain.X, drawn.X)
    found = late_model().prediction(test_cells(), "rna", "adt", n_draws=120)
    off = np.abs(found.draws.mean(axis=0) - found.codes)
    assert off.mean() < 0.5 * found.draws.std(axis=0).mean()
    assert "spread" not in plain.layers


@pytest.mark.parametrize("via", ["atac", "adt"])
def test_a_chain_through_one_of_its_ends_is_refused(via):
    found = refusal(late_model().predict, test_cells(), "atac", "adt", via=via)
    assert (found.code, f"via={via}" in found.what) == ("E053", True)


def test_proteins_under_another_spelling_give_the_same_prediction():
    mine = {f"ab {name}": name for name in training()["adt"].var_names}
    model, query = late_model().with_aliases(mine), test_cells()
    parts = {name: part.copy() for name, part in query.mod.items()}
    parts["adt"].var_names = [f"ab {name}" for name in parts["adt"].var_names]
    found = model.predict(rebuilt(parts), "adt", "rna")
    np.testing.assert_array_equal(found.X, late_model().predict(query, "adt", "rna").X)


@pytest.mark.filterwarnings("ignore:W017:unisono.messages.InputWarning")
def test_genes_are_known_by_a_second_name():
    """A model of symbols whose training data also held ids reads a query of ids with versions, in another order."""
    ids = np.array([f"ENSG{i:011d}" for i in range(60)])
    data, query = training(), test_cells()
    data["rna"].var["gene_ids"] = ids
    model = fit(data, batch_key="batch", config=tiny(), device="cpu")
    parts = {"rna": query["rna"][:, ::-1].copy()}
    parts["rna"].var_names = [f"{name}.7" for name in ids[::-1]]
    np.testing.assert_allclose(
        model.predict(rebuilt(parts), "rna", "adt").X, model.predict(query, "rna", "adt").X, rtol=1e-4, atol=1e-5
    )


def test_peaks_moved_by_some_bases_give_the_same_prediction():
    query = test_cells()
    parts = {"atac": query["atac"].copy()}
    moved = [re.split("[:-]", name) for name in parts["atac"].var_names]
    parts["atac"].var_names = [f"{chrom}_{int(start) + 17}_{int(end) + 17}" for chrom, start, end in moved]
    found, wanted = (late_model().predict(one, "atac", "rna").X for one in (rebuilt(parts), query))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_query_with_little_of_the_models_input_is_refused_unless_forced():
    query = test_cells()
    parts = {"rna": query["rna"][:, :2].copy()}
    parts["rna"] = parts["rna"][np.asarray(parts["rna"].X.sum(axis=1)).ravel() > 0].copy()
    found = refusal(late_model().predict, rebuilt(parts), "rna", "adt")
    assert (found.code, "force=True" in found.remedy) == ("E036", True)
    with noticed() as said:
        assert late_model().predict(rebuilt(parts), "rna", "adt", force=True).n_vars == 8
    assert any(line.startswith("W036 ") for line in said)


@pytest.mark.filterwarnings("ignore:W032")
def test_the_style_of_one_reference_cell_is_read_without_a_word_of_torch():
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        found = rna_to_adt(test_cells(), style=take(test_cells(), slice(3, 4)))
    finally:
        torch.set_warn_always(always)
    assert np.isfinite(found).all()
