"""Types refuse what is inconsistent, pair cells by name and make predictions dense as their formula says."""

import re
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit

from unisono.types import ONE_BATCH, Bounds, Cells, MatchPosterior, MeasuredFeatures, Prediction, View


def view_of(modality, cells, n_features=5, batch=None, seed=0):
    counts = np.random.default_rng(seed).poisson(2.0, size=(len(cells), n_features))
    features = np.array([f"{modality}-{i}" for i in range(n_features)])
    batch = np.array([ONE_BATCH] * len(cells)) if batch is None else np.asarray(batch)
    return View(modality, sparse.csr_matrix(counts), np.asarray(cells, dtype=str), features, batch)


def changed(view, **changes):
    return replace(view, **changes)


NAMES = [f"c{i}" for i in range(7)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": np.array(NAMES[:6])}, "rna: counts are (7, 5), names give (6, 5)"),
        ({"features": np.array(list("abcd"))}, "rna: counts are (7, 5), names give (7, 4)"),
        ({"batch": np.array(["b"] * 3)}, "rna: 3 batch entries for 7 cells"),
        ({"cells": np.array([*NAMES[:6], "c0"])}, "rna: cell names are not unique"),
        ({"features": np.array(list("abcda"))}, "rna: feature names are not unique"),
        ({"counts": sparse.csr_matrix(np.full((7, 5), 2.0))}, "rna: counts are float64, expected integers"),
        ({"counts": sparse.csr_matrix(np.full((7, 5), True))}, "rna: counts are bool, expected integers"),
        ({"counts": sparse.csr_matrix(np.full((7, 5), -1))}, "rna: counts contain negative values"),
    ],
)
def test_an_inconsistent_view_is_refused(change, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        changed(view_of("rna", NAMES), **change)


def test_a_view_without_any_count_is_accepted_and_has_depth_zero():
    empty = changed(view_of("rna", NAMES), counts=sparse.csr_matrix((7, 5), dtype=np.int32))
    np.testing.assert_array_equal(empty.depth, np.zeros(7))


def test_a_view_cannot_be_changed_after_it_is_made():
    with pytest.raises(FrozenInstanceError):
        view_of("rna", NAMES).modality = "adt"


def test_depth_is_the_sum_over_the_features_of_a_cell():
    view = view_of("adt", NAMES)
    np.testing.assert_array_equal(view.depth, view.counts.toarray().sum(axis=1))


def test_take_moves_counts_names_and_batch_together():
    view = view_of("atac", NAMES, batch=list("pqrpqrp"))
    rows = np.array([4, 0, 6])
    some = view.take(rows)
    np.testing.assert_array_equal(some.counts.toarray(), view.counts.toarray()[rows])
    assert some.cells.tolist() == ["c4", "c0", "c6"]
    assert some.batch.tolist() == ["q", "p", "p"]
    assert some.features.tolist() == view.features.tolist()


@pytest.fixture
def cells():
    """Seven cells in all: two only in rna, one only in adt, one only in atac, in three different orders."""
    return Cells(
        {
            "atac": view_of("atac", ["c", "g", "b"], 4, ["y", "z", "x"], seed=3),
            "rna": view_of("rna", ["b", "a", "d", "c", "e"], 5, ["x", "x", "y", "y", "early"], seed=2),
            "adt": view_of("adt", ["c", "a", "f", "e"], 3, ["y", "x", "y", "late"], seed=1),
        }
    )


def test_a_view_under_the_wrong_name_is_refused():
    with pytest.raises(ValueError, match="the view under 'rna' holds 'adt'"):
        Cells({"rna": view_of("adt", NAMES)})


def test_modalities_stand_in_the_order_in_which_they_were_given(cells):
    assert cells.modalities == ("atac", "rna", "adt")
    assert Cells(dict(reversed(cells.views.items()))).modalities == ("adt", "rna", "atac")


def test_every_cell_stands_once_in_order_of_first_appearance(cells):
    assert cells.names.tolist() == ["c", "g", "b", "a", "d", "e", "f"]


def test_rows_are_paired_by_name_not_place(cells):
    for modality, view in cells.views.items():
        rows = cells.rows[modality]
        has = rows >= 0
        assert view.cells[rows[has]].tolist() == cells.names[has].tolist()
        assert sorted(rows[has]) == list(range(view.n_cells))
        assert set(cells.names[~has]).isdisjoint(view.cells)


def test_the_first_modality_that_has_a_cell_says_its_batch(cells):
    found = dict(zip(cells.names.tolist(), cells.batch.tolist(), strict=True))
    assert found == {"c": "y", "g": "z", "b": "x", "a": "x", "d": "y", "e": "early", "f": "y"}


def test_a_batch_name_longer_than_the_first_is_kept_whole():
    cells = Cells({"rna": view_of("rna", ["a"], batch=["p"]), "adt": view_of("adt", ["b"], batch=["a-long-name"])})
    assert cells.batch.tolist() == ["p", "a-long-name"]


def test_taken_cells_keep_their_own_counts_in_every_modality_they_have(cells):
    some = cells.take(np.array([5, 0, 3]))
    assert set(some.names) == {"e", "c", "a"}
    assert some.views["atac"].cells.tolist() == ["c"]
    assert some.views["rna"].cells.tolist() == ["e", "c", "a"]
    assert some.views["adt"].cells.tolist() == ["e", "c", "a"]
    for modality, view in some.views.items():
        full = cells.views[modality]
        for row, name in enumerate(view.cells):
            wanted = full.counts.toarray()[full.cells.tolist().index(name)]
            np.testing.assert_array_equal(view.counts.toarray()[row], wanted)


def test_taking_some_cells_and_the_others_leaves_none_out(cells):
    one, other = cells.take(np.array([1, 4, 5])), cells.take(np.array([0, 2, 3, 6]))
    assert set(one.names).isdisjoint(other.names)
    assert set(one.names) | set(other.names) == set(cells.names)
    assert sum(part.views[m].n_cells for part in (one, other) for m in part.modalities) == 4 + 5 + 3


def test_rows_of_match_probabilities_that_do_not_sum_to_one_are_refused():
    posterior = np.random.default_rng(0).dirichlet(np.ones(5), size=3)
    MatchPosterior(sparse.csr_matrix(posterior), np.zeros(3))
    posterior[1] *= 0.5
    with pytest.raises(ValueError, match=r"rows of match probabilities sum to 1, found 0\.5 to 1"):
        MatchPosterior(sparse.csr_matrix(posterior), np.zeros(3))


def test_match_probabilities_with_a_left_cell_too_few_in_p_unmatched_is_refused():
    posterior = sparse.csr_matrix(np.full((3, 5), 0.2))
    with pytest.raises(ValueError, match="2 p_unmatched for 3 left cells"):
        MatchPosterior(posterior, np.zeros(2))


def prediction(link="nonnegative", seed=0):
    rng = np.random.default_rng(seed)
    return Prediction(
        source="rna",
        target="adt",
        cells=np.array(NAMES),
        features=np.array([f"p{i}" for i in range(11)]),
        codes=rng.normal(size=(7, 3)).astype(np.float32),
        loadings=rng.normal(size=(11, 3)).astype(np.float32),
        intercept=rng.normal(size=11).astype(np.float32),
        link=link,
    )


def unlinked(found):
    return found.codes.astype(float) @ found.loadings.astype(float).T + found.intercept


@pytest.mark.parametrize(
    ("link", "function"),
    [("identity", lambda x: x), ("nonnegative", lambda x: np.maximum(x, 0.0)), ("logistic", lambda x: expit(x))],
)
def test_dense_is_the_link_of_codes_times_loadings_plus_intercept(link, function):
    found = prediction(link)
    assert (unlinked(found) < 0).any()
    np.testing.assert_allclose(found.dense(), function(unlinked(found)), rtol=1e-5, atol=1e-6)
    assert found.dense().shape == found.shape == (7, 11)


def test_a_logistic_prediction_of_extreme_codes_stays_between_zero_and_one():
    found = prediction("logistic")
    found = replace(found, codes=found.codes * 1e6)
    values = found.dense()
    assert np.isfinite(values).all()
    assert values.min() < 1e-20
    assert values.max() == 1.0


def test_making_a_prediction_dense_leaves_it_unchanged():
    found = prediction("logistic")
    before = found.codes.copy(), found.loadings.copy(), found.intercept.copy()
    first = found.dense()
    np.testing.assert_array_equal(first, found.dense())
    for array, was in zip((found.codes, found.loadings, found.intercept), before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_the_spread_is_the_standard_deviation_of_the_draws_after_the_link():
    draws = np.random.default_rng(5).normal(size=(11, *prediction().codes.shape)).astype(np.float32)
    found = replace(prediction("logistic"), draws=draws)
    values = np.stack([replace(found, codes=codes, draws=None).dense() for codes in draws]).astype(np.float64)
    np.testing.assert_allclose(found.spread(), values.std(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.spread(slice(2, 5)), values.std(axis=0)[2:5], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("link", "least"), [("identity", -np.inf), ("nonnegative", 0.0)])
def test_an_interval_lies_evenly_about_the_value_and_ends_at_the_least_that_the_link_gives(link, least):
    factors, scale = np.array([[2.0] * 11, [3.0] * 11], dtype=np.float32), np.full(11, 0.5, dtype=np.float32)
    bounds = Bounds(0.9, factors, np.array([0, 1, 1, 0, 1, 0, 0]), scale)
    found = prediction(link)
    found = replace(found, draws=np.repeat(found.codes[None], 3, axis=0), bounds=bounds)
    lower, upper = found.interval()
    half = 0.5 * factors[bounds.group]
    np.testing.assert_allclose(lower, np.maximum(found.dense() - half, least), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(upper, found.dense() + half, rtol=1e-5, atol=1e-5)
    assert (lower < 0).any() == (link == "identity")


def test_a_prediction_without_draws_has_no_spread():
    with pytest.raises(ValueError, match="without draws"):
        prediction().spread()


def test_draws_of_other_cells_are_refused():
    with pytest.raises(ValueError, match="draws are"):
        replace(prediction(), draws=np.zeros((3, 2, 2), dtype=np.float32))


def test_some_features_of_a_prediction_are_columns_of_the_whole():
    found = prediction()
    columns = np.array([8, 2, 5])
    some = found.take_features(columns)
    assert some.features.tolist() == ["p8", "p2", "p5"]
    np.testing.assert_allclose(some.dense(), found.dense()[:, columns], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("codes", np.zeros((6, 3), np.float32)),
        ("loadings", np.zeros((11, 2), np.float32)),
        ("intercept", np.zeros(7, np.float32)),
    ],
)
def test_a_prediction_whose_parts_do_not_fit_is_refused(field, wrong):
    with pytest.raises(ValueError, match="prediction of adt: shapes"):
        replace(prediction(), **{field: wrong})


def test_take_keeps_what_batches_did_not_measure_and_cells_know_their_own():
    mask = np.array([False, True, False, False, True])
    view = view_of("adt", NAMES, batch=list("pqqpqrp"))
    dense = view.counts.toarray()
    dense[np.ix_(view.batch == "q", mask)] = 0
    view = changed(view, counts=sparse.csr_matrix(dense), unmeasured={"q": mask})
    some = view.take(np.array([5, 1, 0]))
    np.testing.assert_array_equal(some.unmeasured["q"], mask)
    np.testing.assert_array_equal(some.measured.rows[some.measured.row_of], [[1] * 5, ~mask, [1] * 5])
    np.testing.assert_array_equal(view.measured.n_cells, [7, 4, 7, 7, 4])
    assert not view.measured.is_complete
    assert view.take(np.array([5, 0])).measured.is_complete


def test_blocks_part_the_features_by_the_cells_that_measured_them():
    lacked = {"p": np.array([1, 0, 0, 1, 0], bool), "q": np.array([0, 0, 1, 1, 0], bool)}
    batch = np.array(list("pqrpqrp"))
    measured = MeasuredFeatures.of_batches(lacked, batch, 5)
    seen = np.zeros((7, 5), dtype=int)
    for cells, features in measured.blocks():
        seen[np.ix_(cells, features)] += 1
    wanted = np.array([~lacked.get(name, np.zeros(5, bool)) for name in batch])
    np.testing.assert_array_equal(seen, wanted)
    np.testing.assert_array_equal(measured.n_cells, wanted.sum(axis=0))


def test_cells_taken_as_one_batch_lack_what_all_of_them_lacked():
    view = view_of("adt", NAMES, batch=list("ppqqqpp"))
    masks = {"p": np.array([1, 1, 0, 0, 0], bool), "q": np.array([0, 1, 0, 0, 1], bool)}
    counts = view.counts.multiply(~np.array([masks[name] for name in view.batch])).tocsr().astype(int)
    joined = changed(view, counts=counts, unmeasured=masks).in_one_batch("new")
    assert set(joined.batch) == {"new"}
    np.testing.assert_array_equal(joined.unmeasured["new"], [False, True, False, False, False])
    assert view.in_one_batch("new").unmeasured == {}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros(4, bool), "rna: unmeasured of batch p is bool of shape (4,), expected bool, one for each of 5"),
        (np.zeros(5), "rna: unmeasured of batch p is float64 of shape (5,), expected bool"),
        (np.arange(5) == 2, "rna: rna-2 has counts in batch p, which did not measure it"),
    ],
)
def test_what_was_not_measured_has_no_counts(mask, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        changed(view_of("rna", NAMES, batch=list("ppqqqqp")), unmeasured={"p": mask})
