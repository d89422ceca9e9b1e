"""Matching: similarity to candidates to probabilities to an answer; sees vectors, never counts, networks or names."""

from unisono.match.anchors import N_ANCHORS, Anchors
from unisono.match.candidates import nearest
from unisono.match.couple import couple
from unisono.match.depth import DepthTerm, depth_features, fit_depth_correlation, standardise_depth, with_depth
from unisono.match.presence import presence
from unisono.match.rules import RULES, Rule, apply_rule
from unisono.match.sinkhorn import posterior
from unisono.match.temperature import fit_beta, fit_beta_and_depth_weight
from unisono.match.vote import Rivals, fit_vote

__all__ = [
    "N_ANCHORS",
    "RULES",
    "Anchors",
    "DepthTerm",
    "Rivals",
    "Rule",
    "apply_rule",
    "couple",
    "depth_features",
    "fit_beta",
    "fit_beta_and_depth_weight",
    "fit_depth_correlation",
    "fit_vote",
    "nearest",
    "posterior",
    "presence",
    "standardise_depth",
    "with_depth",
]
