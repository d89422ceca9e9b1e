"""What validation cells select after training: weights, shrinkage, temperatures and widths of intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.closed_form import ClosedFormTerms, LogOddsShrinkage
from unisono.inference.predictor import Predictor
from unisono.matching import DepthTerm, SimilarityPair, fit_beta, fit_beta_and_depth_weight, fit_linear_weight
from unisono.modalities import spec_of
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.preprocessing.align import aligned_measured
from unisono.preprocessing.subset import evenly_spread
from unisono.training.mini_batches import Views
from unisono.training.validation import Validation
from unisono.types import Cells, Modality, Pair, Prediction, View
from unisono.uncertainty.conformal import Conformal

_ENTRIES_AT_A_TIME = 2**22
"""Errors of cells and features that are looked at together; the result is the same."""


@dataclass(frozen=True)
class Selection:
    """What the validation cells selected; it is kept for the networks of a refit on all cells.

    Attributes:
        linear_weight: of the linear path in similarities.
        kernel_weights: of the kernel ridge in the prediction of each (source, target).
        shrinkages: of predicted log odds, for each (source, target) that has them.
        betas: inverse temperature of each pair of modalities, matched by content.
        depth_terms: the same when depth is added.
    """

    linear_weight: float
    kernel_weights: Mapping[Pair, float]
    shrinkages: Mapping[Pair, LogOddsShrinkage]
    betas: Mapping[Pair, float]
    depth_terms: Mapping[Pair, DepthTerm]


def initial_selection(predictor: Predictor, config: FitConfig) -> Selection:
    """The selection without validation cells: match probabilities are then scores, not calibrated."""
    pairs = list(combinations(predictor.preprocessors, 2))
    shrinkage = LogOddsShrinkage(*config.kernel.initial_shrinkage)
    start = DepthTerm(beta=config.matching.initial_beta, weight=0.0, r=0.0)
    return Selection(
        linear_weight=float(predictor.network.linear_weight),
        kernel_weights={p: config.kernel.initial_weight if t.kernel else 0.0 for p, t in predictor.terms.items()},
        shrinkages={p: shrinkage for p, terms in predictor.terms.items() if terms.log_odds_scale is not None},
        betas=dict.fromkeys(pairs, start.beta),
        depth_terms=dict.fromkeys(pairs, start),
    )


def select(predictor: Predictor, views: Views, validation: Validation, config: FitConfig) -> Selection:
    """Let the validation cells select, one choice after the other; the network's linear weight is set on the way."""
    start = initial_selection(predictor, config)
    if config.architecture.selects_linear_weight:
        set_linear_weight(predictor.network, _best_linear_weight(predictor.network, validation, config))
    kernel_weights = {
        pair: _best_kernel_weight(predictor, validation, pair, config)
        for pair in permutations(views, 2)
        if predictor.terms[pair].kernel is not None
    }
    start = replace(start, kernel_weights={**start.kernel_weights, **kernel_weights})
    weighted = selected(predictor, views, start)
    shrinkages = {pair: _best_shrinkage(weighted, views, validation, pair, config) for pair in start.shrinkages}
    matching = {(a, b): _temperatures(predictor.network, validation, a, b, config) for a, b in start.betas}
    return replace(
        start,
        linear_weight=float(predictor.network.linear_weight),
        shrinkages={pair: shrinkage or start.shrinkages[pair] for pair, shrinkage in shrinkages.items()},
        betas={pair: beta for pair, (beta, _) in matching.items()},
        depth_terms={pair: term for pair, (_, term) in matching.items()},
    )


def selected(predictor: Predictor, views: Views, selection: Selection) -> Predictor:
    """The predictor with the terms of a selection; a kernel without weight is dropped."""
    terms = {}
    for pair, own in predictor.terms.items():
        weight = selection.kernel_weights[pair] if own.kernel is not None else 0.0
        kernel = own.kernel if weight > 0 else None
        scale = selection.shrinkages[pair].scale(views[pair[1]].n_seen) if pair in selection.shrinkages else None
        terms[pair] = replace(own, kernel=kernel, kernel_weight=weight, log_odds_scale=scale)
    return replace(predictor, terms=terms)


