"""Tests of adaptation: new batches get a style and an offset, content stands still, what is known stays as it was."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from io_fixtures import refusal
from model_fixtures import (
    correlations,
    late_model,
    noticed,
    on_scale,
    rebuilt,
    small_model,
    take,
    test_cells,
    training,
)

from unisono.evaluation.scores import evaluate
from unisono.model.unisono import Unisono
from unisono.nn import infer

NEW = "b9"

pytestmark = pytest.mark.filterwarnings("ignore:W034:unisono.messages.InputWarning")  # every new batch is warned of


def new_batch(gain: float = 6.0):
    """Training cells as of a new batch, in which the first proteins and genes are seen several times as well."""
    mdata = training()
    for part in mdata.mod.values():
        part.obs["batch"] = NEW
        counts = part.X.tolil()
        counts[:, :3] = counts[:, :3] * int(gain)
        part.X = counts.tocsr()
    return mdata


@cache
def adapted() -> Unisono:
    return late_model().adapt(new_batch(), n_epochs=8)


def test_content_encoders_stand_still_and_styles_do_not():
    before, after = (dict(model.fitted.predictor.network.named_parameters()) for model in (late_model(), adapted()))
    moved = {name for name in before if not np.array_equal(before[name].detach(), after[name].detach())}
    assert moved
    assert all("styles" in name.split(".") for name in moved)
    assert any(name.startswith("decoders.adt.styles") for name in moved)


def test_cells_of_known_batches_lie_where_they_lay():
    for modality in ("atac", "rna", "adt"):
        view_of = late_model().fitted.preprocessors[modality]
        np.testing.assert_array_equal(
            view_of.projection.basis, adapted().fitted.preprocessors[modality].projection.basis
        )
    before, after = (model.embed(test_cells()) for model in (late_model(), adapted()))
    for modality in before.mod:
        np.testing.assert_array_equal(before[modality].obsm["X_unisono"], after[modality].obsm["X_unisono"])


def test_a_new_batch_is_known_by_name_and_has_a_style_of_its_own():
    said = refusal(late_model().predict, test_cells(), "rna", "adt", style=NEW)
    assert said.code == "E031"
    own, other = (adapted().predict(test_cells(), "rna", "adt", style=style).X for style in (NEW, "b1"))
    measured = on_scale(new_batch()["adt"], "adt").mean(axis=0)
    assert np.abs(own.mean(axis=0) - measured).mean() < 0.6 * np.abs(other.mean(axis=0) - measured).mean()


@pytest.mark.filterwarnings("ignore:W032:unisono.messages.InputWarning")
def test_a_known_batch_keeps_its_offset_and_a_few_cells_of_the_new_one_are_read_with_its_offset():
    known, found = (model.fitted.preprocessors["rna"].standardisation for model in (late_model(), adapted()))
    np.testing.assert_array_equal(found.offsets[: len(known.offsets)], known.offsets)
    assert found.batches.tolist() == [*known.batches.tolist(), NEW]
    few = take(new_batch(), [3, 8])
    standardised = [
        adapted().fitted.preprocessors["rna"].transform(view_of(cells, "rna")) for cells in (few, new_batch())
    ]
    np.testing.assert_allclose(standardised[0].x, standardised[1].x[[3, 8]], atol=1e-5)


def view_of(mdata, modality):
    from unisono.model.query import query_view

    return query_view(mdata, modality, adapted().fitted.preprocessors, adapted().record)


def test_reconstruction_of_the_new_batch_gets_better():
    """Own codes, decoded in the style that the cells have themselves: what training is to improve."""

    def error(model: Unisono) -> float:
        standardised = adapted().fitted.preprocessors["adt"].transform(view_of(new_batch(), "adt"))
        z = infer.contents(model.fitted.predictor.network, "adt", standardised.x)
        style = infer.styles(
            model.fitted.predictor.network, "adt", standardised.x, standardised.depth, standardised.offset
        ).mean(axis=1)
        codes = infer.decoded(model.fitted.predictor.network, "adt", z, style, standardised.offset[0])
        return float(((codes - standardised.scaled) ** 2).mean())

    assert error(adapted()) < error(late_model()) - 5e-5


def test_one_modality_is_enough_and_the_others_stay_as_they_are():
    alone = rebuilt({"rna": new_batch()["rna"]})
    found = late_model().adapt(alone, n_epochs=2)
    assert NEW in found.fitted.predictor.styles["rna"].batches
    assert NEW not in found.fitted.predictor.styles["adt"].batches
    np.testing.assert_array_equal(
        found.fitted.predictor.styles["adt"].offsets, late_model().fitted.predictor.styles["adt"].offsets
    )


def test_equal_seeds_give_equal_models_and_other_seeds_others():
    cells = take(new_batch(), slice(0, 40))
    first, again, other = (
        late_model().adapt(cells, n_epochs=2, seed=seed).fitted.predictor.network.state_dict() for seed in (0, 0, 1)
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_batches_that_are_all_known_are_refused():
    said = refusal(late_model().adapt, training())
    assert said.code == "E065"
    assert "b1" in said.what


def test_the_model_that_was_adapted_is_left_as_it_was_and_the_new_one_is_saved_whole(tmp_path):
    before = small_model().fitted.predictor.network.state_dict()["decoders.adt.styles.0.weight"].clone()
    found = small_model().adapt(new_batch(), n_epochs=1)
    np.testing.assert_array_equal(
        small_model().fitted.predictor.network.state_dict()["decoders.adt.styles.0.weight"], before
    )
    found.save(tmp_path / "model")
    from unisono.api import load

    back = load(tmp_path / "model", device="cpu")
    assert back.record == found.record
    for style in (NEW, "b2"):
        np.testing.assert_array_equal(
            back.predict(test_cells(), "rna", "adt", style=style).X,
            found.predict(test_cells(), "rna", "adt", style=style).X,
        )


def test_every_later_evaluation_says_that_cells_were_seen():
    (seen,) = adapted().record.unlabelled
    assert (seen.how, seen.n_cells) == ("adapt", {"atac": 151, "rna": 151, "adt": 151})
    for cells, words in ((new_batch(), "these very cells"), (test_cells(), "perhaps these among them")):
        with noticed() as said:
            evaluate(adapted(), cells)
        (line,) = [line for line in said if line.startswith("W064 ") and "adapt" in line]
        assert words in line
    with noticed() as said:
        evaluate(late_model(), test_cells())
    assert not [line for line in said if line.startswith("W064 ")]


@pytest.mark.parametrize("style", [NEW, "average"])
def test_the_order_of_cells_does_not_depend_on_the_style(style):
    found = adapted().predict(test_cells(), "rna", "adt", style=style).X
    assert correlations(found, late_model().predict(test_cells(), "rna", "adt").X).mean() > 0.9
