"""Tests of contenders: a baseline and a peer answer the same exam, and a peer that fails says why."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from benchmark_fixtures import twin_cells
from peers_fixtures import cache_with_numpy, fake_peer

from unisono_bench.baselines import BASELINES
from unisono_bench.contenders import PeerContender, baseline
from unisono_bench.exam import exam
from unisono_bench.judge import figures
from unisono_bench.peers.environment import CACHE_VARIABLE

TWINS = """
import numpy as np

def answer(work):
    answers = work.answers()
    for i, asked in enumerate(work.matchings):
        answers.matchings[i] = tuple(np.log1p(side.X.toarray()) - 1.7 for side in (asked.left, asked.right))
    answers.notes += ["trained on %d cells" % work.training["rna"].n_obs]
    return answers
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return cache_with_numpy(tmp_path_factory.mktemp("cache"))


def halves():
    cells = twin_cells()
    return cells.take(np.arange(40)), exam(cells.take(np.arange(40, 53)), seed=0)


def test_a_peer_that_matches_is_judged_with_a_temperature_from_held_out_training_cells(tmp_path, cache, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    training, asked = halves()
    answers = PeerContender(fake_peer(tmp_path / "peer", TWINS)).answers(training, asked, 0, tmp_path)
    assert answers.predictions == (None, None)
    found = figures(asked, answers)
    assert set(found) == {f"rna~adt{setting.suffix}" for setting in asked.matchings[0].settings}
    assert found["rna~adt"]["foscttm"] < 0.1
    assert found["rna~adt"]["match probability"] > 0.5
    assert answers.notes == ("trained on 32 cells",)
    assert (answers.costs.fit, answers.costs.answer) == (None, None)
    assert answers.costs.total.seconds > 0


def test_a_peer_that_fails_says_why_in_one_line(tmp_path, cache, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))
    peer = fake_peer(tmp_path / "peer", "def answer(work):\n    raise RuntimeError('out of luck')\n")
    with pytest.raises(ChildProcessError, match="out of luck"):
        PeerContender(peer).answers(*halves(), 0, tmp_path)


def test_other_pins_are_other_settings(tmp_path):
    first, second = (fake_peer(tmp_path / pins, TWINS, requirements=f"{pins}\n") for pins in ("a==1", "a==2"))
    assert PeerContender(first).settings != PeerContender(second).settings


@pytest.mark.parametrize("name", BASELINES)
def test_each_baseline_can_be_sent_to_another_process(name):
    sent = pickle.loads(pickle.dumps(baseline(name)))  # noqa: S301
    assert sent.name == name
    assert sent.make() is BASELINES[name]


def test_a_baseline_answers_from_training_cells_alone(tmp_path):
    training, asked = halves()
    answers = baseline("mean").answers(training, asked, 0, tmp_path)
    assert answers.matchings == (None,)
    assert set(figures(asked, answers)) == {"rna->adt", "adt->rna"}
    assert answers.predictions[0] is not None
    predicted = np.load(answers.predictions[0])
    assert predicted.shape == (13, 11)
    wanted = BASELINES["mean"].fit(training, 0).predict(asked.predictions[0].source, "adt")
    np.testing.assert_array_equal(predicted, wanted)
