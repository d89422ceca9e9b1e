"""A model that starts from another reads what that one says next to its own codes, and only where it helps."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from model_fixtures import take, tiny
from mudata import MuData

import unisono as un
from unisono.messages import BadInput
from unisono.nn import infer
from unisono.preprocessing.kernel_ridge import left_out_error
from unisono.training.fit import fit_views
from unisono.types import Cells

pytestmark = pytest.mark.filterwarnings("ignore:W021")
GENES, PROTEINS = 60, 12


def world(n_cells, seed=4):
    """RNA and proteins of one simulation."""
    whole = un.datasets.simulate(n_cells=n_cells, n_genes=GENES, n_peaks=20, n_proteins=PROTEINS, seed=seed)
    return MuData({m: whole[m].copy() for m in ("rna", "adt")})


WHOLE = world(520)


def rows(start, stop):
    return take(WHOLE, np.arange(start, stop))


@pytest.fixture(scope="module")
def earlier():
    """Of 400 cells, with half of the proteins."""
    mdata = rows(0, 400)
    return un.fit(MuData({"rna": mdata["rna"], "adt": mdata["adt"][:, :6].copy()}), config=tiny(max_epochs=4))


@pytest.fixture(scope="module")
def few():
    return rows(400, 440)


@pytest.fixture(scope="module")
def started(earlier, few):
    return un.fit(few, config=tiny(max_epochs=4), init=earlier)


def view_of(mdata, modality):
    return un.read_cells(mdata).views[modality]


def test_the_guide_says_what_the_earlier_model_says(earlier, few):
    """Content of unit length by its linear path, and the codes that its kernel predicts, each times its scale."""
    guide = replace(earlier.fitted.guides({"rna": view_of(few, "rna")})["rna"], weight=1.0)
    view = view_of(few, "rna")
    scaled = guide.scaled_to(7.0, view)
    x = earlier.fitted.predictor.transform(view.in_one_batch("another")).x
    content = infer.vectors(earlier.fitted.predictor.network, "rna", x, 1.0)
    n_content = guide.content.shape[1]
    found = scaled.codes(view)
    np.testing.assert_allclose(found[:, :n_content] / scaled.scale[0], content[:, -n_content - 1 : -1], atol=1e-5)
    kernel = earlier.fitted.predictor.terms["rna", "adt"].kernel
    assert kernel is not None
    np.testing.assert_allclose(found[:, n_content:] / scaled.scale[1], kernel.predict(x), atol=1e-5)
    for part in (found[:, :n_content], found[:, n_content:]):
        assert part.var(axis=0).sum() == pytest.approx(7.0, rel=1e-4)


def test_guided_codes_follow_the_own_ones_in_training_and_in_queries(started):
    preprocessor = started.fitted.preprocessors["rna"]
    assert preprocessor.guide is not None
    view = view_of(rows(440, 480), "rna")
    codes = preprocessor.codes(preprocessor.counts(view))
    own = preprocessor.projection.n_codes
    np.testing.assert_array_equal(codes[:, :own], preprocessor.projection.codes(preprocessor.projection.counts(view)))
    np.testing.assert_allclose(codes[:, own:], preprocessor.guide.codes(view), atol=1e-6)


def test_every_feature_of_the_new_cells_is_predicted_also_those_that_the_earlier_model_lacks(started, few):
    found = started.predict(rows(440, 520)["rna"], "rna", "adt")
    assert list(found.var_names) == list(few["adt"].var_names)
    assert np.isfinite(found.X).all()


def test_few_cells_predict_better_with_it(started, few):
    test = rows(440, 520)
    alone = un.fit(few, config=tiny(max_epochs=4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = [un.evaluate(model, test).value("rna", "adt", "pearson") for model in (alone, started)]
    assert scores[1] > scores[0] + 0.02


def test_a_guide_that_knows_nothing_is_left_out(earlier, few):
    """Cells whose genes were permuted one by one tell the earlier model nothing."""
    rng = np.random.default_rng(0)
    cells = un.read_cells(few)
    guides = earlier.fitted.guides(cells.views)
    noise = {
        m: replace(g, content=rng.standard_normal(g.content.shape).astype(np.float32), kernels={})
        for m, g in guides.items()
    }
    shuffled = {m: replace(g, preprocessor=_of_other_genes(g.preprocessor, rng)) for m, g in noise.items()}
    views = fit_views(cells, tiny(), shuffled)
    assert all(view.preprocessor.guide is None for view in views.values())
    assert fit_views(cells, tiny(), guides)["rna"].preprocessor.guide is not None


def _of_other_genes(preprocessor, rng):
    known = preprocessor.projection.known
    names = rng.permutation(known.names)
    return replace(
        preprocessor, projection=replace(preprocessor.projection, known=replace(known, names=names, ids=None))
    )


def test_it_is_saved_with_the_model_and_named_in_the_record(started, earlier, tmp_path):
    started.save(tmp_path / "model")
    loaded = un.load(tmp_path / "model")
    query = rows(440, 470)["rna"]
    np.testing.assert_allclose(loaded.predict(query, "rna", "adt").X, started.predict(query, "rna", "adt").X, atol=1e-5)
    assert loaded.record.init == earlier.fitted.fingerprint
    assert earlier.fitted.fingerprint in str(loaded)


def test_a_model_may_start_from_one_that_was_started_from_another(started):
    third = un.fit(rows(480, 520), config=tiny(max_epochs=1), init=started)
    assert np.isfinite(third.predict(rows(440, 450)["rna"], "rna", "adt").X).all()


def test_features_that_the_model_does_not_know_are_refused(earlier):
    other = rows(400, 440)
    for name, part in other.mod.items():
        part.var_names = [f"{name}{i}x" for i in range(part.n_vars)]
    with pytest.raises(BadInput, match=r"E037 init: its features are not those"):
        un.fit(MuData(dict(other.mod)), config=tiny(), init=earlier)


def test_effects_of_features_are_refused_as_they_act_through_the_earlier_model_too(started, few):
    with pytest.raises(BadInput, match=r"E053 feature effects: .*started from another"):
        started.feature_effects(few, "rna", "adt")


def test_batches_of_the_same_name_are_new_to_the_guide(earlier, few):
    guide = earlier.fitted.guides({"rna": view_of(few, "rna")})["rna"].scaled_to(1.0, view_of(few, "rna"))
    view = view_of(few, "rna")
    renamed = replace(view, batch=np.full(view.n_cells, "x"))
    np.testing.assert_array_equal(guide.codes(view), guide.codes(renamed))


def test_the_error_on_left_out_cells_is_that_of_leaving_each_out():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((30, 6)).astype(np.float32)
    y = np.column_stack([x[:, 0], np.tanh(x[:, 1])]).astype(np.float32)
    config = un.FitConfig().kernel.model_copy(update={"sharpnesses": (1.0,), "ridges": (0.5,)})
    z = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    kernel, target = np.exp(-np.square(z[:, None] - z).sum(axis=2) / (2 * 6)), y - y.mean(axis=0)
    gaps = []
    for left_out in range(30):
        rest = np.arange(30) != left_out
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.5 * np.eye(29), target[rest])
        gaps.append(kernel[left_out, rest] @ weights - target[left_out])
    total = np.square(y - y.mean(axis=0)).sum()
    assert left_out_error(x, y, config) == pytest.approx(np.square(gaps).sum() / total, rel=1e-3)


def test_where_there_is_nothing_to_predict_no_guide_is_taken(earlier):
    view = view_of(rows(400, 440), "rna")
    found = fit_views(Cells({"rna": view}), tiny(), earlier.fitted.guides({"rna": view}))
    assert found["rna"].preprocessor.guide is None
