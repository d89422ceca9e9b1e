"""Tests of figures that stay: a stored model, and one fitted anew, answer as they did (see tools/golden.py)."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from model_fixtures import correlations

import unisono as un

GOLDEN = Path(__file__).resolve().parent / "golden"
golden = SimpleNamespace(**runpy.run_path(str(GOLDEN.parents[1] / "tools" / "golden.py")))
STORED = golden.stored()
QUERY = golden.from_document(STORED["query"])
SAME = 5e-5
"""How far an answer of the stored model may lie from the stored one, in its units: rounding to float32 and five places.

Between numpy 1.26 with scipy 1.12 and numpy 2.4 with scipy 1.17 the answers lay 6e-6 apart at most.
"""
NEARLY = 0.01
"""How far a figure may lie from the stored one where the model is fitted anew: training carries rounding on."""


@pytest.fixture(scope="module")
def answers():
    return golden.answers(un.load(GOLDEN / "model", device="cpu"), QUERY)


@pytest.fixture(scope="module")
def anew():
    return golden.fitted()


@pytest.mark.parametrize("name", STORED["answers"])
def test_the_stored_model_answers_as_when_it_was_stored(name, answers):
    np.testing.assert_allclose(answers[name], np.array(STORED["answers"][name]), rtol=SAME, atol=SAME)


def test_an_answer_that_moved_by_a_hundredth_would_be_found(answers):
    name = "rna to adt"
    with pytest.raises(AssertionError, match="Mismatched elements"):
        np.testing.assert_allclose(answers[name] * 1.01, np.array(STORED["answers"][name]), rtol=SAME, atol=SAME)


def test_the_simulated_cells_are_those_of_then():
    found = {m: int(table.X.sum()) for m, table in golden.simulated().mod.items()}
    assert found == STORED["total_counts"]
    assert golden.as_document(golden.part(golden.simulated(), slice(golden.N_TRAINING, None))) == STORED["query"]


@pytest.mark.slow
def test_a_fit_of_today_predicts_what_the_stored_model_does(anew):
    found = golden.answers(anew, QUERY)
    for source, target in golden.DIRECTIONS:
        name = f"{source} to {target}"
        stored = np.array(STORED["answers"][name])
        assert np.abs(found[name] - stored).mean() < 0.05 * stored.std(), name
        assert np.nanmin(correlations(found[name], stored)) > 0.9, name


@pytest.mark.slow
def test_a_fit_of_today_has_the_figures_of_then(anew):
    assert golden.figures(anew) == pytest.approx(STORED["figures"], abs=NEARLY)


def test_folder_and_figures_are_small():
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 300_000
