"""Tests of disentanglement: spaces are the model's, labels go by name, and what cannot be asked is absent."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import refusal
from model_fixtures import counts, late_model, noticed, on_scale, rebuilt, take, test_cells, training
from scipy import sparse

import unisono as un
from unisono.evaluation import disentanglement as room
from unisono.evaluation.probes import class_probes, value_probes
from unisono.messages import InputWarning
from unisono.model.query import query_view
from unisono.nn import infer


@cache
def figures():
    return un.disentanglement(late_model(), training())


def pair_of(query):
    """Its RNA and protein."""
    return rebuilt({m: query[m] for m in ("rna", "adt")})


def probe(found, space, modality, label, how="linear"):
    wanted = (space, modality, label, how)
    matching = [one for one in found.probes if (one.space, one.modality, one.label, one.how) == wanted]
    assert len(matching) == 1, wanted
    return matching[0]


def test_every_space_is_asked_for_every_label_by_both_probes():
    found = figures()
    spaces = {"content", "embedding", "style", "codes", "standardised codes"}
    asked = {(one.space, one.modality, one.label) for one in found.probes}
    wanted = {(s, m, w) for s in spaces for m in ("atac", "rna", "adt") for w in ("batch", "depth", "cell type")}
    wanted |= {("cell type", m, w) for m in ("atac", "rna", "adt") for w in ("batch", "depth")}
    wanted |= {(s, p, "modality") for s in room.SHARED for p in ("atac+rna", "atac+adt", "rna+adt")}
    assert asked == wanted
    assert len(found.probes) == 2 * len(wanted)


def test_spaces_are_what_the_model_says():
    model, view = late_model(), query_view(training(), "rna", late_model().fitted.preprocessors, late_model().record)
    standardised = model.fitted.preprocessors["rna"].transform(view)
    z = infer.contents(model.fitted.predictor.network, "rna", standardised.x)
    content = np.concatenate(list(z), axis=1)
    by_hand = value_probes("content", "rna", "depth", content, standardised.log_depth, view.cells)
    assert probe(figures(), "content", "rna", "depth") == by_hand[0]
    spaces = {
        "embedding": model.fitted.embedding(view),
        "codes": standardised.scaled,
        "standardised codes": standardised.x,
    }
    for name, x in spaces.items():
        for one in class_probes(name, "rna", "batch", x, view.batch, view.cells):
            assert probe(figures(), name, "rna", "batch", one.how) == one


def test_style_says_batch_and_depth_and_the_codes_lose_the_batch():
    found = figures()
    for modality in ("atac", "rna", "adt"):
        assert probe(found, "style", modality, "batch").score > 0.7
        assert probe(found, "style", modality, "depth").score > 0.8
        assert probe(found, "standardised codes", modality, "batch").score < 0.6
    assert min(probe(found, "codes", modality, "batch").score for modality in ("rna", "adt")) > 0.75
    assert probe(found, "style", "rna+adt", "modality").score == 1.0
    assert probe(found, "content", "rna", "cell type").score > 2 * probe(found, "content", "rna", "cell type").chance


def test_shares_of_variance_add_up():
    found = figures()
    assert {(each.source, each.target) for each in found.styled} == {
        (a, b) for a in ("atac", "rna", "adt") for b in ("atac", "rna", "adt")
    }
    for each in found.styled:
        shares = each.variance
        assert shares.content + shares.style + shares.interaction == pytest.approx(1.0)
        assert shares.n_contents == 151
        assert shares.n_styles == 2
        assert each.change > 0


def test_a_swap_moves_predictions_towards_the_other_batch():
    for each in figures().styled:
        assert each.style_transfer.shift_fraction > 0.5
        assert each.style_transfer.called_b_swapped > each.style_transfer.called_b_own + 0.4


def test_a_change_by_a_swap_is_that_of_two_predictions():
    query = training()
    each = next(one for one in figures().styled if (one.source, one.target) == ("rna", "adt"))
    b0, b1 = (
        late_model().predict(query, "rna", "adt", style=name).X for name in sorted(query["rna"].obs["batch"].unique())
    )
    assert each.change == pytest.approx(np.abs(b0 - b1).mean(), rel=1e-4)


def test_a_feature_that_the_test_cells_did_not_measure_is_not_counted_as_moved():
    """Its column of zeros changes nothing: the figures are those of a test without the column."""
    query = training()
    x, adt = counts(query["adt"]), query["adt"]
    x[:, 0] = 0
    zeros = rebuilt({"rna": query["rna"], "adt": AnnData(sparse.csr_matrix(x), obs=adt.obs, var=adt.var)})
    without = rebuilt({"rna": query["rna"], "adt": adt[:, 1:].copy()})
    found = []
    for test, code in ((zeros, "W068"), (without, "W036")):
        with pytest.warns(InputWarning, match=code):
            styled = un.disentanglement(late_model(), test).styled
        found.append(next(one for one in styled if one.target == "adt"))
    assert found[0].features_moved == pytest.approx(found[1].features_moved)
    assert found[0].change == pytest.approx(found[1].change, rel=1e-5)
    b1, b2 = (late_model().predict(query, found[0].source, "adt", style=name).X for name in ("b1", "b2"))
    deviation = on_scale(query["adt"][:, 1:], "adt").std(axis=0)
    assert found[0].features_moved == pytest.approx((np.abs(b1 - b2).mean(axis=0)[1:] > 0.1 * deviation).mean())


def test_cell_types_are_found_by_cell_name_and_missing_ones_left_out():
    query = pair_of(training())
    types = query["rna"].obs["cell_type"].astype(str)
    bare = {name: part.copy() for name, part in query.mod.items()}
    for part in bare.values():
        del part.obs["cell_type"]
    assert {one.label for one in un.disentanglement(late_model(), rebuilt(bare)).probes} == {
        "batch",
        "depth",
        "modality",
    }
    some = types.where(np.arange(len(types)) < 120).iloc[np.random.default_rng(0).permutation(len(types))]
    bare["adt"].obs["kind"] = some.reindex(bare["adt"].obs_names)
    found = un.disentanglement(late_model(), rebuilt(bare), "kind")
    assert probe(found, "content", "rna", "cell type").n_cells == 120
    whole = un.disentanglement(late_model(), take(pair_of(training()), slice(0, 120)))
    wanted = probe(whole, "content", "rna", "cell type").score
    assert probe(found, "content", "rna", "cell type").score == pytest.approx(wanted)


def test_cells_of_one_new_batch_have_no_swap_but_all_else():
    query = pair_of(test_cells())
    for part in query.mod.values():
        part.obs["batch"] = "elsewhere"
    with noticed():
        found = un.disentanglement(late_model(), query)
    assert {one.label for one in found.probes} == {"depth", "cell type", "modality"}
    assert all(each.style_transfer is None and each.change is None for each in found.styled)
    assert found.styled[0].variance.n_contents == 43


def test_figures_are_plain_enough_for_json():
    document = json.loads(json.dumps(figures().as_document()))
    assert set(document) == {"probes", "styled"}
    assert document["probes"] == figures().rows()
    row = figures().rows()[0]
    assert row["above_chance"] == pytest.approx(row["score"] - row["chance"])
    assert document["styled"][3]["style_transfer"]["n_batches"] == 2


def test_many_cells_are_cut_to_as_many_as_can_be_asked(monkeypatch):
    monkeypatch.setattr(room, "_MAX_CELLS", 61)
    monkeypatch.setattr(room, "_MAX_CONTENTS", 17)
    found = un.disentanglement(late_model(), pair_of(training()), seed=4)
    assert probe(found, "content", "rna", "depth").n_cells == 61
    assert found.styled[0].variance.n_contents == 17


def test_missing_scikit_learn_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setattr(room, "has_probes", lambda: False)
    found = refusal(un.disentanglement, late_model(), test_cells())
    assert found.code == "E063"
    assert "pip install scikit-learn" in found.remedy