def set_linear_weight(network: Network, weight: float) -> None:
    """Give the linear path this weight in the similarity of two cells; changes the network."""
    network.linear_weight.fill_(weight)


def _best_linear_weight(network: Network, validation: Validation, config: FitConfig) -> float:
    pairs = [_similarity_pair(network, validation, a, b, config) for a, b in combinations(validation.codes, 2)]
    known = [pair for pair in pairs if pair is not None]
    found = fit_linear_weight(known, config.matching.max_linear_beta) if known else float(network.linear_weight)
    return max(found, config.matching.min_linear_weight)


def _similarity_pair(
    network: Network, validation: Validation, a: Modality, b: Modality, config: FitConfig
) -> SimilarityPair | None:
    """Similarities of validation cells by the networks and by the linear path; None where there are too few."""
    rows_a, rows_b = _some_pairs(validation, (a, b), config.validation.n_pairs_of_linear_weight)
    if len(rows_a) < config.kernel.min_pairs:
        return None
    x_a, x_b = validation.codes[a].x[rows_a], validation.codes[b].x[rows_b]
    by_networks, by_linear_path = (
        infer.vectors(network, a, x_a, weight).astype(np.float64) @ infer.vectors(network, b, x_b, weight).T
        for weight in (0.0, 1.0)
    )
    return SimilarityPair(by_networks, by_linear_path, validation.codes[a].batch[rows_a])


