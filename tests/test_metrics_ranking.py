"""Areas under curves against scikit-learn, with ties, and in the two forms that give the same."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from unisono.metrics.ranking import areas_by_column, areas_of_ties


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_areas_of_a_column_are_scikit_learns_however_many_scores_tie(decimals):
    rng = np.random.default_rng(decimals)
    is_positive = rng.random((53, 6)) < 0.3
    score = np.round(is_positive + rng.normal(size=is_positive.shape), decimals)
    auroc, auprc = areas_by_column(is_positive, score, 1)
    for column in range(6):
        wanted = roc_auc_score(is_positive[:, column], score[:, column])
        assert auroc[column] == pytest.approx(wanted)
        assert auprc[column] == pytest.approx(average_precision_score(is_positive[:, column], score[:, column]))


def test_areas_of_groups_that_tie_are_those_of_their_items():
    n_items, n_positive = np.array([3, 1, 0, 7, 4]), np.array([2, 0, 0, 3, 1])
    score = np.repeat(-np.arange(5), n_items)
    is_positive = np.concatenate([np.arange(n) < k for n, k in zip(n_items, n_positive, strict=True)])
    auroc, auprc = areas_of_ties(n_items.astype(float), n_positive.astype(float))
    assert auroc == pytest.approx(roc_auc_score(is_positive, score))
    assert auprc == pytest.approx(average_precision_score(is_positive, score))


def test_a_single_class_has_no_area():
    assert np.isnan(areas_of_ties(np.array([2.0]), np.array([2.0]))).all()
    assert np.isnan(areas_of_ties(np.array([2.0]), np.array([0.0]))).all()
    assert np.isnan(areas_by_column(np.ones((5, 2), dtype=bool), np.zeros((5, 2)), 0)).all()
