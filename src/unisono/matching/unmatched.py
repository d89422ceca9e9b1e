"""Whether a cell's partner is there at all: a matching problem with reservoirs as slack; never says which it is."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from unisono.matching.log_sum import log_sum_of_similar
from unisono.matching.sample import sample
from unisono.matching.similarity import Similarity
from unisono.matching.sinkhorn import MatchingProblem, solve

MAX_CELLS = 2000
"""Cells of a side that are scaled against each other; of more, a sample of this size."""

_SEED = 31


def unmatched_probability(
    similarity: Similarity, prior_unmatched: float
) -> tuple[Float[np.ndarray, " left"], Float[np.ndarray, " right"]]:
    """The probability that a cell's partner is not on the other side, for left and for right cells.

    The model: pairs drawn without regard to content, of M = (1 − prior) · min(n_left, n_right) partners.
    A matching then has probability proportional to the product over its pairs of κ r, with r the density ratio and
    κ = M / ((n_left − M) (n_right − M)), the odds that two cells drawn at random are partners. In the approximation of
    Sinkhorn with a reservoir as slack on either side, the probabilities u of left and v of right cells to be without a
    partner solve

        u_i (1 + κ Σ_j r_ij v_j) = 1,   v_j (1 + κ Σ_i r_ij u_i) = 1.

    Cells whose kind is as frequent on both sides get about u = 1 − M / n_left. Cells of a kind that the other side
    lacks find r small everywhere and u goes to 1, whatever `prior_unmatched`; those of a kind that is rarer there
    get what is left over.

    Args:
        similarity: its log ratios are taken as they are.
        prior_unmatched: prior fraction of the smaller side that lacks its partner; above 0 and below 1.

    References:
        Sarlin et al., "SuperGlue: learning feature matching with graph neural networks", CVPR 2020 (slack).
        Chapel et al., "Partial optimal transport with applications on positive-unlabeled learning", 2020.

    Examples:
        The right side lacks the kind of the last two left cells:

        >>> import numpy as np, unisono as un
        >>> left, right = np.repeat(np.eye(2), [4, 2], axis=0), np.repeat(np.eye(2), [4, 0], axis=0)
        >>> of_left, of_right = un.matching.unmatched_probability(un.matching.Similarity(left, right, beta=5.0), 0.02)
        >>> of_left.round(2)
        array([0.05, 0.05, 0.05, 0.05, 0.89, 0.89])
    """
    if not 0 < prior_unmatched < 1:
        raise ValueError(f"prior_unmatched={prior_unmatched}: expected a fraction above 0 and below 1")
    n_left, n_right = len(similarity.left), len(similarity.right)
    n_pairs = (1.0 - prior_unmatched) * min(n_left, n_right)
    log_odds = np.log(n_pairs) - np.log(n_left - n_pairs) - np.log(n_right - n_pairs)
    left, right = similarity.vectors
    rows, columns = sample(left, MAX_CELLS, _SEED), sample(right, MAX_CELLS, _SEED)
    masses = np.full(len(rows), n_left / len(rows)), np.full(len(columns), n_right / len(columns))
    log_ratio = log_odds + similarity.take(rows, columns).log_ratio()
    found = solve(MatchingProblem(log_ratio, *masses, left_slack=np.inf, right_slack=np.inf))
    return (
        expit(-log_sum_of_similar(left, right[columns], similarity.beta, log_odds + found.right)),
        expit(-log_sum_of_similar(right, left[rows], similarity.beta, log_odds + found.left)),
    )
