"""Tests of the search by inverted lists: nearly what exact search finds, the more so the more lists are looked at."""

from __future__ import annotations

import numpy as np
import pytest

from unisono.matching import inverted_lists
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
