"""Matching: similarity to problem to probabilities to an answer; sees vectors, never counts, networks or names.

For vectors of any method: fit β with `fit_beta` (or `fit_beta_and_depth_weight`) on known partners that did not train
them, make a `Similarity` of other cells, and give it to `match_cells`.

Examples:
    Fifty pairs are known, and nine cells of either side are to be matched; the vectors are of whatever method:

    >>> import numpy as np, unisono as un
    >>> rng = np.random.default_rng(0)
    >>> left = rng.normal(size=(59, 8))
    >>> right = left + 0.1 * rng.normal(size=(59, 8))
    >>> beta = un.matching.fit_beta(left[:50], right[:50])
    >>> found = un.matching.match_cells(un.matching.Similarity(left[50:], right[50:], beta), rule="argmax")
    >>> found.probabilities.toarray().argmax(axis=1)
    array([0, 1, 2, 3, 4, 5, 6, 7, 8])
"""

from unisono.matching.anchors import Anchors, mean_potential
from unisono.matching.candidates import nearest
from unisono.matching.fit import SimilarityPair, fit_beta, fit_beta_and_depth_weight, fit_linear_weight, partner_losses
from unisono.matching.match import MAX_PARTNERS, RULES, Rule, apply_rule, match_cells, match_posterior
from unisono.matching.similarity import DepthTerm, Similarity, depth_features, fit_depth_correlation, standardise_depth
from unisono.matching.sinkhorn import MatchingProblem, Potentials, sinkhorn, solve
from unisono.matching.unmatched import unmatched_probability
from unisono.types import MatchPosterior

__all__ = [
    "MAX_PARTNERS",
    "RULES",
    "Anchors",
    "DepthTerm",
    "MatchPosterior",
    "MatchingProblem",
    "Potentials",
    "Rule",
    "Similarity",
    "SimilarityPair",
    "apply_rule",
    "depth_features",
    "fit_beta",
    "fit_beta_and_depth_weight",
    "fit_depth_correlation",
    "fit_linear_weight",
    "match_cells",
    "match_posterior",
    "mean_potential",
    "nearest",
    "partner_losses",
    "sinkhorn",
    "solve",
    "standardise_depth",
    "unmatched_probability",
]
