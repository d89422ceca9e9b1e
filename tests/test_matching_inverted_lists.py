"""Tests of the search by inverted lists: nearly what exact search finds, the more so the more lists are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.matching import Similarity, inverted_lists, nearest, similarity
from unisono.matching.candidates import most_similar
from unisono.matching.inverted_lists import InvertedLists

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def sides():
    """113 queries and 1,907 references anywhere on a sphere of 7 dimensions."""
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=(n, 7)) for n in (113, 1907)]
    return tuple((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in drawn)


def recall(found, wanted):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, wanted, strict=True)])


def test_more_lists_find_more_and_all_lists_all(sides, monkeypatch):
    wanted, similarity = most_similar(*sides, 10)
    recalls = []
    for n_probes in (1, 6, 43):
        monkeypatch.setattr(inverted_lists, "_PROBES", n_probes)
        found = InvertedLists.of(sides[1]).most_similar(sides[0], 10)
        recalls.append(recall(found[0], wanted))
    assert recalls[0] < recalls[1] < recalls[2] == 1.0
    assert recalls[1] > 0.9
    np.testing.assert_array_equal(found[0], wanted)
    np.testing.assert_array_equal(found[1], similarity)


def test_cells_whose_lists_hold_too_few_are_looked_up_exactly(sides, monkeypatch):
    monkeypatch.setattr(inverted_lists, "_PROBES", 1)
    lists = InvertedLists.of(sides[1])
    positions, similarity = lists.most_similar(sides[0], 700)
    wanted = most_similar(*sides, 700)
    np.testing.assert_array_equal(positions, wanted[0])
    np.testing.assert_array_equal(similarity, wanted[1])
    assert lists.most_similar(sides[0][:2], 5000)[0].shape == (2, 1907)


def test_two_lists_of_one_set_are_the_same(sides):
    one, other = (InvertedLists.of(sides[1]).most_similar(sides[0], 7)[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_candidates_in_lists_are_those_of_exact_search_but_for_a_few(sides):
    left, right = np.vstack([sides[0], sides[1][:800]]), sides[1]
    found, wanted = inverted_lists.candidates_in_lists(left, right, 9), nearest(left, right, 9)
    there = (found.toarray() != 0)[wanted.toarray() != 0]
    assert there.mean() > 0.97
    both = found.toarray()[(found.toarray() != 0) & (wanted.toarray() != 0)]
    np.testing.assert_array_equal(both, wanted.toarray()[(found.toarray() != 0) & (wanted.toarray() != 0)])
    assert found.has_sorted_indices
    assert np.diff(found.indptr).min() >= 9


def test_of_very_many_cells_fewer_candidates_are_looked_for(sides, monkeypatch):
    monkeypatch.setattr(inverted_lists, "_MAX_ENTRIES", 5 * 1907)
    assert np.diff(inverted_lists.candidates_in_lists(*sides, 50).indptr).min() >= 5
    assert inverted_lists.candidates_in_lists(*sides, 50).nnz <= 5 * (113 + 1907)


def test_only_more_pairs_than_can_be_compared_are_found_by_lists(sides, monkeypatch):
    asked = []
    monkeypatch.setattr(similarity, "candidates_in_lists", lambda *sides: asked.append(1) or nearest(*sides))
    whole = Similarity(*sides, beta=3.0)
    whole.candidates(5)
    assert not asked
    monkeypatch.setattr(similarity, "MIN_REFERENCES", 400)
    whole.candidates(5)
    assert asked
