"""Matching: similarity to candidates to probabilities to an answer; sees vectors, never counts, networks or names."""

from unisono.matching.anchors import N_ANCHORS, Anchors
from unisono.matching.candidates import nearest
from unisono.matching.couple import couple, couple_by_rules
from unisono.matching.depth import DepthTerm, depth_features, fit_depth_correlation, standardise_depth, with_depth
from unisono.matching.linear_weight import SimilarityPair, fit_linear_weight
from unisono.matching.rules import DEFAULT_TOP, RULES, Rule, apply_rule
from unisono.matching.sinkhorn import posterior
from unisono.matching.temperature import fit_beta, fit_beta_and_depth_weight
from unisono.matching.unmatched import unmatched_probability

__all__ = [
    "DEFAULT_TOP",
    "N_ANCHORS",
    "RULES",
    "Anchors",
    "DepthTerm",
    "Rule",
    "SimilarityPair",
    "apply_rule",
    "couple",
    "couple_by_rules",
    "depth_features",
    "fit_beta",
    "fit_beta_and_depth_weight",
    "fit_depth_correlation",
    "fit_linear_weight",
    "nearest",
    "posterior",
    "standardise_depth",
    "unmatched_probability",
    "with_depth",
]
