"""Tests of matching: who is matched to whom depends on content alone, in any order and under any names."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from io_fixtures import refusal
from model_fixtures import (
    N_TEST,
    PAIRS,
    changed,
    counts,
    late_model,
    rebuilt,
    small_model,
    take,
    test_cells,
    training,
)
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from unisono.matching import DepthTerm, Similarity, match_cells
from unisono.messages import InputWarning
from unisono.model.query import query_view

RULES = ("soft", "argmax", "one-to-one")


def sides(left: str = "rna", right: str = "adt"):
    query = test_cells()
    return query[left], query[right]


def dense(left, right, **options):
    """Of sides that are known to be whole, unless told otherwise."""
    return (
        small_model().match(left, right, **{"prior_unmatched": 0.0} | options).match_posterior.probabilities.toarray()
    )


def view(part, modality, model=None):
    model = model or small_model()
    return query_view(part, modality, model.fitted.preprocessors, model.record)


def in_batch(part):
    return (part.obs["batch"] == "b1").to_numpy()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("depth", [False, True])
def test_names_are_never_used(rule, depth):
    rna, adt = sides()
    wanted = dense(rna, adt, rule=rule, depth=depth)
    renamed = adt.copy()
    renamed.obs_names = [f"x{i}" for i in range(N_TEST)]
    misled = adt.copy()
    misled.obs_names = np.roll(adt.obs_names, 1)
    for other in (renamed, misled):
        found = small_model().match(rna, other, rule=rule, depth=depth, prior_unmatched=0)
        np.testing.assert_array_equal(found.match_posterior.probabilities.toarray(), wanted)
        assert list(found.right) == list(other.obs_names)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("within", [None, "batch"])
def test_shuffling_the_right_cells_permutes_the_columns_and_nothing_else(rule, within):
    rna, adt = sides()
    order = np.random.default_rng(2).permutation(N_TEST)
    wanted = dense(rna, adt, rule=rule, within=within, depth=True)
    found = dense(rna, adt[order].copy(), rule=rule, within=within, depth=True)
    np.testing.assert_allclose(found, wanted[:, order], atol=1e-6)
    assert np.abs(found - wanted).max() > 0.01


def test_shuffling_the_left_cells_permutes_the_rows():
    rna, adt = sides()
    order = np.random.default_rng(3).permutation(N_TEST)
    np.testing.assert_allclose(dense(rna[order].copy(), adt), dense(rna, adt)[order], atol=1e-4)


@pytest.mark.parametrize(("left", "right"), [*PAIRS, ("adt", "rna")])
@pytest.mark.parametrize("rule", RULES)
def test_rows_sum_to_1_over_at_most_top_entries(left, right, rule):
    posterior = small_model().match(*sides(left, right), rule=rule, top=7).match_posterior.probabilities
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, atol=1e-6)
    assert np.diff(posterior.indptr).max() == (7 if rule == "soft" else 1)
    assert posterior.data.min() >= 0


def test_the_top_entries_are_the_largest_scaled_up():
    full, cut = dense(*sides(), top=1000), dense(*sides(), top=5)
    assert (full > 0).all()
    for whole, row in zip(full, cut, strict=True):
        best = np.sort(np.argsort(-whole)[:5])
        np.testing.assert_array_equal(np.flatnonzero(row), best)
        np.testing.assert_allclose(row[best], whole[best] / whole[best].sum(), rtol=1e-6)


def test_as_many_cells_on_both_sides_share_the_columns_evenly():
    full = dense(*sides(), top=1000)
    np.testing.assert_allclose(full.sum(axis=0), 1.0, atol=0.02)


@pytest.mark.parametrize("rule", RULES)
def test_within_a_batch_no_cell_is_matched_to_another_batch(rule):
    rna, adt = sides()
    free, bound = dense(rna, adt, rule=rule), dense(rna, adt, rule=rule, within="batch")
    across = in_batch(rna)[:, None] != in_batch(adt)[None, :]
    assert free[across].sum() > 0
    assert bound[across].sum() == 0
    np.testing.assert_allclose(bound.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("depth", [False, True])
def test_within_a_batch_cells_are_matched_as_if_the_others_were_not_there(depth):
    rna, adt = sides()
    bound = dense(rna, adt, within="batch", depth=depth)
    for rows in (np.flatnonzero(in_batch(rna)), np.flatnonzero(~in_batch(rna))):
        apart = dense(rna[rows].copy(), adt[rows].copy(), depth=depth)
        np.testing.assert_allclose(bound[np.ix_(rows, rows)], apart, atol=1e-6)


def test_left_cells_of_a_group_that_the_right_side_lacks_are_unmatched_and_said_to_be():
    rna, adt = sides()
    is_alone = ~in_batch(rna)
    with pytest.warns(InputWarning, match=rf"W057 .*{is_alone.sum()} left cells .*\('b2'\)"):
        found = small_model().match(rna, adt[in_batch(adt)].copy(), within="batch")
    table = found.to_anndata()
    assert (table.obs["p_unmatched"].to_numpy() == 1).tolist() == is_alone.tolist()
    np.testing.assert_allclose(table.X.sum(axis=1).A1, ~is_alone, atol=1e-5)
    assert not set(found.pairs["left"]) & set(rna.obs_names[is_alone])
    assert table.obs["is_answered"].to_numpy().tolist() == (~is_alone).tolist()


def test_a_column_of_groups_that_is_not_there_is_refused():
    found = refusal(small_model().match, *sides(), within="donor")
    assert (found.code, found.where) == ("E029", "left, rna")
    assert "'donor'" in found.what
    assert "batch" in found.what


@pytest.mark.parametrize("none", [None, np.nan, "nan", " "])
def test_cells_without_a_group_are_matched_to_none(none):
    rna, adt = sides()
    rna.obs["lab"], adt.obs["lab"] = [none, *"a" * 42], ["a ", *"a" * 40, none, none]
    with pytest.warns(InputWarning, match="W057 match: 1 have no lab"):
        found = small_model().match(rna, adt, within="lab")
    probabilities = found.match_posterior.probabilities.toarray()
    assert probabilities[0].sum() == probabilities[:, -2:].sum() == 0
    assert found.match_posterior.p_unmatched[0] == 1


def test_groups_that_are_numbers_on_one_side_and_text_on_the_other_are_the_same():
    rna, adt = sides()
    rna.obs["lab"], adt.obs["lab"] = np.arange(43) % 2 + 1.0, pd.Categorical((np.arange(43) % 2 + 1).astype(str))
    found = small_model().match(rna, adt, within="lab").match_posterior.probabilities.toarray()
    assert found[0::2, 1::2].sum() == found[1::2, 0::2].sum() == 0


def test_groups_are_those_of_each_side_even_where_names_are_the_same():
    query = test_cells()
    query["rna"].obs["site"] = ["x"] * 20 + ["y"] * 23
    query["adt"].obs["site"] = ["y"] * 23 + ["x"] * 20
    bound = dense(query, query, between=("rna", "adt"), within="site")
    apart = dense(query["rna"], query["adt"], within="site")
    assert apart[:20, :23].sum() == 0
    np.testing.assert_array_equal(bound, apart)


def test_argmax_takes_the_likeliest_partner_of_each_cell():
    soft, best = dense(*sides(), top=1000), dense(*sides(), rule="argmax")
    np.testing.assert_array_equal(best, np.eye(N_TEST)[soft.argmax(axis=1)])
    assert best.sum(axis=0).max() > 1


def test_one_to_one_takes_no_cell_twice_and_is_the_likeliest_such_matching():
    soft, one = dense(*sides(), top=1000), dense(*sides(), rule="one-to-one")
    np.testing.assert_array_equal(one.sum(axis=0), np.ones(N_TEST))
    np.testing.assert_array_equal(one.sum(axis=1), np.ones(N_TEST))
    cost = -np.log(soft)
    best = cost[linear_sum_assignment(cost)].sum()
    assert cost[one > 0].sum() == pytest.approx(best, rel=1e-6)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="expected one of soft, argmax, one-to-one"):
        dense(*sides(), rule="hungarian")


def test_depth_changes_the_matching_where_its_weight_is_positive():
    assert small_model().fitted.depth_terms["rna", "adt"].weight > 0
    assert np.abs(dense(*sides(), depth=True) - dense(*sides())).max() > 0.01


def test_depth_of_weight_0_is_content_alone():
    model, pair = small_model(), ("rna", "adt")
    term = DepthTerm(beta=model.fitted.anchors[pair].beta, weight=0.0, r=0.6)
    without = changed(model, depth_terms={**model.fitted.depth_terms, pair: term})
    for rule in RULES:
        found = without.match(
            *sides(), depth=True, rule=rule, prior_unmatched=0
        ).match_posterior.probabilities.toarray()
        np.testing.assert_allclose(found, dense(*sides(), rule=rule), atol=1e-6)


def test_with_depth_the_score_is_content_plus_the_gaussian_log_ratio_of_depths():
    model, (rna, adt) = small_model(), sides()
    term = model.fitted.depth_terms["rna", "adt"]
    found = model.fitted.similarity(view(rna, "rna"), view(adt, "adt"), depth=True)
    plain = model.fitted.similarity(view(rna, "rna"), view(adt, "adt"))
    assert plain.beta == model.fitted.anchors["rna", "adt"].beta
    assert found.beta == term.beta
    x, y = (np.log1p(counts(part).sum(axis=1)) for part in (rna, adt))
    x, y = ((depth - depth.mean()) / depth.std() for depth in (x, y))
    r = term.r
    quadratic = 2 * r * np.outer(x, y) - r**2 * (x[:, None] ** 2 + y[None, :] ** 2)
    log_ratio = -0.5 * np.log(1 - r**2) + quadratic / (2 * (1 - r**2))
    content = (
        model.fitted.content_vectors(view(rna, "rna")).astype(np.float64)
        @ model.fitted.content_vectors(view(adt, "adt")).T
    )
    wanted = plain.log_ratio() + (term.beta - plain.beta) * content + term.weight * log_ratio
    np.testing.assert_allclose(found.log_ratio(), wanted, rtol=1e-4, atol=1e-4)


def test_a_surplus_of_left_cells_is_unmatched():
    rna, adt = sides()
    found = small_model().match(rna, adt[:30].copy(), top=1000, prior_unmatched=0).match_posterior
    assert found.probabilities.shape == (43, 30)
    assert found.p_unmatched.sum() == pytest.approx(13, abs=0.05)
    assert 0 <= found.p_unmatched.min() < found.p_unmatched.max() <= 1
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-6)
    mass = found.probabilities.toarray() * (1 - found.p_unmatched)[:, None]
    np.testing.assert_allclose(mass.sum(axis=0), 1.0, atol=0.02)


def test_left_cells_that_have_no_partner_are_more_often_said_to_have_none():
    """On average over random halves of the right cells: in a single half of so few chance decides."""
    rna, adt = sides("rna", "adt")
    gaps = []
    for seed in range(6):
        is_there = np.random.default_rng(seed).permutation(N_TEST) < 22
        p = small_model().match(rna, adt[is_there].copy(), top=1000).match_posterior.p_unmatched
        gaps.append(p[~is_there].mean() - p[is_there].mean())
    assert np.mean(gaps) > 0.02


def test_a_surplus_of_right_cells_leaves_no_left_cell_unmatched():
    rna, adt = sides()
    found = small_model().match(rna[:30].copy(), adt, prior_unmatched=0).match_posterior
    assert found.probabilities.shape == (30, 43)
    np.testing.assert_array_equal(found.p_unmatched, np.zeros(30))


def test_where_nothing_is_known_each_cell_may_lack_its_partner_and_the_rest_stays_as_it_was():
    found = small_model().match(*sides(), top=1000).match_posterior
    assert 0.001 < found.p_unmatched.min() < found.p_unmatched.mean() < 0.1
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert np.abs(found.probabilities.toarray() - dense(*sides(), top=1000)).max() < 0.07


def test_cells_whose_kind_the_right_side_lacks_are_said_to_be_unmatched():
    rna, adt = sides("atac", "rna")
    kind = np.argmax(small_model().fitted.content_vectors(view(rna, "atac")), axis=1)
    lacks = kind == np.bincount(kind).argmax()
    p = small_model().match(rna, adt[~lacks].copy()).match_posterior.p_unmatched
    assert p[lacks].mean() > 1.5 * p[~lacks].mean()


@pytest.mark.parametrize("rule", RULES)
def test_confidence_is_the_soft_probability_of_the_answer_whatever_the_rule(rule):
    whole = small_model().match(*sides(), top=1000).match_posterior
    found = small_model().match(*sides(), rule=rule).match_posterior
    answer = found.probabilities.toarray().argmax(axis=1)
    stated = whole.probabilities.toarray()[np.arange(N_TEST), answer] * (1 - whole.p_unmatched)
    np.testing.assert_allclose(found.confidence, stated, atol=1e-9)


def test_unsure_cells_get_no_answer_and_sure_ones_keep_theirs():
    every = small_model().match(*sides())
    threshold = float(np.median(every.match_posterior.confidence))
    some = small_model().match(*sides(), min_probability=threshold)
    assert 0.4 * N_TEST < some.is_answered.sum() < 0.6 * N_TEST
    kept = every.pairs[every.pairs["left"].isin(some.left[some.is_answered])]
    np.testing.assert_array_equal(some.pairs["right"], kept["right"])
    table = some.to_anndata()
    np.testing.assert_array_equal(table.obs["is_answered"], table.obs["confidence"] >= threshold)
    np.testing.assert_allclose(np.asarray(table.X.sum(axis=1)).ravel(), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"), [("prior_unmatched", 1.0), ("prior_unmatched", -0.1), ("min_probability", 1.5)]
)
def test_probabilities_out_of_range_are_refused(name, value):
    found = refusal(small_model().match, *sides(), **{name: value})
    assert found.code == "E053"
    assert f"{name}={value}" in found.what


def test_one_to_one_with_a_surplus_matches_as_many_as_there_are():
    rna, adt = sides()
    found = small_model().match(rna, adt[:30].copy(), rule="one-to-one").match_posterior
    matched = found.probabilities.toarray()[found.p_unmatched == 0]
    assert found.p_unmatched.sum() == 13
    np.testing.assert_array_equal(matched.sum(axis=0), np.ones(30))


@pytest.mark.parametrize("rule", ["argmax", "one-to-one"])
@pytest.mark.parametrize("modality", ["atac", "rna", "adt"])
def test_a_set_matched_with_itself_is_the_identity(modality, rule):
    vectors = small_model().fitted.content_vectors(view(test_cells()[modality], modality))
    found = match_cells(Similarity(vectors, vectors, 20.0), rule=rule).probabilities.toarray()
    np.testing.assert_array_equal(found, np.eye(N_TEST))


def test_partners_are_found_more_often_than_by_chance():
    for left, right in PAIRS:
        full = dense(*sides(left, right), top=1000)
        assert np.diag(full).mean() > 2 / N_TEST
        ahead = (full > np.diag(full)[:, None]).sum(axis=1) / (N_TEST - 1)
        assert ahead.mean() < 0.3


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize("depth", [False, True])
def test_swapped_sides_give_the_transposed_similarity(left, right, depth):
    a, b = sides(left, right)
    there = small_model().fitted.similarity(view(a, left), view(b, right), depth=depth)
    back = small_model().fitted.similarity(view(b, right), view(a, left), depth=depth)
    assert there.beta == back.beta
    np.testing.assert_allclose(there.left @ there.right.T, (back.left @ back.right.T).T, atol=1e-4)
    full, reverse = dense(a, b, top=1000, depth=depth), dense(b, a, top=1000, depth=depth)
    np.testing.assert_allclose(full, reverse.T, atol=0.01)


def test_one_modality_on_both_sides_is_refused():
    rna, _ = sides()
    found = refusal(small_model().match, rna, rna)
    assert found.code == "E007"
    assert "both sides are rna" in found.what


def test_a_side_of_several_modalities_asks_which():
    query = test_cells()
    for left, right, source_name in ((query, query["adt"], "left"), (query["rna"], query, "right")):
        found = refusal(small_model().match, left, right)
        assert (found.code, found.where) == ("E007", source_name)
        assert "between=" in found.remedy


def test_between_says_which_modality_is_on_which_side():
    query = test_cells()
    for left, right in (("rna", "adt"), ("adt", "rna")):
        found = small_model().match(query, query, between=(left, right), prior_unmatched=0)
        assert (found.left_modality, found.right_modality) == (left, right)
        np.testing.assert_array_equal(found.match_posterior.probabilities.toarray(), dense(*sides(left, right)))


def test_a_mudata_of_one_modality_and_a_table_are_matched_alike():
    rna, adt = sides()
    np.testing.assert_array_equal(dense(rebuilt({"rna": rna}), rebuilt({"adt": adt})), dense(rna, adt))


def test_a_table_of_unknown_features_is_refused():
    rna, adt = sides()
    adt.var_names = [f"p{i}" for i in range(8)]
    found = refusal(small_model().match, rna, adt)
    assert (found.code, found.where) == ("E037", "right")


def test_what_comes_out_names_the_cells_of_both_sides():
    rna, adt = sides()
    links = small_model().match(rna, adt[:30].copy(), top=4)
    table = links.to_anndata()
    assert list(table.obs_names) == list(rna.obs_names)
    assert list(table.var_names) == list(adt.obs_names[:30])
    np.testing.assert_array_equal(table.obs["p_unmatched"], links.match_posterior.p_unmatched)
    assert sparse.issparse(table.X)
    best = links.pairs.groupby("left", sort=False).first()
    columns = table.X.toarray().argmax(axis=1)
    assert list(best.index) == list(rna.obs_names)
    assert list(best["right"]) == list(adt.obs_names[columns])
    assert len(links.pairs) == 43 * 4


def test_batches_of_a_query_do_not_pull_their_own_cells_together():
    rna, adt = (take(training(), slice(None))[name] for name in ("rna", "adt"))
    model = late_model()
    found = model.match(rna, adt, top=1000).match_posterior.probabilities.toarray()
    same = in_batch(rna)[:, None] == in_batch(adt)[None, :]
    others = found[same & ~np.eye(len(found), dtype=bool)].sum() / found[~np.eye(len(found), dtype=bool)].sum()
    chance = (same.sum() - len(found)) / (same.size - len(found))
    assert others == pytest.approx(chance, abs=0.1)


def test_pairs_are_a_table_of_left_right_and_probability():
    pairs = small_model().match(*sides(), rule="one-to-one").pairs
    assert list(pairs.columns) == ["left", "right", "probability"]
    pd.testing.assert_series_equal(pairs["probability"], pd.Series(np.ones(43), name="probability"))
