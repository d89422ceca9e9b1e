"""From vectors of two sides to match probabilities, the same for every method; all calls of `un.matching` are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import unisono as un

Vectors = NDArray[np.float32]
LogDepth = NDArray[np.float64]
Groups = tuple[NDArray[np.str_], NDArray[np.str_]]
"""The group of each left and of each right cell; no cell is matched out of its group."""

Rule = Literal["soft", "argmax", "one-to-one"]

MAX_PARTNERS = 1000
"""Entries per row of a match: what a matching file may hold."""

_MAX_PAIRS = 1500
"""Held-out pairs that a density ratio is fitted on, as for Unisono."""


def matched(similarity: un.matching.Similarity, rule: Rule, groups: Groups | None = None) -> un.matching.MatchPosterior:
    """Nearest candidates, Sinkhorn scaling and a rule, as `unisono match` does."""
    return un.matching.match_cells(similarity, rule=rule, max_partners=MAX_PARTNERS, within=groups)


def all_log_probabilities(similarity: un.matching.Similarity, groups: Groups | None = None) -> NDArray[np.float64]:
    """Logs of the probabilities of every pair, left x right, without a rule: each pair has its place in the ranking.

    Args:
        similarity: as many left as right cells.
        groups: cells are scaled within groups, each with as many left as right cells; −inf between groups.

    Raises:
        ValueError: sides differ in size, in all or in a group.
    """
    shape = len(similarity.left), len(similarity.right)
    left, right = groups or (np.zeros(shape[0], dtype=int), np.zeros(shape[1], dtype=int))
    found = np.full(shape, -np.inf)
    for group in np.union1d(left, right):
        rows, columns = np.flatnonzero(left == group), np.flatnonzero(right == group)
        if len(rows) != len(columns):
            raise ValueError(f"{len(rows)} left and {len(columns)} right cells, expected as many on both sides")
        log_ratio = similarity.take(rows, columns).log_ratio()
        potentials = un.matching.solve(un.matching.MatchingProblem.one_to_one(log_ratio))
        found[np.ix_(rows, columns)] = log_ratio + potentials.left[:, None] + potentials.right
    return found


@dataclass(frozen=True)
class DensityRatio:
    """What turns inner products of vectors into log density ratios, learned from the partners of held-out cells.

    Attributes:
        beta: inverse temperature without depth.
        with_depth: inverse temperature and weight of depth where depth counts.
    """

    beta: float
    with_depth: un.matching.DepthTerm

    @classmethod
    def fit(
        cls, left: Vectors, right: Vectors, left_depth: LogDepth, right_depth: LogDepth, batch: NDArray[np.str_]
    ) -> DensityRatio:
        """By the likelihood of partners within batches, of 1,500 pairs at most.

        Args:
            left: held-out cell x dimension; row i of both sides is the same cell.
            right: held-out cell x dimension.
            left_depth: log total counts of the left cells.
            right_depth: log total counts of the right cells.
            batch: of each cell.
        """
        first = slice(0, _MAX_PAIRS)
        sides, depths, within = (left[first], right[first]), (left_depth[first], right_depth[first]), batch[first]
        beta = un.matching.fit_beta(*sides, within=within)
        return cls(beta, un.matching.fit_beta_and_depth_weight(*sides, *depths, within=within, beta=beta))

    def similarity(
        self,
        sides: tuple[Vectors, Vectors],
        log_depths: tuple[LogDepth, LogDepth],
        *,
        depth: bool,
        groups: Groups | None,
    ) -> un.matching.Similarity:
        """The similarity of other cells, with the agreement of their depths, standardised within groups, if asked."""
        similarity = un.matching.Similarity(*sides, self.beta)
        return similarity.with_depth(self.with_depth, log_depths, groups) if depth else similarity
