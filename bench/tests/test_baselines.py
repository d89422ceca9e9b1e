"""What every baseline must hold to: the interface, names not places, no leak from test cells, seeds, both tasks."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import unisono as un
from unisono_bench.baselines import BASELINES, contrastive
from unisono_bench.matching import matched as match

RECIPE = un.datasets.Recipe(n_cells=331, n_genes=47, n_peaks=71, n_proteins=9, batch_effect=0.8, seed=3)
N_TRAINING, N_TEST = 283, 48
PREDICTS = ("mean", "ridge", "knn-25", "knn-100", "kernel-ridge", "kernel-ridge-std")
MATCHES = ("cca", "cca-centred", "procrustes", "clip-mlp")
ORDERED = [(a, b) for a in ("atac", "rna", "adt") for b in ("atac", "rna", "adt") if a != b]


def training():
    return un.datasets.simulate_cells(RECIPE).cells.take(np.arange(N_TRAINING))


def unseen():
    return un.datasets.simulate_cells(RECIPE).cells.take(np.arange(N_TRAINING, N_TRAINING + N_TEST))


@cache
def fitted(name, seed=0):
    return BASELINES[name].fit(training(), seed)


@pytest.fixture(autouse=True, scope="module")
def _few_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contrastive, "MAX_EPOCHS", 15)
        yield


def in_one_batch(modalities):
    """Training cells of some modalities, with no batches known."""
    views = {m: training().views[m] for m in modalities}
    return un.Cells({m: replace(view, batch=np.full(N_TRAINING, "all")) for m, view in views.items()})


def columns(view, order):
    return replace(view, counts=view.counts[:, order], features=view.features[order])


def foscttm(matched):
    scores = matched.left @ matched.right.T
    own = np.diag(scores)
    return 0.5 * np.mean(scores > own[:, None]) + 0.5 * np.mean(scores > own[None])


def correlation(found, wanted):
    """Mean over features that vary."""
    x, y = found - found.mean(axis=0), wanted - wanted.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return np.mean((x * y).sum(axis=0)[scale > 0] / scale[scale > 0])


def vectors(model, left, right, depth=False):
    return model.similarity(left, right, depth=depth, groups=None)


def test_the_registry_holds_each_baseline_under_its_own_name():
    assert tuple(BASELINES) == (*PREDICTS, *MATCHES)
    assert all(method.name == name for name, method in BASELINES.items())


def test_listing_the_baselines_loads_neither_torch_nor_sklearn():
    code = "import sys; from unisono_bench.baselines import BASELINES; print({'torch', 'sklearn'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


@pytest.mark.parametrize("name", BASELINES)
def test_a_method_does_one_task_and_says_none_to_the_other(name):
    model, views = fitted(name), unseen().views
    assert (model.predict(views["rna"], "adt") is None) == (name in MATCHES)
    assert (vectors(model, views["rna"], views["adt"]) is None) == (name in PREDICTS)
    assert model.predict(views["rna"], "rna") is None


@pytest.mark.parametrize("name", PREDICTS)
@pytest.mark.parametrize(("source", "target"), ORDERED)
def test_predictions_are_cells_by_training_features_within_the_scale(name, source, target):
    found = fitted(name).predict(unseen().views[source], target)
    assert found.dtype == np.float32
    assert found.shape == (N_TEST, len(training().views[target].features))
    assert found.min() >= 0
    assert found.max() <= {"atac": 1.0, "rna": np.log1p(1e4), "adt": 10.0}[target]


@pytest.mark.parametrize("name", PREDICTS[1:])
@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "rna"), ("atac", "rna")])
def test_predictions_correlate_with_the_truth_and_not_with_that_of_other_cells(name, source, target):
    found = fitted(name).predict(unseen().views[source], target)
    truth = un.preprocessing.on_scale(unseen().views[target]).toarray()
    assert correlation(found, truth) > 0.1
    assert correlation(found, truth) > correlation(found, np.roll(truth, 7, axis=0)) + 0.1


@pytest.mark.parametrize("name", MATCHES)
@pytest.mark.parametrize(("left", "right"), [("atac", "rna"), ("rna", "adt"), ("adt", "atac")])
def test_partners_are_nearer_than_chance_and_strangers_are_not(name, left, right):
    views = unseen().views
    found = vectors(fitted(name), views[left], views[right])
    assert foscttm(found) < 0.4
    assert 0.4 < foscttm(replace(found, right=np.roll(found.right, 7, axis=0))) < 0.6


@pytest.mark.parametrize("name", MATCHES)
def test_vectors_are_of_unit_length_and_the_temperature_is_positive(name):
    views = unseen().views
    found = vectors(fitted(name), views["rna"], views["adt"])
    assert isinstance(found, un.matching.Similarity)
    assert found.beta > 0
    for side in (found.left, found.right):
        assert side.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_permuting_the_query_permutes_the_answer(name):
    model, views = fitted(name), unseen().views
    order = np.random.default_rng(1).permutation(N_TEST)
    if name in PREDICTS:
        found = model.predict(views["rna"].take(order), "adt")
        np.testing.assert_allclose(found, model.predict(views["rna"], "adt")[order], atol=1e-5)
    else:
        found = vectors(model, views["rna"].take(order), views["adt"])
        wanted = vectors(model, views["rna"], views["adt"])
        np.testing.assert_allclose(found.left, wanted.left[order], atol=1e-5)
        np.testing.assert_allclose(found.right, wanted.right, atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_a_cell_of_a_known_batch_gets_the_same_answer_whatever_else_is_asked(name):
    model, views = fitted(name), unseen().views
    some = np.array([4, 30, 9])
    if name in PREDICTS:
        found = model.predict(views["rna"].take(some), "adt")
        np.testing.assert_allclose(found, model.predict(views["rna"], "adt")[some], atol=1e-5)
    else:
        found = vectors(model, views["rna"].take(some), views["adt"])
        np.testing.assert_allclose(found.left, vectors(model, views["rna"], views["adt"]).left[some], atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_is_learned_from_a_query(name):
    model, views = fitted(name), unseen().views
    strange = replace(views["rna"], batch=np.full(N_TEST, "b9"), counts=views["rna"].counts * 3)
    answers = [
        (model.predict(some, "adt"), vectors(model, some, views["adt"]))
        for some in (views["rna"], strange, views["rna"])
    ]
    if name in PREDICTS:
        np.testing.assert_array_equal(answers[2][0], answers[0][0])
    else:
        np.testing.assert_array_equal(answers[2][1].left, answers[0][1].left)
        assert np.abs(answers[1][1].left - answers[0][1].left).max() > 1e-3


@pytest.mark.parametrize("name", PREDICTS)
@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("atac", "rna"), ("adt", "atac")])
def test_features_of_a_query_are_found_by_name(name, source, target):
    view = unseen().views[source]
    order = np.random.default_rng(1).permutation(len(view.features))
    model = fitted(name)
    wanted = model.predict(view, target)
    np.testing.assert_allclose(model.predict(columns(view, order), target), wanted, atol=1e-4)
    if name != "mean":
        renamed = replace(view, features=view.features[order])
        assert np.abs(model.predict(renamed, target) - wanted).max() > 1e-3


@pytest.mark.parametrize("name", BASELINES)
def test_a_query_may_lack_features(name):
    model, views = fitted(name), unseen().views
    fewer = columns(views["rna"], np.delete(np.arange(47), [3, 11, 40]))
    if name in PREDICTS:
        assert np.isfinite(model.predict(fewer, "adt")).all()
    else:
        assert foscttm(vectors(model, fewer, views["adt"])) < 0.4


@pytest.mark.parametrize("name", [*PREDICTS[1:], *MATCHES])
def test_training_cells_are_paired_by_name_not_by_place(name):
    cells = training()
    order = np.random.default_rng(2).permutation(N_TRAINING)
    shuffled = un.Cells({"rna": cells.views["rna"], "adt": cells.views["adt"].take(order)})
    model, views = BASELINES[name].fit(shuffled, 0), unseen().views
    if name in PREDICTS:
        assert correlation(model.predict(views["rna"], "adt"), un.preprocessing.on_scale(views["adt"]).toarray()) > 0.2
    else:
        assert foscttm(vectors(model, views["rna"], views["adt"])) < 0.35


@pytest.mark.parametrize("name", ["kernel-ridge", "kernel-ridge-std", *MATCHES])
def test_a_fit_follows_its_seed(name):
    views, cells = unseen().views, in_one_batch(("rna", "adt"))
    models = [BASELINES[name].fit(cells, seed) for seed in (0, 0, 1)]
    if name in PREDICTS:
        one, same, other = (model.predict(views["rna"], "adt") for model in models)
    else:
        found = [vectors(model, views["rna"], views["adt"]) for model in models]
        one, same, other = (np.append(v.left[:, 0], v.beta) for v in found)
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("name", ["ridge", "knn-25", "kernel-ridge"])
def test_cells_without_the_target_teach_the_codes_but_no_pair(name):
    cells = training()
    few = un.Cells({**cells.views, "adt": cells.views["adt"].take(np.arange(9))})
    model, views = BASELINES[name].fit(few, 0), unseen().views
    assert model.predict(views["rna"], "adt") is None
    np.testing.assert_array_equal(model.predict(views["rna"], "atac"), fitted(name).predict(views["rna"], "atac"))


def test_match_probabilities_are_those_of_the_package_for_every_method():
    views = unseen().views
    matched = vectors(fitted("cca"), views["rna"], views["adt"])
    groups = (views["rna"].batch, views["adt"].batch)
    found = match(matched, "soft", groups).probabilities.toarray()
    wanted = un.matching.match_cells(matched, rule="soft", within=groups)
    np.testing.assert_allclose(found, wanted.probabilities.toarray(), atol=1e-6)
    assert not found[groups[0][:, None] != groups[1][None]].any()
    hard = match(matched, "one-to-one").probabilities
    np.testing.assert_array_equal(hard.sum(axis=0), 1.0)
