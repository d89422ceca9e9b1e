"""Tests of methods: a baseline and a published method do the same tasks, and a method that fails says why."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fixtures import MATCHING, twin_cells
from published_fixtures import cache_with_numpy, fake_method
from unisono_bench.baselines import BASELINES
from unisono_bench.methods import baseline
from unisono_bench.published.environment import CACHE_VARIABLE
from unisono_bench.published.method import PublishedMethod
from unisono_bench.scores import Question, score
from unisono_bench.tasks import make_tasks

TWINS = """
import numpy as np

def answer(work):
    answers = work.answers()
    for i, asked in enumerate(work.matchings):
        answers.matchings[i] = tuple(SCALE * (np.log1p(side.X.toarray()) - 1.7) for side in (asked.left, asked.right))
    answers.notes += ["trained on %d cells" % work.training["rna"].n_obs]
    return answers
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return cache_with_numpy(tmp_path_factory.mktemp("cache"))


def halves():
    cells = twin_cells()
    return cells.take(np.arange(40)), make_tasks(cells.take(np.arange(40, 53)), seed=0)


def test_a_published_method_is_scored_with_a_density_ratio_from_held_out_cells(tmp_path, cache, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    training, tasks = halves()
    found = {}
    for scale in ("1.0", "1e3"):
        method = PublishedMethod(fake_method(tmp_path / scale, TWINS.replace("SCALE", scale)))
        outputs = method.outputs(training, tasks, 0, tmp_path)
        assert outputs.predictions == (None, None)
        assert outputs.notes == ("trained on 32 cells",)
        assert (outputs.costs.fit, outputs.costs.answer) == (None, None)
        assert outputs.costs.total.seconds > 0
        found[scale] = {(row.question, row.metric): row.value for row in score(tasks, outputs)}
    one = found["1.0"]
    places = [(within, depth) for depth in (False, True) for within in (None, "batch")]
    assert {question for question, _ in one} == {Question("matching", "rna", "adt", *place) for place in places}
    assert one[MATCHING, "foscttm"] < 0.1
    assert one[MATCHING, "match_probability"] > 0.5
    assert found["1e3"][MATCHING, "match_probability"] == pytest.approx(one[MATCHING, "match_probability"], abs=0.02)


def test_a_method_that_fails_says_why_in_one_line(tmp_path, cache, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    method = fake_method(tmp_path / "method", "def answer(work):\n    raise RuntimeError('out of luck')\n")
    with pytest.raises(ChildProcessError, match="out of luck"):
        PublishedMethod(method).outputs(*halves(), 0, tmp_path)


def test_other_pins_are_other_settings(tmp_path):
    first, second = (fake_method(tmp_path / pins, TWINS, requirements=f"{pins}\n") for pins in ("a==1", "a==2"))
    assert PublishedMethod(first).settings != PublishedMethod(second).settings


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_can_be_sent_to_another_process(name):
    sent = pickle.loads(pickle.dumps(baseline(name)))  # noqa: S301
    assert sent.name == name
    assert sent.make() is BASELINES[name]


def test_a_baseline_learns_from_training_cells_alone(tmp_path):
    training, tasks = halves()
    outputs = baseline("mean").outputs(training, tasks, 0, tmp_path)
    assert outputs.matchings == (None,)
    assert {row.question.title for row in score(tasks, outputs)} == {"rna->adt", "adt->rna"}
    assert outputs.predictions[0] is not None
    predicted = np.load(outputs.predictions[0])
    assert predicted.shape == (13, 11)
    wanted = BASELINES["mean"].fit(training, 0).predict(tasks.predictions[0].source, "adt")
    np.testing.assert_array_equal(predicted, wanted)
