"""Tests of the demonstration: the whole job in one go, on a file or on simulated cells, and the files it leaves."""

from __future__ import annotations

import json
from itertools import combinations, permutations

import anndata
import numpy as np
import pytest
from io_fixtures import refusal, snapshot
from model_fixtures import assert_same, counts, rebuilt, take, tiny, training

from unisono.api import load
from unisono.demo import run
from unisono.evaluation.scores import evaluate
from unisono.reading import read
from unisono.splits import random_split

MODALITIES = ("atac", "rna", "adt")
FILES = {
    "model",
    "metrics.json",
    *(f"{target}-from-{source}.h5ad" for source, target in permutations(MODALITIES, 2)),
    *(f"{left}-to-{right}.h5ad" for left, right in combinations(MODALITIES, 2)),
}


def options(**changes):
    config = tiny(max_epochs=1, validation={"fraction": 0})
    return {"config": config, "device": "cpu", "say": [].append} | changes


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The folder of a demonstration on a file of 151 cells, the figures it gave and what it said."""
    folder = tmp_path_factory.mktemp("shown")
    training().write_h5mu(folder / "data.h5mu")
    said = []
    scores = run(folder / "out", data=folder / "data.h5mu", batch_key="batch", **options(say=said.append))
    return folder, scores, said


def test_every_prediction_matching_and_figure_is_left_behind(shown):
    folder, scores, _ = shown
    assert {path.name for path in (folder / "out").iterdir()} == FILES
    assert json.loads((folder / "out" / "metrics.json").read_text()) == {
        "scores": scores.named(),
        "table": scores.to_dict(),
        "label_key": "cell_type",
    }


def taken_apart(mdata):
    return random_split(mdata).take(mdata)


def test_the_split_is_the_documented_one():
    mdata = training()
    kept, test = taken_apart(mdata)
    order = np.random.default_rng(0).permutation(151)
    assert list(test.obs_names) == list(mdata.obs_names[np.sort(order[:30])])
    assert list(kept.obs_names) == list(mdata.obs_names[np.sort(order[30:])])
    for name in MODALITIES:
        assert list(test[name].obs_names) == list(test.obs_names)
        np.testing.assert_array_equal(counts(test[name]), counts(mdata[name])[np.sort(order[:30])])


def test_the_model_has_not_seen_the_test_cells_and_the_figures_are_theirs(shown):
    folder, scores, _ = shown
    model = load(folder / "out" / "model", device="cpu")
    assert model.record.n_cells == {"atac": 121, "rna": 121, "adt": 121}
    _, test = taken_apart(read(folder / "data.h5mu"))
    assert_same(evaluate(model, test), scores, rel=1e-6)


def test_the_files_are_the_answers_of_the_model(shown):
    folder, _, _ = shown
    model = load(folder / "out" / "model", device="cpu")
    _, test = taken_apart(read(folder / "data.h5mu"))
    for source, target in permutations(MODALITIES, 2):
        found = anndata.read_h5ad(folder / "out" / f"{target}-from-{source}.h5ad")
        wanted = model.predict(test, source=source, target=target)
        assert list(found.obs_names) == list(test.obs_names)
        np.testing.assert_allclose(found.X, wanted.X, rtol=1e-6)
    for left, right in combinations(MODALITIES, 2):
        found = anndata.read_h5ad(folder / "out" / f"{left}-to-{right}.h5ad")
        wanted = model.match(test, test, between=(left, right)).match_posterior.probabilities
        np.testing.assert_allclose(found.X.toarray(), wanted.toarray(), atol=1e-6)


def test_the_fit_is_shown_as_asked_and_scored_by_the_function_that_is_given(tmp_path, capsys):
    pair, order = take(training(), slice(0, 60)), []
    rebuilt({"rna": pair["rna"], "adt": pair["adt"]}).write_h5mu(tmp_path / "pair.h5mu")

    def score(out, model, test, source_name):
        order.append(f"scoring {test.n_obs} of {source_name}")
        return evaluate(model, test)

    run(tmp_path / "out", **options(progress=True, score=score, data=tmp_path / "pair.h5mu"))
    assert capsys.readouterr().err.startswith("fit on cpu: 48 cells, rna 60 genes, adt 8 proteins")
    assert order == ["scoring 12 of pair.h5mu"]
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_it_says_what_it_does(shown):
    folder, _, said = shown
    assert said[0] == "fitting on 121 of 151 cells"
    assert "30 cells" in said[1]
    assert str(folder / "out") in said[-1]


def test_a_folder_that_holds_something_is_refused_before_anything_is_read(shown, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    before = snapshot(tmp_path)
    assert refusal(run, tmp_path, data=tmp_path / "nothing.h5mu", **options()).code == "E055"
    assert snapshot(tmp_path) == before


def test_force_replaces_an_earlier_demonstration(tmp_path):
    pair = take(training(), slice(0, 60))
    rebuilt({"rna": pair["rna"], "adt": pair["adt"]}).write_h5mu(tmp_path / "pair.h5mu")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text("{}")
    scores = run(tmp_path / "out", data=tmp_path / "pair.h5mu", force=True, **options())
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {
        "scores": scores.named(),
        "table": scores.to_dict(),
        "label_key": "cell_type",
    }
    wanted = {"model", "metrics.json", "adt-from-rna.h5ad", "rna-from-adt.h5ad", "rna-to-adt.h5ad"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == wanted


def test_a_file_in_the_place_of_the_folder_is_refused_before_the_fit(tmp_path, monkeypatch):
    (tmp_path / "out").write_text("mine")
    monkeypatch.setattr("unisono.demo.fit", lambda *_, **__: pytest.fail("was fitted"))
    training().write_h5mu(tmp_path / "data.h5mu")
    assert refusal(run, tmp_path / "out", data=tmp_path / "data.h5mu", force=True, **options()).code == "E055"
    assert (tmp_path / "out").read_text() == "mine"


def test_bad_data_leave_nothing_behind(tmp_path):
    half = training()
    half["rna"].X = half["rna"].X.multiply(0.5).tocsr()
    half.write_h5mu(tmp_path / "half.h5mu")
    found = refusal(run, tmp_path / "out", data=tmp_path / "half.h5mu", **options())
    assert (found.code, found.where) == ("E012", "half.h5mu, rna")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_simulated_cells_are_predicted_and_matched_far_better_than_by_chance(tmp_path):
    said = []
    scores = run(tmp_path / "out", **options(config=tiny(n_codes=32), say=said.append))
    assert said[0].startswith("simulating 1200 cells")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert scores.value("rna", "adt", "pearson") > 0.4
    assert scores.value("rna", "adt", "foscttm") < 0.15
    assert scores.value("rna", "adt", "match_probability") > 5 / 240
