"""A query's columns are found by name, whatever their order and whatever stands between them."""

import numpy as np
from scipy import sparse

from unisono.transforms.align import Known, align, aligned_counts
from unisono.types import View

WANTED = np.array(["a", "b", "c", "d", "e"])


def view_of(features, seed=0):
    counts = sparse.csr_matrix(np.random.default_rng(seed).poisson(1.0, size=(7, len(features))))
    cells = np.array([f"c{i}" for i in range(7)])
    return View("rna", counts, cells, np.asarray(features), np.array(["all"] * 7))


def by_name(view):
    dense = view.counts.toarray()
    return {name: dense[:, place] for place, name in enumerate(view.features.tolist())}


def test_equal_names_in_equal_order_change_nothing():
    view = view_of(WANTED)
    alignment = align("rna", Known(WANTED), view.features)
    assert alignment.columns.tolist() == [0, 1, 2, 3, 4]
    assert (alignment.n_unknown, alignment.n_missing) == (0, 0)
    assert aligned_counts(view, alignment) is view.counts


def test_columns_are_found_by_name_not_place():
    view = view_of(["d", "x", "a", "y", "c", "z", "e"])
    alignment = align("rna", Known(WANTED), view.features)
    assert alignment.columns.tolist() == [2, -1, 4, 0, 6]
    assert alignment.is_present.tolist() == [True, False, True, True, True]
    assert (alignment.n_unknown, alignment.n_missing) == (3, 1)


def test_aligned_counts_are_each_features_own_and_zero_where_it_is_missing():
    view = view_of(["d", "x", "a", "y", "c", "z", "e"])
    found = aligned_counts(view, align("rna", Known(WANTED), view.features))
    own = by_name(view)
    wanted = np.stack([own.get(name, np.zeros(7)) for name in WANTED.tolist()], axis=1)
    np.testing.assert_array_equal(found.toarray(), wanted)
    assert found.has_canonical_format


def test_unknown_features_behind_the_known_ones_are_cut_off():
    view = view_of([*WANTED, "x", "y"])
    found = aligned_counts(view, align("rna", Known(WANTED), view.features))
    np.testing.assert_array_equal(found.toarray(), view.counts.toarray()[:, :5])


def test_a_query_of_the_first_features_only_is_padded():
    view = view_of(WANTED[:3])
    found = aligned_counts(view, align("rna", Known(WANTED), view.features))
    np.testing.assert_array_equal(found.toarray(), np.pad(view.counts.toarray(), ((0, 0), (0, 2))))


def test_no_name_in_common_leaves_every_feature_missing():
    alignment = align("rna", Known(WANTED), np.array(["x", "y"]))
    assert not alignment.is_present.any()
    assert (alignment.n_unknown, alignment.n_missing) == (2, 5)


def test_aligning_leaves_the_view_unchanged():
    view = view_of(["e", "d", "c", "b", "a"])
    before = view.counts.copy()
    aligned_counts(view, align("rna", Known(WANTED), view.features))
    np.testing.assert_array_equal(view.counts.indices, before.indices)
    np.testing.assert_array_equal(view.counts.data, before.data)
