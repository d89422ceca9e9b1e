"""Effects are derivatives of the prediction in units of a feature's spread, and the table lists the largest."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from model_fixtures import changed, late_model, on_scale, small_model, test_cells, training

from unisono.interpretation import feature_effects
from unisono.interpretation.feature_effects import FeatureEffects
from unisono.messages import BadInput
from unisono.model.query import query_view

PAIRS = [("rna", "atac"), ("atac", "rna"), ("rna", "adt"), ("adt", "rna")]


def effects_of(model, view, target):
    return feature_effects.feature_effects(model.fitted.predictor, view, target)


def view_of(model, modality, data=None):
    return query_view(data if data is not None else training(), modality, model.fitted.preprocessors, model.record)


def mean_values(model, view, target, x):
    """Mean prediction over cells in average style, before its link and without expected depth, from codes x."""
    predictor = model.fitted.predictor
    codes = replace(predictor.transform(view), x=x.astype(np.float32))
    found = predictor.predict(codes, target).codes.mean(axis=0, dtype=np.float64)
    loadings, intercept = predictor.loadings(view.modality, target)
    return found[: loadings.shape[1]] @ loadings.T + intercept


def x_of_values(preprocessor, values, batch):
    """Dense weighted values to what the networks read, in double precision, by the formulas of the transform."""
    projection, standard = preprocessor.projection, preprocessor.standardisation
    row = np.searchsorted(standard.batches, batch)
    gains = 1.0 if projection.gains is None else projection.gains.factors[row]
    codes = (values * gains - projection.centre) @ projection.basis.astype(float)
    scaled = (codes - standard.mean) / standard.scale
    return (scaled - standard.offsets[row]) * standard.factors[row]


def formula_values(part, projection):
    """Dense values of the selected features, from formulas; for atac the rows of unit length."""
    chosen, counts = projection.selected, part.X.toarray().astype(float)
    share, parameters = counts[:, chosen] / counts.sum(axis=1, keepdims=True), projection.parameters
    if projection.modality == "adt":
        return on_scale(part, "adt")[:, chosen]
    if projection.modality == "rna":
        exponent = {"root": 1 / 2, "anscombe": 2 / 3, "blend": 1.0}[projection.coding]
        residuals = np.minimum(share**exponent * parameters[0], parameters[1])
        return residuals + sum(np.log1p(1e4 * share) * row for row in parameters[2:])
    raw = np.log1p(1e4 * share) * parameters[0]
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_effect_is_the_finite_difference_when_a_feature_rises_by_its_deviation(source, target):
    model, data = late_model(), training()
    preprocessor, view = model.fitted.preprocessors[source], view_of(model, source)
    values = formula_values(data[source], preprocessor.projection)
    np.testing.assert_allclose(x_of_values(preprocessor, values, view.batch), preprocessor.transform(view).x, atol=2e-4)
    found = effects_of(model, view, target)
    for s in (0, 5, values.shape[1] - 1):
        step = 0.02 * values[:, s].std() * np.eye(values.shape[1])[s]
        up, down = (
            mean_values(model, view, target, x_of_values(preprocessor, values + d, view.batch)) for d in (step, -step)
        )
        wanted = (up - down) / 0.04
        np.testing.assert_allclose(found.effects(np.array([s]))[0], wanted, rtol=1e-2, atol=5e-3 * np.abs(wanted).max())


def test_the_kernel_takes_part_in_the_effects():
    model, view = late_model(), view_of(late_model(), "rna")
    terms = model.fitted.predictor.terms
    assert terms["rna", "adt"].kernel_weight == pytest.approx(0.25)
    without = changed(model, terms={**terms, ("rna", "adt"): replace(terms["rna", "adt"], kernel=None)})
    found, other = (effects_of(one, view, "adt").effects() for one in (model, without))
    assert np.abs(found - other).max() > 0.05 * np.abs(found).max()


@pytest.mark.parametrize("modality", ["atac", "rna", "adt"])
def test_the_deviation_of_a_feature_is_that_of_its_value_over_all_cells(modality):
    projection, view = late_model().fitted.preprocessors[modality].projection, view_of(late_model(), modality)
    values = projection.values(projection.counts(view))
    np.testing.assert_allclose(feature_effects._deviations(values), values.toarray().std(axis=0), atol=1e-4)


def test_a_weight_that_the_basis_takes_back_changes_no_effect():
    """The same model, with weights of genes doubled and their rows of the basis halved."""
    model = late_model()
    preprocessor, view = model.fitted.preprocessors["rna"], view_of(model, "rna")
    projection = preprocessor.projection
    double = np.where(np.arange(len(projection.basis)) % 3 == 0, 2.0, 1.0)
    basis = (projection.basis / double[:, None]).astype(np.float32)
    other = replace(
        projection, parameters=projection.parameters * double, centre=projection.centre * double, basis=basis
    )
    doubled = changed(
        model, preprocessors={**model.fitted.preprocessors, "rna": replace(preprocessor, projection=other)}
    )
    plain, found = effects_of(model, view, "adt").effects(), effects_of(doubled, view, "adt").effects()
    np.testing.assert_allclose(found, plain, rtol=1e-3, atol=1e-5)


def test_features_are_the_selected_ones_of_the_source_and_all_of_the_target():
    model = small_model()
    found = effects_of(model, view_of(model, "rna"), "adt")
    projection = model.fitted.preprocessors["rna"].projection
    assert found.source_features.tolist() == projection.features[projection.selected].tolist()
    assert found.target_features.tolist() == model.fitted.preprocessors["adt"].projection.features.tolist()
    assert (found.source, found.target, found.shape) == ("rna", "adt", (len(projection.selected), 8))


def test_a_feature_that_never_varies_drives_nothing():
    model = small_model()
    view = view_of(model, "rna")
    silent = view.counts.tolil()
    silent[:, 4] = 0
    found = effects_of(model, replace(view, counts=silent.tocsr()), "adt")
    place = np.flatnonzero(found.source_features == view.features[4])
    assert np.abs(found.effects(place)).max() == 0.0
    assert np.abs(found.effects()).max() > 0.0


def test_the_cells_that_are_averaged_over_count_and_their_order_does_not():
    model = late_model()
    view = view_of(model, "rna")
    plain = effects_of(model, view, "adt").effects()
    turned = effects_of(model, view.take(np.arange(view.n_cells)[::-1]), "adt").effects()
    np.testing.assert_allclose(turned, plain, rtol=1e-3, atol=1e-5)
    others = effects_of(model, view_of(model, "rna", test_cells()), "adt").effects()
    assert np.abs(others - plain).max() > 0.01 * np.abs(plain).max()


def test_features_of_the_view_may_stand_in_any_order_and_unknown_ones_are_ignored():
    model, data = late_model(), training()
    order = np.random.default_rng(0).permutation(data["rna"].n_vars)
    view = view_of(model, "rna")
    turned = replace(view, counts=view.counts[:, order].tocsr(), features=view.features[order])
    plain = effects_of(model, view, "adt")
    found = effects_of(model, turned, "adt")
    np.testing.assert_allclose(found.effects(), plain.effects(), rtol=1e-4, atol=1e-6)
    assert found.source_features.tolist() == plain.source_features.tolist()


def planted():
    """Effects of 5 sources on 7 targets."""
    rng = np.random.default_rng(2)
    pushes, loadings = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(7, 3)).astype(np.float32)
    return FeatureEffects("rna", "adt", np.array(list("abcde")), np.array(list("tuvwxyz")), pushes, loadings)


@pytest.mark.parametrize("per", ["target", "source"])
@pytest.mark.parametrize("at_a_time", [1, 11, 2**23])
@pytest.mark.parametrize("top", [1, 2, 5, 9])
def test_the_table_lists_the_largest_of_each_feature_first_in_blocks_of_any_size(monkeypatch, per, at_a_time, top):
    monkeypatch.setattr(feature_effects, "_EFFECTS_AT_A_TIME", at_a_time)
    made = planted()
    long = pd.DataFrame(made.effects(), index=made.source_features, columns=made.target_features)
    long = long.rename_axis("source").reset_index().melt("source", var_name="target", value_name="effect")
    long["size"] = -long["effect"].abs()
    wanted = long.sort_values([per, "size"]).groupby(per).head(top)
    found = made.table(top, per)
    assert found.columns.tolist() == ["source", "target", "effect"]
    assert found["source"].tolist() == wanted["source"].tolist()
    assert found["target"].tolist() == wanted["target"].tolist()
    np.testing.assert_allclose(found["effect"], wanted["effect"], rtol=1e-5)
    assert found["effect"].min() < 0.0 or top == 1


def test_effects_of_some_pairs_are_entries_of_all():
    made = planted()
    whole = made.effects()
    np.testing.assert_allclose(made.effects(slice(1, 4), np.array([6, 0])), whole[1:4][:, [6, 0]], rtol=1e-5)
    assert whole.shape == made.shape == (5, 7)


def test_what_cannot_be_read_out_is_refused():
    model = small_model()
    view = view_of(model, "rna")
    with pytest.raises(ValueError, match=r"E053.*both rna"):
        effects_of(model, view, "rna")
    fewer = replace(view, counts=view.counts[:, 3:].tocsr(), features=view.features[3:])
    with pytest.raises(ValueError, match=f"E036.*rna: 3 of 60 features .*first: '{view.features[0]}'"):
        effects_of(model, fewer, "adt")
    two = changed(model, preprocessors={m: model.fitted.preprocessors[m] for m in ("rna", "atac")})
    with pytest.raises(BadInput, match="E043"):
        two.feature_effects(training(), "rna", "adt")
    with pytest.raises(ValueError, match="top=0"):
        planted().table(0)
    with pytest.raises(ValueError, match="names say"):
        replace(planted(), target_features=np.array(["t"]))
