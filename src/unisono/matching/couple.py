"""Two sets of vectors to a coupling: candidates, Sinkhorn, rule, a group at a time; never sees counts or cell names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from unisono.matching.candidates import Vectors, nearest
from unisono.matching.graph import best_in_row, row_of_entries, value_at
from unisono.matching.groups import Labels, Rows, blocks
from unisono.matching.rules import DEFAULT_TOP, Rule, apply_rule
from unisono.matching.sinkhorn import posterior
from unisono.matching.unmatched import unmatched_probability
from unisono.messages import bad_input
from unisono.types import MatchPosterior

_MIN_MASS = 1e-6
"""Of a cell that is sure to be without a partner: its row still says who it would be."""


def couple(
    left: Vectors,
    right: Vectors,
    *,
    beta: float,
    rule: Rule = "soft",
    top: int = DEFAULT_TOP,
    within: tuple[Labels, Labels] | None = None,
    k: int | None = None,
    prior_unmatched: float = 0.0,
) -> MatchPosterior:
    """As `couple_by_rules`, by one rule."""
    return couple_by_rules(
        left, right, (rule,), beta=beta, top=top, within=within, k=k, prior_unmatched=prior_unmatched
    )[rule]


def couple_by_rules(
    left: Vectors,
    right: Vectors,
    rules: Sequence[Rule],
    *,
    beta: float,
    top: int = DEFAULT_TOP,
    within: tuple[Labels, Labels] | None = None,
    k: int | None = None,
    prior_unmatched: float = 0.0,
) -> dict[Rule, MatchPosterior]:
    """Match left to right cells, whose similarity is the inner product of their vectors: one scaling, then every rule.

    Args:
        left: left cell x dimension.
        right: right cell x dimension.
        beta: inverse temperature: beta * left[i] · right[j] is the log density ratio of a pair.
        rules: see `apply_rule`.
        top: most entries of a row, for rule `soft`.
        within: group labels of left and of right cells; no cell is matched out of its group.
        k: candidates from either side; min(200, n) if None.
        unmatched: share of the smaller side that lacks its partner, for all one knows before looking, see
            `unmatched_probability`; it takes beta times an inner product at its word. With 0 the smaller side is
            matched whole, and only the surplus of the larger one is left over.

    Returns:
        Rule → rows and columns in the order of `left` and `right`. Shuffling the right cells shuffles the columns.

    Raises:
        BadInput: E057, left cells that have no right cell to be matched to.
        ValueError: vectors or settings that cannot be used.
    """
    if len(right) == 0:
        raise bad_input("E057", "match", f"no right cells for {len(left)} left cells.", "give cells on both sides")
    parts = [
        (rows, columns, _block_posterior(left[rows], right[columns], beta, k, prior_unmatched))
        for rows, columns in blocks(len(left), len(right), within)
        if len(rows)
    ]
    shape = len(left), len(right)
    return {
        rule: _assemble([(rows, columns, _with_confidence(found, rule, top)) for rows, columns, found in parts], shape)
        for rule in rules
    }


def _block_posterior(
    left: Vectors, right: Vectors, beta: float, k: int | None, prior_unmatched: float
) -> MatchPosterior:
    scores = nearest(left, right, k)
    if prior_unmatched == 0:
        return posterior(scores, beta)
    p_left, p_right = unmatched_probability(left, right, beta=beta, prior_unmatched=prior_unmatched)
    masses = np.maximum(1.0 - p_left, _MIN_MASS), np.maximum(1.0 - p_right, _MIN_MASS)
    return MatchPosterior(posterior(scores, beta, masses=masses).posterior, p_left)


def _with_confidence(found: MatchPosterior, rule: Rule, top: int) -> MatchPosterior:
    """The rule's answer, with the probability that it is right by the posterior before the rule."""
    answer = apply_rule(found, rule, top=top)
    stated = value_at(found.posterior, best_in_row(answer.posterior))
    return replace(answer, confidence=(1.0 - found.p_unmatched) * stated)


def _assemble(parts: list[tuple[Rows, Rows, MatchPosterior]], shape: tuple[int, int]) -> MatchPosterior:
    """One coupling from those of the groups, in the order of the input."""
    nothing = np.empty(0, dtype=np.intp)
    entry_rows = [rows[row_of_entries(part.posterior)] for rows, _, part in parts]
    entry_columns = [columns[part.posterior.indices] for _, columns, part in parts]
    values = np.concatenate([nothing.astype(np.float64), *(part.posterior.data for _, _, part in parts)])
    source_name = (np.concatenate([nothing, *entry_rows]), np.concatenate([nothing, *entry_columns]))
    p_unmatched, confidence = np.zeros(shape[0]), np.zeros(shape[0])
    for rows, _, part in parts:
        p_unmatched[rows], confidence[rows] = part.p_unmatched, part.confidence
    return MatchPosterior(sparse.csr_matrix((values, source_name), shape=shape), p_unmatched, confidence)
