"""From a similarity to an answer: candidates, Sinkhorn and a rule, one group at a time; never sees counts or names."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from unisono.matching.beyond import posterior_among_all
from unisono.matching.candidates import Labels, Rows, blocks, keep, largest_in_rows, row_of_entries
from unisono.matching.similarity import Similarity
from unisono.matching.sinkhorn import MatchingProblem
from unisono.matching.unmatched import unmatched_probability
from unisono.messages import bad_input
from unisono.types import MatchPosterior

Rule = Literal["soft", "argmax", "one-to-one"]
RULES: tuple[Rule, ...] = get_args(Rule)
MAX_PARTNERS = 100

_SMALLEST = 1e-300
"""Probabilities below count as this one, so that each has a logarithm."""


def apply_rule(match_posterior: MatchPosterior, rule: Rule, *, max_partners: int = MAX_PARTNERS) -> MatchPosterior:
    """The answer of a rule.

    Args:
        match_posterior: before any rule.
        rule: `soft` keeps the `max_partners` largest probabilities of a row and rescales them to sum to 1. `argmax`
            gives each left cell its most probable right cell, which maximises the expected fraction of right partners.
            `one-to-one` gives the most probable matching in which no right cell is taken twice and as many left
            cells as the candidates allow are matched.
        max_partners: most entries of a row, for `soft`.

    Returns:
        Rows sum to 1, or are empty where they were. `soft` and `argmax` leave `p_unmatched` as it was. After
        `one-to-one` it is 0 for a matched cell and 1 for one left over, whose row is then its argmax.
        `confidence` is that of each row's largest entry before the rule.

    Examples:
        The first right cell is the likeliest partner of both left ones. One to one, 0.4 · 0.7 is more than 0.6 · 0.3:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> posterior = un.matching.MatchPosterior(csr_matrix([[0.6, 0.4], [0.7, 0.3]]), p_unmatched=np.zeros(2))
        >>> un.matching.apply_rule(posterior, "argmax").probabilities.toarray()
        array([[1., 0.],
               [1., 0.]])
        >>> un.matching.apply_rule(posterior, "one-to-one").probabilities.toarray()
        array([[0., 1.],
               [1., 0.]])
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r} unknown, expected one of {', '.join(RULES)}")
    is_alone = np.diff(match_posterior.probabilities.indptr) == 0
    if is_alone.any():
        some = apply_rule(_take(match_posterior, ~is_alone), rule, max_partners=max_partners)
        return _with_empty_rows(some, ~is_alone)
    if rule == "soft":
        answer = _soft(match_posterior, max_partners)
    else:
        answer = _argmax(match_posterior) if rule == "argmax" else _one_to_one(match_posterior)
    probability = _value_at(match_posterior.probabilities, _best_in_row(answer.probabilities))
    return replace(answer, confidence=(1.0 - match_posterior.p_unmatched) * match_posterior.listed * probability)


def _take(match_posterior: MatchPosterior, is_chosen: NDArray[np.bool_]) -> MatchPosterior:
    """The posterior of some left cells."""
    beyond = None if match_posterior.beyond is None else match_posterior.beyond[is_chosen]
    return MatchPosterior(
        match_posterior.probabilities[is_chosen], match_posterior.p_unmatched[is_chosen], beyond=beyond
    )


def _with_empty_rows(some: MatchPosterior, is_chosen: NDArray[np.bool_]) -> MatchPosterior:
    """The posterior of some left cells among others, which have no candidate and are unmatched."""
    beyond = None
    if some.beyond is not None:
        beyond = np.zeros(len(is_chosen))
        beyond[is_chosen] = some.beyond
    sizes = np.zeros(len(is_chosen), dtype=np.int64)
    sizes[is_chosen] = np.diff(some.probabilities.indptr)
    shape = (len(is_chosen), some.probabilities.shape[1])
    parts = (some.probabilities.data, some.probabilities.indices, np.concatenate([[0], np.cumsum(sizes)]))
    p_unmatched, confidence = np.ones(len(is_chosen)), np.zeros(len(is_chosen))
    p_unmatched[is_chosen], confidence[is_chosen] = some.p_unmatched, some.confidence
    return MatchPosterior(sparse.csr_matrix(parts, shape=shape), p_unmatched, confidence, beyond)


