"""Figures of prediction against hand-computed values and other libraries, whole and in blocks."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.metrics import average_precision_score, roc_auc_score

from unisono.metrics import (
    areas_per_feature,
    auroc_per_feature,
    mae,
    mean_pearson,
    overall_pearson,
    pearson,
    pearson_per_feature,
    require_finite,
    rmse,
    spearman,
    spearman_per_feature,
)
from unisono.metrics import prediction as room


def truth_and_prediction(n_cells=31, n_features=7, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_cells, n_features))
    return truth.astype(np.float32), (truth + rng.normal(size=truth.shape)).astype(np.float32)


def test_pearson_is_numpys_for_each_feature():
    truth, prediction = truth_and_prediction()
    wanted = [np.corrcoef(x, y)[0, 1] for x, y in zip(truth.T, prediction.T, strict=True)]
    np.testing.assert_allclose(pearson_per_feature(truth, prediction), wanted, atol=1e-6)
    assert mean_pearson(truth, prediction) == pytest.approx(np.mean(wanted), abs=1e-6)


def test_pearson_runs_over_cells_not_features():
    truth, prediction = truth_and_prediction(8, 8)
    assert not np.allclose(pearson_per_feature(truth, prediction), pearson_per_feature(truth.T, prediction.T))


def test_pearson_of_a_constant_is_zero_and_counts():
    truth, prediction = truth_and_prediction(n_features=4)
    truth[:, 0] = 0.1
    prediction[:, 1] = 1 / 3
    found = pearson_per_feature(truth, prediction)
    assert (found[:2] == 0).all()
    assert (np.abs(found[2:]) > 0.1).all()
    assert mean_pearson(truth, prediction) == pytest.approx(found[2:].sum() / 4)


def test_pearson_ignores_scale_and_keeps_sign():
    truth, prediction = truth_and_prediction()
    found = pearson_per_feature(truth, -1000 * prediction + 7)
    np.testing.assert_allclose(found, -pearson_per_feature(truth, prediction), atol=1e-5)


def test_spearman_is_scipys_with_ties():
    truth, prediction = (np.round(values) for values in truth_and_prediction())
    wanted = [stats.spearmanr(x, y).statistic for x, y in zip(truth.T, prediction.T, strict=True)]
    np.testing.assert_allclose(spearman_per_feature(truth, prediction), wanted, atol=1e-12)


def test_errors_by_hand():
    truth, prediction = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 0.0], [3.0, 8.0]])
    assert rmse(truth, prediction) == pytest.approx(np.sqrt(20 / 4))
    assert mae(truth, prediction) == pytest.approx(6 / 4)


def test_different_shapes_are_refused_not_broadcast():
    with pytest.raises(ValueError, match=r"shapes \(31, 7\) and \(31, 1\) differ"):
        rmse(truth_and_prediction()[0], truth_and_prediction(n_features=1)[1])


def test_auroc_is_scikit_learns_with_ties_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, size=(83, 11))
    prediction = np.round(counts + rng.normal(size=counts.shape), 1)
    wanted = [roc_auc_score(x > 0, y) for x, y in zip(counts.T, prediction.T, strict=True)]
    np.testing.assert_allclose(auroc_per_feature(sparse.csr_matrix(counts), prediction), wanted)
    monkeypatch.setattr(room, "_BLOCK_ENTRIES", 83 * 3)
    np.testing.assert_allclose(auroc_per_feature(sparse.csr_matrix(counts), prediction), wanted)


def test_auroc_of_a_peak_with_few_open_or_few_closed_cells_is_nan():
    truth = np.zeros((40, 4), dtype=int)
    truth[:9, 0] = truth[:10, 1] = truth[:31, 2] = truth[:30, 3] = 1
    prediction = np.random.default_rng(0).normal(size=truth.shape)
    found = auroc_per_feature(sparse.csr_matrix(truth), prediction)
    assert np.isnan(found).tolist() == [True, False, True, False]
    assert not np.isnan(auroc_per_feature(sparse.csr_matrix(truth), prediction, min_class=9)).any()
    assert np.isnan(auroc_per_feature(sparse.csr_matrix((40, 4), dtype=int), prediction, min_class=0)).all()


def counts_and_prediction(n_cells=83, n_features=11, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.5, size=(n_cells, n_features))
    return counts, np.round(counts + rng.normal(size=counts.shape), 1)


def test_correlations_of_a_cell_are_scipys_over_its_features():
    truth, prediction = (np.round(2 * values.astype(float)) for values in truth_and_prediction(7, 31))
    pairs = list(zip(truth, prediction, strict=True))
    np.testing.assert_allclose(
        pearson(truth, prediction, "cell").values, [stats.pearsonr(x, y).statistic for x, y in pairs], atol=1e-12
    )
    np.testing.assert_allclose(
        spearman(truth, prediction, "cell").values, [stats.spearmanr(x, y).statistic for x, y in pairs], atol=1e-12
    )
    assert len(pearson_per_feature(truth, prediction)) == 31


def test_the_overall_correlation_is_scipys_of_the_flattened_values():
    truth, prediction = (np.round(2 * values.astype(float)) + np.arange(7) for values in truth_and_prediction())
    x, y = truth.ravel(), prediction.ravel()
    assert overall_pearson(truth, prediction) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert overall_pearson(truth, prediction) > mean_pearson(truth, prediction) + 0.05  # means of features differ


@pytest.mark.parametrize("of", [pearson, spearman])
@pytest.mark.parametrize("per", ["feature", "cell"])
def test_correlations_that_are_not_defined_score_zero_and_are_counted(of, per):
    truth, prediction = truth_and_prediction()
    turned = (lambda values: values) if per == "feature" else (lambda values: values.T)
    clean = of(turned(truth), turned(prediction), per)
    assert clean.n_undefined == 0
    truth[:, 0] = 3.0
    prediction[:, 1] = 1 / 3
    prediction[4, 2] = np.nan
    found = of(turned(truth), turned(prediction), per)
    assert found.n_undefined == 3
    assert (found.values[:3] == 0).all()
    np.testing.assert_allclose(found.values[3:], clean.values[3:])
    assert found.mean == pytest.approx(clean.values[3:].sum() / 7)


def test_an_infinite_prediction_has_no_correlation_and_warns_of_nothing(recwarn):
    truth, prediction = truth_and_prediction()
    prediction[0, 3] = np.inf
    found = pearson(truth, prediction, "feature")
    assert (found.values[3], found.n_undefined) == (0, 1)
    assert len(recwarn) == 0


def test_overall_correlation_of_a_constant_prediction_is_zero():
    truth, prediction = truth_and_prediction()
    assert overall_pearson(truth, np.full_like(prediction, 0.3)) == 0


@pytest.mark.parametrize(
    "figure",
    [
        lambda x, y: pearson(x, y, "feature").values,
        lambda x, y: pearson(x, y, "cell").values,
        lambda x, y: spearman(x, y, "feature").values,
        lambda x, y: spearman(x, y, "cell").values,
        overall_pearson,
        rmse,
        mae,
        lambda x, y: np.stack(areas_per_feature(x, y)),
    ],
)
def test_figures_are_the_same_for_sparse_and_dense_truth_whole_and_in_blocks(figure, monkeypatch):
    counts, prediction = counts_and_prediction()
    whole = figure(counts, prediction)
    np.testing.assert_allclose(figure(sparse.csr_matrix(counts), prediction), whole)
    monkeypatch.setattr(room, "_BLOCK_ENTRIES", 83 * 3)
    np.testing.assert_allclose(figure(sparse.csr_matrix(counts), prediction), whole)


@pytest.mark.parametrize(
    "figure",
    [
        mean_pearson,
        lambda x, y: pearson(x, y, "cell"),
        overall_pearson,
        spearman_per_feature,
        rmse,
        mae,
        auroc_per_feature,
    ],
)
def test_sparse_truth_is_never_made_dense_as_a_whole(figure, monkeypatch):
    monkeypatch.setattr(room, "_BLOCK_ENTRIES", 2**15)
    truth = sparse.random(101, 9000, density=0.02, format="csr", random_state=0)
    prediction = np.random.default_rng(0).random((101, 9000), dtype=np.float32)
    tracemalloc.start()
    figure(truth, prediction)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 101 * 9000 * 8 / 2


def test_auprc_is_scikit_learns_average_precision_with_ties():
    counts, prediction = counts_and_prediction()
    wanted = [average_precision_score(x > 0, y) for x, y in zip(counts.T, prediction.T, strict=True)]
    np.testing.assert_allclose(areas_per_feature(sparse.csr_matrix(counts), prediction).auprc, wanted)


def test_auprc_of_a_peak_with_few_cells_of_a_class_is_nan_where_auroc_is():
    truth = np.zeros((40, 3), dtype=int)
    truth[:9, 0] = truth[:10, 1] = truth[:31, 2] = 1
    auroc, auprc = areas_per_feature(sparse.csr_matrix(truth), np.random.default_rng(0).normal(size=truth.shape))
    assert np.isnan(auroc).tolist() == np.isnan(auprc).tolist() == [True, False, True]


def test_a_prediction_that_says_nothing_has_the_areas_of_chance():
    counts, prediction = counts_and_prediction()
    auroc, auprc = areas_per_feature(sparse.csr_matrix(counts), np.zeros_like(prediction))
    np.testing.assert_allclose(auroc, 0.5)
    np.testing.assert_allclose(auprc, (counts > 0).mean(axis=0))


def test_a_prediction_that_is_not_finite_is_refused_with_its_place():
    _, prediction = truth_and_prediction()
    require_finite(prediction)
    prediction[2, 3], prediction[4, 1] = np.nan, -np.inf
    with pytest.raises(ValueError, match=r"2 of 217 values are not finite \(first: cell 2, feature 103\)"):
        require_finite(prediction, first_feature=100)


def test_no_cells_have_no_correlation():
    with pytest.raises(ValueError, match=r"shape \(0, 7\)"):
        pearson_per_feature(np.empty((0, 7)), np.empty((0, 7)))
