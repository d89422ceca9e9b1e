"""A preprocessor reads any query with the statistics of its training cells, and subtracts each batch's offset."""

from dataclasses import replace

import numpy as np
import pytest

from unisono.config import FitConfig
from unisono.datasets import Recipe, simulate_cells
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import Projection
from unisono.preprocessing.standardisation import Standardisation, shrinkage_factor


@pytest.fixture(scope="module")
def view():
    return simulate_cells(
        Recipe(n_cells=211, n_genes=83, n_peaks=31, n_proteins=17, n_batches=3, batch_effect=0.6, seed=4)
    ).cells.views["rna"]


@pytest.fixture(scope="module")
def preprocessor(view):
    projection = Projection.fit(view, FitConfig(n_codes=7))
    counts = projection.counts(view)
    return Preprocessor(projection, Standardisation.fit(projection.codes(counts), view.batch, counts.log_depth, 20.0))


def test_x_and_offset_add_up_to_the_scaled_codes(view, preprocessor):
    standardised = preprocessor.transform(view)
    wanted = preprocessor.standardisation.scaled(preprocessor.projection.codes(preprocessor.projection.counts(view)))
    np.testing.assert_allclose(standardised.scaled, wanted, rtol=1e-5, atol=1e-6)


def test_training_codes_keep_of_a_batchs_offset_what_chance_would_give(view, preprocessor):
    standardised = preprocessor.transform(view)
    share = shrinkage_factor(preprocessor.projection.codes(preprocessor.projection.counts(view)), view.batch)
    assert share.max() > 0.5
    for name in np.unique(view.batch):
        rows = view.batch == name
        left = (1 - share) * standardised.scaled[rows].mean(axis=0)
        np.testing.assert_allclose(standardised.x[rows].mean(axis=0), left, atol=1e-4)
        assert np.abs(standardised.scaled[view.batch == name].mean(axis=0)).max() > 0.1


def test_depth_is_the_standard_score_of_log_total_counts(view, preprocessor):
    standardised = preprocessor.transform(view)
    np.testing.assert_allclose(standardised.log_depth, np.log1p(view.depth))
    assert standardised.depth.mean() == pytest.approx(0.0, abs=1e-5)
    assert standardised.depth.std() == pytest.approx(1.0, abs=1e-5)


def test_in_a_known_batch_a_cell_is_read_alike_whatever_cells_stand_beside_it(view, preprocessor):
    rows = np.array([150, 8, 77])
    full, some = preprocessor.transform(view), preprocessor.transform(view.take(rows))
    np.testing.assert_allclose(some.x, full.x[rows], atol=1e-5)
    np.testing.assert_array_equal(some.offset, full.offset[rows])
    np.testing.assert_allclose(some.depth, full.depth[rows])


def test_in_a_new_batch_the_offset_is_the_shrunken_mean_of_the_query(view, preprocessor):
    some = view.take(np.arange(30))
    standardised = preprocessor.transform(replace(some, batch=np.array(["new"] * 30)))
    np.testing.assert_allclose(standardised.offset[0], standardised.scaled.sum(axis=0) / 50.0, atol=1e-5)
    assert np.abs(standardised.offset - preprocessor.transform(some).offset).max() > 0.05


def test_reading_counts_that_stand_in_order_equals_reading_the_view(view, preprocessor):
    counts = preprocessor.projection.counts(view)
    np.testing.assert_array_equal(preprocessor.transform_counts(counts).x, preprocessor.transform(view).x)


def test_a_view_of_another_modality_is_refused(view, preprocessor):
    with pytest.raises(ValueError, match="a projection of rna was given a view of adt"):
        preprocessor.transform(replace(view, modality="adt"))


def test_the_alignment_of_the_query_comes_with_the_reading(view, preprocessor):
    part = replace(view, counts=view.counts[:, 5:], features=view.features[5:])
    alignment = preprocessor.transform(part).alignment
    assert (alignment.n_missing, alignment.n_unknown) == (5, 0)