def _soft(match_posterior: MatchPosterior, max_partners: int) -> MatchPosterior:
    if max_partners < 1:
        raise ValueError(f"max_partners={max_partners}: expected at least 1")
    probabilities, beyond = match_posterior.probabilities, match_posterior.beyond
    if np.diff(probabilities.indptr).max(initial=0) > max_partners:
        probabilities = keep(probabilities, largest_in_rows(probabilities, max_partners))
        listed = np.asarray(probabilities.sum(axis=1), dtype=np.float64).ravel()
        beyond = 1.0 - listed * match_posterior.listed
    return replace(match_posterior, probabilities=_normalised(probabilities), beyond=beyond)


def _argmax(match_posterior: MatchPosterior) -> MatchPosterior:
    best = _best_in_row(match_posterior.probabilities)
    return MatchPosterior(_one_each(best, match_posterior.probabilities), match_posterior.p_unmatched)


def _one_to_one(match_posterior: MatchPosterior) -> MatchPosterior:
    assigned = _assignment(match_posterior)
    is_left_over = assigned < 0
    columns = np.where(is_left_over, _best_in_row(match_posterior.probabilities), assigned)
    return MatchPosterior(_one_each(columns, match_posterior.probabilities), is_left_over.astype(np.float64))


def _one_each(columns: NDArray[np.intp], like: sparse.csr_matrix) -> sparse.csr_matrix:
    """A 1 in the given column of each row."""
    n_left = like.shape[0]
    return sparse.csr_matrix((np.ones(n_left), columns, np.arange(n_left + 1)), shape=like.shape)


def _assignment(match_posterior: MatchPosterior) -> NDArray[np.intp]:
    """The right cell of each left cell, −1 for those left over: a full matching with a dummy partner for each row.

    The cost of a pair is −log of the joint probability p(partner is there) · p(it is this one), that of being left
    over is −log p_unmatched plus a penalty larger than all pairs together: as few as possible, and the likeliest.
    """
    n_left, n_right = match_posterior.probabilities.shape
    rows = row_of_entries(match_posterior.probabilities)
    is_present = 1.0 - match_posterior.p_unmatched
    pair_cost = _cost(match_posterior.probabilities.data * is_present[rows])
    penalty = n_left * (pair_cost.max(initial=0.0) + 1.0)
    cost = np.concatenate([pair_cost, penalty + _cost(match_posterior.p_unmatched)])
    edge_rows = np.concatenate([rows, np.arange(n_left)])
    edge_columns = np.concatenate([match_posterior.probabilities.indices, n_right + np.arange(n_left)])
    graph = sparse.csr_matrix((cost, (edge_rows, edge_columns)), shape=(n_left, n_right + n_left))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(graph)
    assigned = np.full(n_left, -1, dtype=np.intp)
    assigned[matched_rows] = np.where(matched_columns < n_right, matched_columns, -1)
    return assigned


