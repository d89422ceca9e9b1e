"""What is measured of a method's answers about a query, the same for every method; fits nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import unisono as un
from unisono_bench.matching import all_log_probabilities, matched
from unisono_bench.studies.left_out.sets import PAIR, UNKNOWN, Query
from unisono_bench.studies.report import Row

SHARED = "shared"
"""Features that the query and any of the training sets measured."""

Names = NDArray[np.str_]


def of_prediction(query: Query, source: str, predicted: pd.DataFrame, subsets: Mapping[str, Names]) -> Iterator[Row]:
    """Mean Pearson correlation over features, of all that are shared and of subsets of them.

    Args:
        query: the cells, with the truth.
        source: the modality that was predicted from.
        predicted: cell x feature of the other one, cells in the order of the query.
        subsets: features of the target by name, such as those of one training set.
    """
    target = next(m for m in PAIR if m != source)
    truth = query.truth[target]
    shared = truth.columns.intersection(predicted.columns)
    values = un.metrics.pearson_per_feature(truth[shared].to_numpy(), predicted[shared].to_numpy())
    about = {"source": source, "target": target}
    for name, features in {SHARED: shared.to_numpy(), **subsets}.items():
        is_in = shared.isin(features)
        if is_in.any():
            measured = {"features": name, "n_features": int(is_in.sum())}
            yield {**about, **measured, "figure": "pearson", "value": _rounded(values[is_in].mean())}


def of_embedding(left: NDArray[np.float32], right: NDArray[np.float32]) -> Iterator[Row]:
    """FOSCTTM of the vectors by which cells are compared; row i of both is the same cell."""
    known = np.isfinite(left).all(axis=1) & np.isfinite(right).all(axis=1)
    yield _matched("foscttm", un.metrics.foscttm(left[known], right[known]))


def of_matching(query: Query, similarity: un.matching.Similarity) -> Iterator[Row]:
    """Ranks and probabilities of all pairs.

    Args:
        query: the cells.
        similarity: of the left and the right cells of its matching.
    """
    partner = query.matching.partner
    left, right = similarity.vectors
    yield _matched("foscttm_of_posterior", un.metrics.foscttm_of_scores(all_log_probabilities(similarity)[:, partner]))
    yield _matched("recall_at_10", un.metrics.recall_at(left, right[partner], ks=(10,))[10])
    found = matched(similarity, "soft")
    soft = found.probabilities
    yield _matched("match_probability", un.metrics.match_probability(soft, partner))
    yield _matched("calibration_error", un.metrics.match_calibration_error(soft, partner, listed=found.listed))
    types, right_types = query.labels
    known = np.flatnonzero(types != UNKNOWN)
    if len(known):
        share = un.metrics.label_transfer_accuracy(soft[known], types[known], right_types)
        yield _matched("label_transfer_accuracy", share)


def of_intervals(query: Query, source: str, lower: pd.DataFrame, upper: pd.DataFrame) -> Row:
    """Fraction of measured values that lie inside, of the features that are shared."""
    target = next(m for m in PAIR if m != source)
    truth = query.truth[target]
    shared = truth.columns.intersection(lower.columns)
    values = truth[shared].to_numpy()
    is_inside = (values >= lower[shared].to_numpy()) & (values <= upper[shared].to_numpy())
    about = {"source": source, "target": target, "features": SHARED}
    return {**about, "figure": "coverage_of_90", "value": _rounded(is_inside.mean())}


def _matched(figure: str, value: float) -> Row:
    return {"source": PAIR[0], "target": PAIR[1], "features": SHARED, "figure": figure, "value": _rounded(value)}


def _rounded(value: float) -> float:
    return round(float(value), 6)
