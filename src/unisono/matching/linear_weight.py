"""The weight of one similarity in a blend of two, by the likelihood of known partners; never matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono.config import MatchingConfig
from unisono.matching.candidates import Labels

_DEFAULTS = MatchingConfig()
_START = 5.0

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SimilarityPair:
    """Two similarities of the same pairs of partners, which trained neither.

    Attributes:
        first: left x right; entry i, i is a pair of partners.
        second: the same pairs by another similarity.
        within: group of each cell; only cells of its own group compete with a partner. None for one group.
    """

    first: Scores
    second: Scores
    within: Labels | None = None


def fit_linear_weight(similarity_pairs: Sequence[SimilarityPair], max_beta: float = _DEFAULTS.max_linear_beta) -> float:
    """The weight of the second similarity under which partners are the most likely, 0 to 1.

    The symmetric cross-entropy of β₁ first + β₂ second is convex in β, each from 0 to `max_beta`; the weight is
    β₂ / (β₁ + β₂).
    """
    from scipy.optimize import minimize

    if not similarity_pairs:
        raise ValueError("no pairs of partners: expected 1 or more")
    found = minimize(
        _loss_and_gradient,
        args=(similarity_pairs,),
        x0=np.array([_START, _START]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, max_beta)] * 2,
    )
    total = float(found.x.sum())
    return float(found.x[1]) / total if total > 0 else 0.5


def _loss_and_gradient(beta: Scores, similarity_pairs: Sequence[SimilarityPair]) -> tuple[float, Scores]:
    """Mean over cells of −log softmax of the partner, both ways, and its gradient in beta."""
    n_cells = sum(len(each.first) for each in similarity_pairs)
    loss, gradient = 0.0, np.zeros(2)
    for each in similarity_pairs:
        scores = beta[0] * each.first + beta[1] * each.second
        if each.within is not None:
            scores = np.where(each.within[:, None] == each.within[None, :], scores, -np.inf)
        for axis in (0, 1):
            shifted = scores - scores.max(axis=axis, keepdims=True)
            probability = np.exp(shifted)
            total = probability.sum(axis=axis, keepdims=True)
            probability /= total
            loss -= float((np.diag(shifted) - np.log(total.ravel())).sum())
            for place, similarity in enumerate((each.first, each.second)):
                gradient[place] += float((probability * similarity).sum() - np.trace(similarity))
    return loss / n_cells, gradient / n_cells
