"""Inverse temperature, weight of depth and weight in a blend, by the likelihood of known partners; never matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.config import MatchingConfig
from unisono.matching.candidates import Labels, Rows, Vectors, blocks, inner_products, nearest, row_of_entries
from unisono.matching.similarity import Depth, DepthTerm, depth_features, fit_depth_correlation, standardise_depth
from unisono.matching.sinkhorn import LogRatio, MatchingProblem, log_posterior, solve, with_values

_DEFAULTS = MatchingConfig()

_POINTS_PER_DECADE = 3
_LOG_PRECISION = 0.05
_FIT_STEPS = 100
"""Scaling steps of a fit: where more are needed, the likelihood hardly depends on them."""
_SMALLEST = 1e-300


def fit_beta(
    left: Vectors, right: Vectors, *, within: Labels | None = None, config: MatchingConfig = _DEFAULTS
) -> float:
    """The inverse temperature under which true partners are the most likely.

    Sinkhorn's probabilities are softer than the exact marginals of a one-to-one matching, and the fit makes up for
    it: where partners are clear it exceeds the slope of the log density ratio, by up to half on Gaussian pairs.

    Args:
        left: cell x dimension; row i of both is the same cell. They must not have trained the vectors.
        right: cell x dimension.
        within: group of each cell; pairs are matched within groups, as they will be later.
        config: the range that is searched, coarsely in logarithms and then by bounded Brent around the best, and the
            candidates from either side; the partner is always among them.

    Examples:
        It is large where partners are near each other:

        >>> import numpy as np, unisono as un
        >>> left, noise = np.random.default_rng(0).normal(size=(2, 50, 5))
        >>> un.matching.fit_beta(left, left + 0.1 * noise) > un.matching.fit_beta(left, left + noise)
        True
    """
    no_depth = np.zeros((len(left), 0), dtype=np.float32)
    groups = _likelihoods(_Pairs(left, right, no_depth, no_depth, within), 0.0, config.n_candidates)
    return _search(groups, config.beta_range)[0]


def fit_beta_and_depth_weight(
    left: Vectors,
    right: Vectors,
    log_depth_left: Depth,
    log_depth_right: Depth,
    *,
    within: Labels | None = None,
    beta: float | None = None,
    config: MatchingConfig = _DEFAULTS,
) -> DepthTerm:
    """The inverse temperature of content and the weight of depth under which true partners are the most likely.

    Args:
        left: cell x dimension; row i of both is the same cell. They must not have trained the vectors.
        right: cell x dimension.
        log_depth_left: log total counts of each cell on the left; standardised here, within groups.
        log_depth_right: log total counts of each cell on the right.
        within: group of each cell.
        beta: that of `fit_beta` on the same cells, if it is known; else it is looked for.
        config: the range of beta without depth, the factor around it with depth, the weights of depth in addition
            to 0, and the candidates from either side.

    Examples:
        Where partners have the same depth, it has weight, and the largest correlation that is allowed:

        >>> import numpy as np, unisono as un
        >>> rng = np.random.default_rng(0)
        >>> left, noise = rng.normal(size=(2, 50, 5))
        >>> log_depth = rng.normal(size=50)
        >>> term = un.matching.fit_beta_and_depth_weight(left, left + noise, log_depth, log_depth)
        >>> term.weight > 0, term.r
        (True, 0.95)
    """
    x, y = standardise_depth(log_depth_left, within), standardise_depth(log_depth_right, within)
    r, k = fit_depth_correlation(x, y, config.max_depth_correlation), config.n_candidates
    pairs = _Pairs(left, right, *depth_features(x, y, r), within)
    by_content = _likelihoods(pairs, 0.0, k)
    beta, loss = _search(by_content, config.beta_range) if beta is None else (beta, _mean_loss(by_content, beta, 0.0))
    fits = [(loss, DepthTerm(beta, 0.0, r))]
    for weight in config.depth_weights if r > 0 else ():
        near = (beta / config.depth_beta_factor, beta * config.depth_beta_factor)
        beta_with_depth, loss = _refine(_likelihoods(pairs, weight / beta, k), near, weight)
        fits.append((loss, DepthTerm(beta_with_depth, weight, r)))
    return min(fits, key=lambda fit: fit[0])[1]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Vectors and depth features of true partners: row i of all is the same cell."""

    left: Vectors
    right: Vectors
    left_depth: Vectors
    right_depth: Vectors
    within: Labels | None

    def __post_init__(self) -> None:
        lengths = [len(part) for part in (self.left, self.right, self.left_depth, self.right_depth)]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"pairs: left, right and their depths have {lengths} cells, expected the same cells in all"
            )


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """Candidates of one group of pairs: scores of content and of depth, and which are those of true partners.

    Scores are those of all pairs, left x right, where all are candidates, and else the entries of a CSR graph.
    """

    content: LogRatio
    depth: NDArray[np.float32]
    is_partner: NDArray[np.bool_]

    def log_likelihood(self, beta: float, weight: float) -> float:
        """Σ log posterior of the true partners."""
        content = self.content.data if sparse.issparse(self.content) else self.content
        values = beta * content.astype(np.float64) + weight * self.depth
        log_ratio = with_values(self.content, values) if sparse.issparse(self.content) else values
        problem = MatchingProblem.one_to_one(log_ratio)
        found, _ = log_posterior(problem, solve(problem, max_steps=_FIT_STEPS))
        of_partners = (found.data if sparse.issparse(found) else found)[self.is_partner]
        return float(np.maximum(of_partners, np.log(_SMALLEST)).sum())