def _some_pairs(validation: Validation, pair: Pair, at_most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of evenly spread pairs of validation cells, whose file may be sorted by batch."""
    rows_a, rows_b = validation.cells.paired(*pair)
    chosen = evenly_spread(len(rows_a), at_most)
    return rows_a[chosen], rows_b[chosen]


def _best_kernel_weight(predictor: Predictor, validation: Validation, pair: Pair, config: FitConfig) -> float:
    """The weight under which the validation cells are predicted best."""
    own = predictor.terms[pair]
    if len(validation.cells.paired(*pair)[0]) < config.kernel.min_pairs:
        return config.kernel.initial_weight

    def correlation(weight: float) -> float:
        return validation.correlation(_with_terms(predictor, pair, replace(own, kernel_weight=weight)), *pair)

    return max(config.kernel.weights, key=correlation)


def _best_shrinkage(
    predictor: Predictor, views: Views, validation: Validation, pair: Pair, config: FitConfig
) -> LogOddsShrinkage | None:
    """The shrinkage under which validation cells are the most likely, over some cells and some features."""
    (source, target), choice = pair, config.validation
    rows, rows_target = _some_pairs(validation, pair, choice.n_shrinkage_cells)
    if len(rows) < config.kernel.min_pairs:
        return None
    n_features = len(predictor.preprocessors[target].projection.features)
    features = evenly_spread(n_features, choice.n_shrinkage_features)
    codes = validation.codes[source].take(rows)
    view = validation.cells.views[target].take(rows_target)
    is_seen = (view.counts[:, features] > 0).toarray()
    measured = view.measured.take_features(features)
    is_measured = None if measured.is_complete else measured.rows[measured.row_of]

    def loss(shrinkage: LogOddsShrinkage) -> float:
        scale = shrinkage.scale(views[target].n_seen)
        candidate = _with_terms(predictor, pair, replace(predictor.terms[pair], log_odds_scale=scale))
        return bernoulli_loss(is_seen, candidate.predict(codes, target).take_features(features).dense(), is_measured)

    grid = product(config.kernel.shrinkage_strengths, config.kernel.shrinkage_priors)
    return min((LogOddsShrinkage(*candidate) for candidate in grid), key=loss)


def bernoulli_loss(
    is_seen: NDArray[np.bool_], probability: NDArray[np.float32], is_measured: NDArray[np.bool_] | None = None
) -> float:
    """Mean negative log likelihood, in nats per value, of all values or of those that were measured."""
    likelihood = np.where(is_seen, probability, 1.0 - probability).astype(np.float64)
    losses = -np.log(np.maximum(likelihood, 1e-12))
    return float(losses.mean() if is_measured is None else losses[is_measured].mean())


def _with_terms(predictor: Predictor, pair: Pair, terms: ClosedFormTerms) -> Predictor:
    """The predictor with other terms from a source to a target."""
    return replace(predictor, terms={**predictor.terms, pair: terms})


def _temperatures(
    network: Network, validation: Validation, a: Modality, b: Modality, config: FitConfig
) -> tuple[float, DepthTerm]:
    rows_a, rows_b = _some_pairs(validation, (a, b), config.validation.n_pairs)
    if len(rows_a) < config.kernel.min_pairs:
        beta = config.matching.initial_beta
        return beta, DepthTerm(beta=beta, weight=0.0, r=0.0)
    codes_a, codes_b = validation.codes[a].take(rows_a), validation.codes[b].take(rows_b)
    left, right = infer.vectors(network, a, codes_a.x), infer.vectors(network, b, codes_b.x)
    within = codes_a.batch
    beta = fit_beta(left, right, within=within, config=config.matching)
    depths = codes_a.log_depth, codes_b.log_depth
    return beta, fit_beta_and_depth_weight(left, right, *depths, within=within, beta=beta, config=config.matching)


def fit_intervals(
    predictor: Predictor,
    cells: Cells,
    config: FitConfig,
    *,
    groups: Mapping[Modality, NDArray[np.str_]] | None = None,
    by: str | None = None,
) -> dict[Pair, Conformal]:
    """Widths for every direction in which enough of the cells are paired.

    A binary target has none: what is measured is 0 or 1, which no interval about a probability would hold.

    Args:
        predictor: not trained on the cells.
        cells: to learn from.
        config: of the fit.
        groups: by modality, of each cell of its view; those with enough cells have widths of their own. The batches by
            default.
        by: the obs column that named the groups; None for that of the batch.
    """
    choice = config.uncertainty
    min_cells = choice.min_batch_cells if groups is None else choice.min_group_cells
    groups = groups if groups is not None else {m: view.batch for m, view in cells.views.items()}
    intervals: dict[Pair, Conformal] = {}
    for source, target in permutations(cells.modalities, 2):
        rows, rows_target = cells.paired(source, target)
        if spec_of(target).is_binary or len(rows) < choice.min_interval_cells:
            continue
        codes = predictor.transform(cells.views[source].take(rows))
        prediction = predictor.predict(codes, target, n_draws=choice.n_draws)
        widths = _widths(predictor, prediction, cells.views[target].take(rows_target), groups[source][rows], min_cells)
        intervals[source, target] = replace(widths, by=by)
    return intervals


def _widths(
    predictor: Predictor, prediction: Prediction, measured: View, groups: NDArray[np.str_], min_cells: int
) -> Conformal:
    """Widths of one direction; features that were not measured have infinite ones."""
    projection = predictor.preprocessors[measured.modality].projection
    alignment = projection.align(measured)
    truth, known = projection.on_scale(measured).tocsc(), aligned_measured(measured.measured, alignment)
    size = max(1, _ENTRIES_AT_A_TIME // max(1, measured.n_cells))
    parts = []
    for start in range(0, len(alignment.columns), size):
        features = np.arange(start, min(start + size, len(alignment.columns)))
        columns, own = alignment.columns[features], prediction.take_features(features)
        is_there = columns >= 0
        error = np.full(own.shape, np.nan, dtype=np.float32)
        error[:, is_there] = truth[:, columns[is_there]].toarray() - own.dense()[:, is_there]
        for is_measured, cells in known.take_features(features).groups():
            error[np.ix_(cells, is_there & ~is_measured)] = np.nan
        parts.append(Conformal.fit(error, own.spread(), groups, min_cells))
    return Conformal.joined(parts)
