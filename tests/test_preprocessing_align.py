"""A query's columns are found by name, whatever their order and whatever stands between them."""

import numpy as np
from scipy import sparse

from unisono.modalities import Known
from unisono.preprocessing.align import align, aligned_counts
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


def peaks_of(*names):
    return np.array(names)


def test_peak_sets_that_share_some_names_alone_are_matched_by_overlap():
    """A third of the peaks are merged with their neighbours; the others keep their names."""
    model = peaks_of("chr1:100-200", "chr1:300-400", "chr1:900-950", "chr2:10-20", "chr2:50-60")
    query = peaks_of("chr1:100-400", "chr1:900-950", "chr2:10-20", "chr2:50-60")
    found = align("atac", Known(model), query)
    assert found.is_present.all()
    assert found.is_exact.tolist() == [False, False, True, True, True]
    np.testing.assert_allclose(found.weights.toarray()[0], [0.5, 0.5, 0, 0, 0])


def test_a_selection_of_the_models_own_peaks_is_matched_by_name():
    model = peaks_of("chr1:100-200", "chr1:150-260", "chr2:10-20")
    found = align("atac", Known(model), model[[2, 0]])
    assert found.weights is None
    assert found.columns.tolist() == [1, -1, 0]


def test_peaks_whose_names_are_no_intervals_are_matched_by_name():
    found = align("atac", Known(peaks_of("p1", "p2", "p3", "p4")), peaks_of("p4", "q9", "p1", "q8"))
    assert found.columns.tolist() == [2, -1, -1, 0]
