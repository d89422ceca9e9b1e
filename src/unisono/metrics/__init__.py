"""Metrics as functions of arrays: prediction, matching, calibration; never a model or names.

Examples:
    Values are cell x feature, vectors cell x dimension, and row i of both sides is the same cell:

    >>> import numpy as np, unisono as un
    >>> truth = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    >>> prediction = np.array([[2.0, 3.0], [4.0, 2.0], [6.0, 1.0]])
    >>> un.metrics.pearson_per_feature(truth, prediction)
    array([ 1., -1.])
    >>> vectors = np.eye(3)
    >>> un.metrics.foscttm(vectors, vectors), un.metrics.recall_at(vectors, vectors, ks=(1,))
    (0.0, {1: 1.0})
"""

from unisono.metrics.calibration import (
    Curve,
    abstention,
    expected_calibration_error,
    finite_sample_calibration_error,
    reliability,
    wilson,
)
from unisono.metrics.matching import (
    accuracy,
    foscttm,
    foscttm_of_scores,
    label_transfer_accuracy,
    label_transfer_chance,
    label_transfer_probability,
    match_calibration_error,
    match_probability,
    one_to_one_accuracy,
    pair_areas,
    probability_of_partner,
    recall_at,
    top_match,
    within_groups,
)
from unisono.metrics.moments import Correlations, Moments
from unisono.metrics.prediction import (
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
from unisono.metrics.ranking import Areas, areas_of_ties
from unisono.metrics.tasks import (
    PredictionDetails,
    matching_chance,
    matching_metrics,
    prediction_chance,
    prediction_details,
    prediction_metrics,
)

__all__ = [
    "Areas",
    "Correlations",
    "Curve",
    "Moments",
    "PredictionDetails",
    "abstention",
    "accuracy",
    "areas_of_ties",
    "areas_per_feature",
    "auroc_per_feature",
    "expected_calibration_error",
    "finite_sample_calibration_error",
    "foscttm",
    "foscttm_of_scores",
    "label_transfer_accuracy",
    "label_transfer_chance",
    "label_transfer_probability",
    "mae",
    "match_calibration_error",
    "match_probability",
    "matching_chance",
    "matching_metrics",
    "mean_pearson",
    "one_to_one_accuracy",
    "overall_pearson",
    "pair_areas",
    "pearson",
    "pearson_per_feature",
    "prediction_chance",
    "prediction_details",
    "prediction_metrics",
    "probability_of_partner",
    "recall_at",
    "reliability",
    "require_finite",
    "rmse",
    "spearman",
    "spearman_per_feature",
    "top_match",
    "wilson",
    "within_groups",
]