def _likelihoods(pairs: _Pairs, depth_weight: float, k: int) -> list[_Likelihood]:
    """The pairs of each group; candidates are chosen by content + depth_weight * depth, as a match would."""
    n_cells = len(pairs.left)
    within = None if pairs.within is None else (pairs.within, pairs.within)
    return [_likelihood(pairs, rows, depth_weight, k) for rows, _ in blocks(n_cells, n_cells, within)]


def _likelihood(pairs: _Pairs, cells: Rows, depth_weight: float, k: int) -> _Likelihood:
    left, right = pairs.left[cells], pairs.right[cells]
    left_depth, right_depth = pairs.left_depth[cells], pairs.right_depth[cells]
    near = nearest(np.hstack([left, np.float32(depth_weight) * left_depth]), np.hstack([right, right_depth]), k)
    n_cells = len(cells)
    keys = np.union1d(row_of_entries(near) * n_cells + near.indices, np.arange(n_cells) * (n_cells + 1))
    rows, columns = np.divmod(keys, n_cells)
    content = inner_products(left, right, rows, columns)
    depth, is_partner = inner_products(left_depth, right_depth, rows, columns), rows == columns
    if len(keys) == n_cells**2:
        return _Likelihood(*(part.reshape(n_cells, n_cells) for part in (content, depth, is_partner)))
    ends = np.searchsorted(rows, np.arange(n_cells + 1))
    return _Likelihood(sparse.csr_matrix((content, columns, ends), shape=(n_cells, n_cells)), depth, is_partner)


def _mean_loss(groups: list[_Likelihood], beta: float, weight: float) -> float:
    """Negative log posterior of the partner in nats a cell; log of the group's size at chance."""
    n_cells = sum(int(problem.content.shape[0]) for problem in groups)
    return -sum(problem.log_likelihood(beta, weight) for problem in groups) / n_cells


def _search(groups: list[_Likelihood], bounds: tuple[float, float]) -> tuple[float, float]:
    """The best beta without depth and its loss: a grid in logarithms, then a search between the best's neighbours."""
    low, high = np.log10(bounds)
    grid = np.logspace(low, high, max(3, 1 + round(float(high - low) * _POINTS_PER_DECADE)))
    best = int(np.argmin([_mean_loss(groups, float(beta), 0.0) for beta in grid]))
    return _refine(groups, (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])), 0.0)


def _refine(groups: list[_Likelihood], bounds: tuple[float, float], weight: float) -> tuple[float, float]:
    """The best beta in a range where the loss has one minimum, and its loss."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_beta: _mean_loss(groups, float(np.exp(log_beta)), weight),
        bounds=tuple(np.log(bounds)),
        method="bounded",
        options={"xatol": _LOG_PRECISION},
    )
    return float(np.exp(found.x)), float(found.fun)


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

    Examples:
        The first similarity names every cell but the partner, and gets no weight; two equal ones share it:

        >>> import numpy as np, unisono as un
        >>> partner, others = np.eye(4), 1.0 - np.eye(4)
        >>> round(un.matching.fit_linear_weight([un.matching.SimilarityPair(first=others, second=partner)]), 2)
        1.0
        >>> round(un.matching.fit_linear_weight([un.matching.SimilarityPair(first=partner, second=partner)]), 2)
        0.5
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


def partner_losses(scores: Scores, within: Labels | None = None, max_beta: float = _DEFAULTS.max_linear_beta) -> Scores:
    """Cross-entropy of each cell's partner, both ways added, in nats above chance, under the best β for all scores.

    The mean is 0 or less, down to −2 log(cells of a group) where each cell names its partner.

    Args:
        scores: left x right, row i and column i are the same cell, by a similarity that these cells did not train.
        within: group of each cell; only cells of its own group compete with a partner. None for one group.
        max_beta: most that scores are multiplied by.

    Examples:
        Two cells that name their partners: −2 log 2.

        >>> import numpy as np, unisono as un
        >>> un.matching.partner_losses(np.eye(2)).round(2)
        array([-1.39, -1.39])
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    pair, zero = SimilarityPair(scores, scores, within), np.zeros(1)

    def loss(beta: Scores) -> tuple[float, Scores]:
        value, gradient = _loss_and_gradient(np.concatenate([beta, zero]), [pair])
        return value, gradient[:1]

    start = np.array([_START])
    beta = float(minimize(loss, x0=start, jac=True, method="L-BFGS-B", bounds=[(0.0, max_beta)]).x[0])
    labels = np.zeros(len(scores)) if within is None else within
    is_candidate = labels[:, None] == labels
    candidates = np.where(is_candidate, beta * scores, -np.inf)
    both = (np.diag(log_softmax(candidates, axis=axis)) for axis in (0, 1))
    return np.asarray(-sum(both) - 2.0 * np.log(is_candidate.sum(axis=1)))


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
