"""Before the first step: validation cells are kept apart, and the heads start at the closed form."""

import numpy as np
import pytest
import torch
from training_fixtures import prepare, simulated, small_config

from unisono.preprocessing.projection import Projection
from unisono.training.mini_batches import TrainingView, log_size
from unisono.training.validation import split
from unisono.types import Cells

CONFIG = small_config(max_features={"rna": 61})


@pytest.fixture(scope="module")
def cells():
    return simulated()


@pytest.fixture(scope="module")
def prepared(cells):
    return prepare(cells, CONFIG)


def with_fraction(fraction):
    return CONFIG.model_copy(update={"validation": CONFIG.validation.model_copy(update={"fraction": fraction})})


def kept(cells, excluded):
    return cells.take(np.flatnonzero(~np.isin(cells.names, excluded.names)))


def test_validation_cells_are_not_among_the_training_cells(cells, prepared):
    assert len(prepared.validation_cells.names) == 60
    assert set(prepared.validation_cells.names) < set(cells.names)
    assert len(prepared.technical) == 247
    training = kept(cells, prepared.validation_cells)
    for m, view in prepared.views.items():
        np.testing.assert_array_equal(view.counts.total, training.views[m].depth)
        assert training.views[m].depth.sum() < cells.views[m].depth.sum()


def test_transforms_are_fitted_on_the_training_cells_alone(cells, prepared):
    for m, view in prepared.views.items():
        alone = TrainingView.fit(kept(cells, prepared.validation_cells), m, CONFIG).preprocessor.projection
        np.testing.assert_array_equal(view.preprocessor.projection.basis, alone.basis)
        assert not np.array_equal(
            view.preprocessor.projection.fraction, Projection.fit(cells.views[m], CONFIG).fraction
        )