def _cost(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 − log p: the 1 keeps costs above zero, which the solver would read as no edge, and is the same for all rows."""
    return np.asarray(1.0 - np.log(np.maximum(probability, _SMALLEST)))


def _best_in_row(graph: sparse.csr_matrix) -> NDArray[np.intp]:
    """The column of the largest value of each row; no row may be empty."""
    return np.asarray(graph.indices[largest_in_rows(graph, 1)], dtype=np.intp)


def _value_at(graph: sparse.csr_matrix, columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """The value in one column of each row, 0 where none is stored."""
    rows = row_of_entries(graph)
    is_present = graph.indices == columns[rows]
    found = np.zeros(graph.shape[0])
    found[rows[is_present]] = graph.data[is_present]
    return found


def _normalised(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """The graph with each row divided by its sum; no row may sum to zero."""
    rows = row_of_entries(graph)
    total = np.bincount(rows, weights=graph.data, minlength=graph.shape[0])
    return sparse.csr_matrix((graph.data / total[rows], graph.indices, graph.indptr), shape=graph.shape)


_MIN_MASS = 1e-6
"""Of a cell that is sure to be without a partner: its row still ranks the candidates."""


def match_cells(
    similarity: Similarity,
    *,
    rule: Rule = "soft",
    max_partners: int = MAX_PARTNERS,
    within: tuple[Labels, Labels] | None = None,
    k: int | None = None,
    prior_unmatched: float = 0.0,
) -> MatchPosterior:
    """Match left to right cells by a rule; see `match_posterior` for the other arguments.

    Args:
        rule: see `apply_rule`.
        max_partners: most entries of a row, for rule `soft`.

    Examples:
        The first left cell is the second right one, and so on:

        >>> import numpy as np, unisono as un
        >>> left, right = np.eye(3), np.eye(3)[[2, 0, 1]]
        >>> similarity = un.matching.Similarity(left, right, beta=np.log(8))
        >>> un.matching.match_cells(similarity, rule="argmax").probabilities.toarray()
        array([[0., 1., 0.],
               [0., 0., 1.],
               [1., 0., 0.]])
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
        within: group labels of left and of right cells; no cell is matched outside its group. Left cells whose group
            has no right cell, or whose label is "", get an empty row and `p_unmatched` 1.
        k: candidates from either side; min(200, n) if None.
        prior_unmatched: prior fraction of the smaller side that lacks its partner, see `unmatched_probability`. With 0
            the smaller side is matched whole, and only the surplus of the larger one is left.

    Returns:
        Rows and columns in the order of the cells. Shuffling the right cells shuffles the columns.

    Raises:
        BadInput: E057, no left cell has a right cell.
        ValueError: vectors or settings that cannot be used.

    Examples:
        A partner is 8 times as likely as either of two others:

        >>> import numpy as np, unisono as un
        >>> left, right = np.eye(3), np.eye(3)[[2, 0, 1]]
        >>> similarity = un.matching.Similarity(left, right, beta=np.log(8))
        >>> un.matching.match_posterior(similarity).probabilities.toarray().round(2)
        array([[0.1, 0.8, 0.1],
               [0.1, 0.1, 0.8],
               [0.8, 0.1, 0.1]])
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
        return posterior_among_all(similarity, MatchingProblem.one_to_one(log_ratio))
    p_left, p_right = unmatched_probability(similarity, prior_unmatched)
    masses = np.maximum(1.0 - p_left, _MIN_MASS), np.maximum(1.0 - p_right, _MIN_MASS)
    found = posterior_among_all(similarity, MatchingProblem.of_masses(log_ratio, *masses))
    return replace(found, p_unmatched=p_left)


def _assemble(parts: list[tuple[Rows, Rows, MatchPosterior]], shape: tuple[int, int]) -> MatchPosterior:
    """One posterior from those of the groups, in the order of the input."""
    none = np.empty(0, dtype=np.intp)
    entry_rows = np.concatenate([none, *(rows[row_of_entries(part.probabilities)] for rows, _, part in parts)])
    entry_columns = np.concatenate([none, *(columns[part.probabilities.indices] for _, columns, part in parts)])
    values = np.concatenate([none.astype(np.float64), *(part.probabilities.data for _, _, part in parts)])
    p_unmatched, beyond = np.ones(shape[0]), np.zeros(shape[0])
    for rows, _, part in parts:
        p_unmatched[rows] = part.p_unmatched
        beyond[rows] = 0.0 if part.beyond is None else part.beyond
    graph = sparse.csr_matrix((values, (entry_rows, entry_columns)), shape=shape)
    return MatchPosterior(graph, p_unmatched, beyond=beyond)
