"""The search for words that the project does not use finds planted ones and lets the field's own pass."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

_TOOL = Path(__file__).resolve().parents[1] / "tools" / "check_words.py"
hits = runpy.run_path(str(_TOOL))["hits"]


@pytest.mark.parametrize(
    "text",
    [
        "the linear_vote of members",
        "log odds are Tempered",
        "what held-out cells settle",
        "class Contender:",
        "a constant beside them",
        "cells: unique names, one a row",
        "a number is wanted",
        "X unless told",
        "of the other omics",
        "# Unisono\n\nA picture.\n\nIn another voice.",
        "CELLS_ENOUGH = 3",
    ],
)
def test_a_planted_word_is_found_once_with_what_to_write(text):
    assert [bool(instead) for _, _, instead in hits(text)] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "the temperature of matching",
        "devoted to settings, besides",
        "one-shot voice conversion by separating speakers",
        "a multi-omics assay",
        "least_squares_projection",
        "how often a day",
        "# Unisono\n\nSeveral voices.\n\nOne style.",
    ],
)
def test_words_of_the_field_pass(text):
    assert hits(text) == []


def test_a_hit_names_its_line():
    assert [(number, word) for number, word, _ in hits("one\n\ntwo beside three")] == [(3, "beside")]