def test_validation_cells_follow_the_seed_and_another_seed_draws_others(cells, prepared):
    same = prepare(cells, CONFIG)
    other = prepare(cells, CONFIG.model_copy(update={"seed": 1}))
    assert same.validation_cells.names.tolist() == prepared.validation_cells.names.tolist()
    assert set(other.validation_cells.names) != set(prepared.validation_cells.names)
    for one, two in zip(same.network.parameters(), prepared.network.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(("n_cells", "fraction", "n_validation"), [(23, 0.1, 0), (29, 0.1, 5), (307, 0.05, 60)])
def test_validation_cells_are_a_fifth_of_few_cells_and_sixty_of_more(cells, n_cells, fraction, n_validation):
    some = cells.take(np.arange(n_cells))
    found = split(some, with_fraction(fraction))[1]
    assert (len(found.names) if found else 0) == n_validation


def test_there_are_no_validation_cells_where_the_fraction_is_zero(cells):
    found = prepare(cells, with_fraction(0.0))
    assert found.validation_cells is None
    assert len(found.technical) == 307


def test_only_cells_with_two_modalities_become_validation_cells(cells):
    paired = np.arange(307) < 101
    mixed = Cells({"rna": cells.views["rna"], "adt": cells.views["adt"].take(np.flatnonzero(paired))})
    found = split(mixed, CONFIG)[1]
    assert len(found.names) == 20
    assert set(found.names) <= set(mixed.views["adt"].cells)
    assert set(found.views["rna"].cells) == set(found.views["adt"].cells)


def test_the_technical_batch_of_each_training_cell_is_its_own(cells, prepared):
    training = kept(cells, prepared.validation_cells)
    names = np.unique(training.batch)
    np.testing.assert_array_equal(names[prepared.technical], training.batch)
    assert len(names) == 2


def test_scaled_codes_are_carried_to_the_scale_of_the_modality_as_raw_codes_are(prepared):
    for m in ("rna", "adt"):
        preprocessor, head = prepared.views[m].preprocessor, prepared.network.head(m)
        codes = preprocessor.projection.codes(prepared.views[m].counts)
        wanted = codes @ preprocessor.projection.loadings.T + preprocessor.projection.intercept
        scaled = preprocessor.standardisation.scaled(codes)
        found = scaled @ head.loadings.numpy().T + head.intercept.numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_the_logit_of_a_peak_touches_the_linear_prediction_at_the_mean_code(prepared):
    """Value and slope at code zero are those of the linear map, as long as it is a probability."""
    projection, statistics = (
        prepared.views["atac"].preprocessor.projection,
        prepared.views["atac"].preprocessor.standardisation,
    )
    head = prepared.network.head("atac")
    fraction = projection.intercept + projection.loadings @ statistics.mean
    inside = (fraction > 0.01) & (fraction < 0.99)
    assert inside.sum() > 50
    at_mean = 1 / (1 + np.exp(-head.intercept.numpy()))
    np.testing.assert_allclose(at_mean[inside], fraction[inside], rtol=1e-4)
    slope = (fraction * (1 - fraction))[:, None] * head.loadings.numpy()
    np.testing.assert_allclose(slope[inside], (projection.loadings * statistics.scale)[inside], rtol=1e-3, atol=1e-6)
    assert (head.log_bias == 0).all()


@pytest.mark.parametrize("modality", ["rna", "adt"])
def test_the_expected_count_at_the_mean_code_and_size_is_the_mean_count(modality, prepared):
    view, head = prepared.views[modality], prepared.network.head(modality)
    selected = torch.as_tensor(view.preprocessor.projection.selected)
    values = head.intercept[selected][None, None]
    size = np.exp(log_size(view.preprocessor, view.counts)).mean()
    found = head.log_mean_counts(values, torch.full((1, 1), float(np.log(size))), selected).exp()[0, 0]
    mean = np.asarray(view.counts.selected.mean(axis=0)).ravel()
    high = values[0, 0].numpy() > 0.5
    assert high.sum() > 5
    np.testing.assert_allclose(found.detach().numpy()[high], mean[high], rtol=0.01)


def test_unselected_genes_have_no_bias(prepared):
    outside = np.setdiff1d(np.arange(83), prepared.views["rna"].preprocessor.projection.selected)
    bias = prepared.network.head("rna").log_bias.detach().numpy()
    assert (bias[outside] == 0).all()
    assert np.abs(bias).max() <= 5.0


def test_contents_of_the_two_sides_of_a_cell_agree_before_any_training(prepared):
    z = {
        m: prepared.network.content(m, torch.as_tensor(view.codes.x).expand(2, -1, -1))[0].mu[0].detach().numpy()
        for m, view in prepared.views.items()
    }
    for a, b in (("rna", "adt"), ("rna", "atac")):
        partner = np.corrcoef(z[a][:, 0], z[b][:, 0])[0, 1]
        stranger = np.corrcoef(z[a][:, 0], np.roll(z[b][:, 0], 17))[0, 1]
        assert partner > 0.5 > 3 * abs(stranger)


def test_a_modality_without_enough_cells_is_refused(cells):
    few = Cells({"rna": cells.views["rna"], "adt": cells.views["adt"].take(np.arange(2))})
    with pytest.raises(ValueError, match="adt: 2 cells and 17 proteins with counts cannot make a code"):
        prepare(few, CONFIG)


def test_kernels_have_a_weight_from_the_start_only_where_every_pair_of_modalities_shares_cells(cells, prepared):
    weights = {pair: terms.kernel_weight for pair, terms in prepared.predictor.terms.items() if pair[0] != pair[1]}
    assert set(weights.values()) == {0.25}
    half = np.arange(307) < 151
    views = cells.views
    mosaic = Cells(
        {
            "atac": views["atac"].take(np.flatnonzero(half)),
            "rna": views["rna"],
            "adt": views["adt"].take(np.flatnonzero(~half)),
        }
    )
    terms = prepare(mosaic, CONFIG).predictor.terms
    assert terms["rna", "adt"].kernel is not None
    assert terms["atac", "adt"].kernel is None
    assert {own.kernel_weight for own in terms.values()} == {0.0}
