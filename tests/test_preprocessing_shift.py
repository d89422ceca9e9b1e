"""How unlike training a batch was measured: nothing for training, little for a new donor, much for another panel."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from model_fixtures import late_model, small_model, take, test_cells, training
from scipy import sparse

from unisono.inference.fitted_model import FittedModel
from unisono.matching import Anchors
from unisono.messages import InputWarning
from unisono.model.query import query_view

pytestmark = pytest.mark.filterwarnings("ignore:W0")


def shift_of(mdata, modality, batch=None):
    model = late_model()
    view = query_view(mdata, modality, model.fitted.preprocessors, model.record)
    view = view if batch is None else view.in_one_batch(batch)
    return model.fitted.predictor.transform(view).shift


def with_counts(mdata, modality, change):
    part = mdata[modality]
    part.X = sparse.csr_matrix(change(part.X.toarray()).astype(np.int32))
    return mdata


def steep(counts):
    """Other antibodies: each protein answers to its own power."""
    power = np.where(np.arange(counts.shape[1]) % 2 == 0, 0.4, 1.7)
    return np.rint(counts.astype(float) ** power)


@pytest.mark.parametrize("modality", ["rna", "atac", "adt"])
def test_batches_of_training_are_not_shifted(modality):
    assert not shift_of(test_cells(), modality).any()


@pytest.mark.parametrize("modality", ["rna", "atac", "adt"])
def test_cells_of_a_training_batch_under_a_new_name_are_hardly_shifted(modality):
    for name in ("b1", "b2"):
        rows = np.flatnonzero(training()[modality].obs["batch"] == name)
        found = shift_of(take(training(), rows), modality, "new")
        assert (found == found[0]).all()
        assert found[0] < 0.3


def test_proteins_that_answer_otherwise_are_shifted():
    assert shift_of(with_counts(training(), "adt", steep), "adt", "new")[0] > 0.5


def test_what_is_not_measured_adds_its_share_of_the_counts():
    mdata, n_kept = training(), 5
    part = mdata["adt"]
    projection = late_model().fitted.preprocessors["adt"].projection
    fewer = part[:, :n_kept].copy()
    lost = 1.0 - projection.fraction[:n_kept].sum()
    assert shift_of(fewer, "adt", "new")[0] > lost
    assert lost > 0.2


def test_an_adapted_batch_keeps_its_shift():
    strange = with_counts(take(training(), slice(0, 60)), "adt", steep)
    for part in strange.mod.values():
        part.obs["batch"] = "elsewhere"
    adapted = late_model().adapt(strange, n_epochs=1)
    view = query_view(strange, "adt", adapted.fitted.preprocessors, adapted.record)
    before = late_model().fitted.predictor.transform(view).shift
    np.testing.assert_allclose(adapted.fitted.predictor.transform(view).shift, before)
    assert before[0] > 0.3


def flattened(shift, decay, at_least):
    model = small_model().fitted
    config = model.config.model_copy(
        update={
            "matching": model.config.matching.model_copy(update={"shift_decay": decay, "min_beta_factor": at_least})
        }
    )
    view = query_view(test_cells(), "rna", model.preprocessors, model.record)
    codes = model.predictor.transform(view)
    codes = replace(codes, shift=np.full_like(codes.shift, shift))
    return FittedModel._beta_factor(replace(model, config=config), codes, codes)


def test_the_inverse_temperature_falls_exponentially_with_the_shifts_of_both_sides_down_to_a_floor():
    assert flattened(0.0, 1.5, 0.25) == 1.0
    assert flattened(0.2, 1.5, 0.25) == pytest.approx(np.exp(-1.5 * 0.4), rel=1e-5)
    assert flattened(3.0, 1.5, 0.25) == 0.25


def test_flattened_anchors_have_the_potentials_of_their_temperature():
    anchors = small_model().fitted.anchors["rna", "adt"]
    wanted = Anchors.fit(anchors.left, anchors.right, 0.3 * anchors.beta)
    np.testing.assert_allclose(anchors.flattened(0.3).left_potential, wanted.left_potential)
    assert anchors.flattened(1.0) is anchors


def test_cells_of_another_panel_are_matched_less_surely_and_it_is_said():
    known = test_cells()
    strange = with_counts(test_cells(), "adt", steep)
    for part in strange.mod.values():
        part.obs["batch"] = "elsewhere"
    sure = small_model().match(known["rna"], known["adt"]).match_posterior.confidence
    with pytest.warns(InputWarning, match=r"W070.*times flatter, and of the likeliest partners some .*% are right"):
        unsure = small_model().match(strange["rna"], strange["adt"]).match_posterior.confidence
    assert unsure.mean() < 0.8 * sure.mean()


def test_nothing_is_said_of_cells_of_training_batches():
    known = test_cells()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        small_model().match(known["rna"], known["adt"])
    assert not [each for each in said if "W070" in str(each.message)]
