"""Tests of the embedding: one space for all modalities, in which cells rank as in matching."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData
from io_fixtures import refusal
from model_fixtures import PAIRS, changed, counts, late_model, noticed, rebuilt, small_model, take, test_cells, training
from scipy.stats import spearmanr

from unisono.matching import mean_potential
from unisono.messages import BadInput
from unisono.metrics import foscttm_of_scores
from unisono.model.query import query_view
from unisono.preprocessing.moment_alignment import fit_moment_alignment
from unisono.preprocessing.preprocessor import Preprocessor

KEY = "X_unisono"


def vectors(mdata, name):
    return mdata[name].obsm[KEY].astype(np.float64)


def test_every_modality_gets_unit_vectors_of_its_cells():
    query = test_cells()
    assert small_model().embed(query) is query
    for name in ("atac", "rna", "adt"):
        found = vectors(query, name)
        assert found.shape == (43, (2 + 1) * (8 + 1) + 1 + 3 * 64)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)
        assert found.std(axis=0).max() > 0.05


def views_of(query, *names):
    return [query_view(query[m], m, small_model().fitted.preprocessors, small_model().record) for m in names]


def of_two(left, right):
    """The small model as if it had these two modalities alone, aligned on its training cells, and a query of them."""
    fitted = small_model().fitted
    anchors = {pair: known for pair, known in fitted.anchors.items() if set(pair) == {left, right}}
    contents = {v.modality: fitted.content_vectors(v) for v in views_of(training(), left, right)}
    potentials = {m: mean_potential(anchors, m, x) for m, x in contents.items()}
    alignment = fit_moment_alignment(contents, potentials, fitted.config.embedding)
    query = test_cells()
    model = changed(small_model(), anchors=anchors, moment_alignment=alignment)
    return model, rebuilt({m: query[m] for m in (left, right)})


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_inner_products_rank_as_the_similarity_of_match(left, right):
    model, query = of_two(left, right)
    query = model.embed(query)
    similarity = model.fitted.similarity(*views_of(query, left, right)).log_ratio()
    found = vectors(query, left) @ vectors(query, right).T
    for inner, wanted in ((found, similarity), (found.T, similarity.T)):
        rho = [spearmanr(a, b).statistic for a, b in zip(inner, wanted, strict=True)]
        assert np.mean(rho) > 0.98
    assert foscttm_of_scores(found) == pytest.approx(foscttm_of_scores(similarity), abs=0.01)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_where_vectors_are_filled_up_inner_products_are_the_log_ratio_but_for_the_product_of_potentials(left, right):
    model, query = of_two(left, right)
    alignment = {m: replace(one, length=9.0) for m, one in model.fitted.moment_alignment.items()}
    model = changed(model, moment_alignment=alignment)
    views, beta = views_of(query, left, right), model.fitted.anchors[left, right].beta
    z = []
    for view in views:
        content = model.fitted.content_vectors(view)
        potential = mean_potential(model.fitted.anchors, view.modality, content)
        z.append(alignment[view.modality].aligned(content, potential)[:, -1] - 1.0)
    query = model.embed(query)
    found = 81.0 * vectors(query, left) @ vectors(query, right).T - np.outer(*z)
    difference = beta * found - model.fitted.similarity(*views).log_ratio()
    np.testing.assert_allclose(difference, difference.mean(), atol=0.01)


def test_a_model_without_alignment_embeds_content_alone():
    plain = changed(small_model(), moment_alignment={}).embed(test_cells())
    for view in views_of(plain, "rna", "adt"):
        content = small_model().fitted.content_vectors(view)
        np.testing.assert_allclose(content, vectors(plain, view.modality), atol=1e-6)


def test_the_mean_of_a_modality_is_brought_to_that_of_the_others():
    trained, fitted = training(), small_model().fitted
    views = dict(zip(("atac", "rna", "adt"), views_of(trained, "atac", "rna", "adt"), strict=True))
    n_shared = fitted.content_vectors(views["rna"]).shape[1] + 1
    for other in ("rna", "adt"):
        before = [fitted.content_vectors(views[m]).mean(axis=0) for m in ("atac", other)]
        after = [fitted.embedding(views[m])[:, :n_shared].mean(axis=0) for m in ("atac", other)]
        assert np.linalg.norm(after[0] - after[1]) < 0.9 * np.linalg.norm(before[0] - before[1])
    for m, view in views.items():
        np.testing.assert_allclose(fitted.embedding(view), vectors(small_model().embed(trained), m), atol=1e-6)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_partners_lie_closer_than_other_cells(left, right):
    query = late_model().embed(test_cells())
    similarity = vectors(query, left) @ vectors(query, right).T
    others = similarity[~np.eye(43, dtype=bool)]
    assert np.diag(similarity).mean() - others.mean() > 0.5 * others.std()


def test_members_share_the_weight_that_the_linear_path_leaves():
    query = changed(late_model(), moment_alignment={}).embed(test_cells())
    weight = float(late_model().fitted.predictor.network.linear_weight)
    parts = vectors(query, "rna").reshape(43, 3, 9)
    wanted = np.sqrt([(1 - weight) / 2, (1 - weight) / 2, weight])
    np.testing.assert_allclose(np.linalg.norm(parts, axis=2), np.broadcast_to(wanted, (43, 3)), rtol=1e-5)
    assert np.abs(parts[:, 0] - parts[:, 1]).max() > 0.05


def test_cells_without_counts_are_nan_and_leave_the_others_alone():
    query, whole = test_cells(), small_model().embed(test_cells())
    x = counts(query["rna"])
    x[[5, 11]] = 0
    query = rebuilt({"rna": AnnData(x, obs=query["rna"].obs, var=query["rna"].var), "adt": query["adt"]})
    with noticed() as texts:
        small_model().embed(query)
    assert any("W020" in text for text in texts)
    is_empty = np.isnan(vectors(query, "rna")).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(is_empty), [5, 11])
    np.testing.assert_allclose(vectors(query, "rna")[~is_empty], vectors(whole, "rna")[~is_empty], atol=1e-6)
    assert np.isfinite(vectors(query, "adt")).all()
    novelty = {m: query[m].obs["unisono_novelty"].to_numpy() for m in ("rna", "adt")}
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(novelty["rna"])), [5, 11])
    np.testing.assert_allclose(novelty["rna"][~is_empty], whole["rna"].obs["unisono_novelty"][~is_empty], rtol=1e-5)


def test_rows_follow_the_cells_of_each_modality():
    order = np.random.default_rng(4).permutation(43)
    whole = small_model().embed(test_cells())
    query = test_cells()
    shuffled = small_model().embed(rebuilt({"rna": query["rna"][order].copy(), "adt": query["adt"]}))
    np.testing.assert_allclose(vectors(shuffled, "rna"), vectors(whole, "rna")[order], atol=1e-6)
    np.testing.assert_allclose(vectors(shuffled, "adt"), vectors(whole, "adt"), atol=1e-6)


def test_nothing_but_the_embedding_and_the_novelty_is_written():
    query, untouched = test_cells(), test_cells()
    small_model().embed(query)
    for name in query.mod:
        assert list(query[name].obsm) == [KEY]
        assert (query[name].X != untouched[name].X).nnz == 0
        assert list(query[name].obs) == [*untouched[name].obs, "unisono_novelty"]


def test_cells_are_projected_once_for_their_embedding_and_their_novelty(monkeypatch):
    projected = []
    transform = Preprocessor.transform
    monkeypatch.setattr(Preprocessor, "transform", lambda own, view: projected.append(own) or transform(own, view))
    query = small_model().embed(test_cells())
    assert sorted(own.modality for own in projected) == ["adt", "atac", "rna"]
    fitted = small_model().fitted
    for view in views_of(test_cells(), "rna", "adt"):
        np.testing.assert_allclose(fitted.embedding(view), query[view.modality].obsm[KEY], rtol=1e-5, atol=1e-6)
        novelty = query[view.modality].obs["unisono_novelty"]
        np.testing.assert_allclose(fitted.novelty(view), novelty, rtol=1e-5, atol=1e-6)


def test_modalities_of_other_kinds_are_left_alone():
    query = test_cells()
    extra = AnnData(np.ones((43, 3)), obs=query["rna"].obs)
    found = small_model().embed(rebuilt({"rna": query["rna"], "spatial": extra}))
    assert KEY in found["rna"].obsm
    assert list(found["spatial"].obsm) == []


def test_no_modality_of_the_model_is_refused():
    query = test_cells()
    found = refusal(small_model().embed, rebuilt({"spatial": query["rna"]}))
    assert found.code == "E043"
    assert "spatial" in found.what
    assert "atac, rna, adt" in found.what


def test_an_embedding_does_not_depend_on_the_company():
    few = small_model().embed(take(test_cells(), slice(9, 30)))
    together = small_model().embed(test_cells())
    np.testing.assert_allclose(vectors(few, "adt"), vectors(together, "adt")[9:30], atol=1e-5)


def test_one_table_is_refused_and_not_changed():
    rna = test_cells()["rna"]
    with pytest.raises(BadInput, match="E006 embed: one AnnData, not a MuData"):
        small_model().embed(rna)
    assert "X_unisono" not in rna.obsm


def test_a_view_of_another_table_is_embedded_without_a_word_and_the_other_table_stays():
    whole = test_cells()["rna"]
    query = rebuilt({"rna": whole[3:14]})
    small_model().embed(query)
    np.testing.assert_allclose(np.linalg.norm(vectors(query, "rna"), axis=1), 1.0, rtol=1e-5)
    assert KEY not in whole.obsm
