"""From a similarity to an answer: candidates, Sinkhorn and a rule, one group at a time; never sees counts or names."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from unisono.matching.candidates import Labels, Rows, blocks, row_of_entries
from unisono.matching.rules import MAX_PARTNERS, Rule, apply_rule
from unisono.matching.similarity import Similarity
from unisono.matching.sinkhorn import MatchingProblem, sinkhorn
from unisono.matching.unmatched import unmatched_probability
from unisono.messages import bad_input
from unisono.types import MatchPosterior

_MIN_MASS = 1e-6
"""Of a cell that is sure to be without a partner: its row still says who it would be."""


def match_cells(
    similarity: Similarity,
    *,
    rule: Rule = "soft",
    max_partners: int = MAX_PARTNERS,
    within: tuple[Labels, Labels] | None = None,
    k: int | None = None,
    prior_unmatched: float = 0.0,
) -> MatchPosterior:
    """Match left to right cells by a rule; `match_posterior` says what the other arguments are.

    Args:
        rule: see `apply_rule`.
        max_partners: most entries of a row, for rule `soft`.
    """
    found = match_posterior(similarity, within=within, k=k, prior_unmatched=prior_unmatched)
    return apply_rule(found, rule, max_partners=max_partners)


def match_posterior(
    similarity: Similarity,
    *,
    within: tuple[Labels, Labels] | None = None,
    k: int | None = None,
    prior_unmatched: float = 0.0,
) -> MatchPosterior:
    """The match probabilities of the candidates of every left cell, before any rule.

    Args:
        similarity: log density ratios of left and right cells.
        within: group labels of left and of right cells; no cell is matched out of its group.
        k: candidates from either side; min(200, n) if None.
        prior_unmatched: prior share of the smaller side that lacks its partner, see `unmatched_probability`. With 0 the
            smaller side is matched whole, and only the surplus of the larger one is left over.

    Returns:
        Rows and columns in the order of the cells. Shuffling the right cells shuffles the columns.

    Raises:
        BadInput: E057, left cells that have no right cell to be matched to.
        ValueError: vectors or settings that cannot be used.
    """
    n_left, n_right = len(similarity.left), len(similarity.right)
    if n_right == 0:
        raise bad_input("E057", "match", f"no right cells for {n_left} left cells.", "give cells on both sides")
    parts = [
        (rows, columns, _of_group(similarity.take(rows, columns), k, prior_unmatched))
        for rows, columns in blocks(n_left, n_right, within)
        if len(rows)
    ]
    return _assemble(parts, (n_left, n_right))


def _of_group(similarity: Similarity, k: int | None, prior_unmatched: float) -> MatchPosterior:
    log_ratio = similarity.candidates(k)
    if prior_unmatched == 0:
        return sinkhorn(MatchingProblem.one_to_one(log_ratio))
    p_left, p_right = unmatched_probability(similarity, prior_unmatched)
    masses = np.maximum(1.0 - p_left, _MIN_MASS), np.maximum(1.0 - p_right, _MIN_MASS)
    return MatchPosterior(sinkhorn(MatchingProblem.of_masses(log_ratio, *masses)).probabilities, p_left)


def _assemble(parts: list[tuple[Rows, Rows, MatchPosterior]], shape: tuple[int, int]) -> MatchPosterior:
    """One posterior from those of the groups, in the order of the input."""
    nothing = np.empty(0, dtype=np.intp)
    entry_rows = [rows[row_of_entries(part.probabilities)] for rows, _, part in parts]
    entry_columns = [columns[part.probabilities.indices] for _, columns, part in parts]
    values = np.concatenate([nothing.astype(np.float64), *(part.probabilities.data for _, _, part in parts)])
    places = np.concatenate([nothing, *entry_rows]), np.concatenate([nothing, *entry_columns])
    p_unmatched = np.zeros(shape[0])
    for rows, _, part in parts:
        p_unmatched[rows] = part.p_unmatched
    return MatchPosterior(sparse.csr_matrix((values, places), shape=shape), p_unmatched)
