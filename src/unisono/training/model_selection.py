"""What is settled once the networks are trained: mean styles, shares, and the temperatures of matching."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.matching import (
    N_ANCHORS,
    Anchors,
    DepthTerm,
    SimilarityPair,
    fit_beta,
    fit_beta_and_depth_weight,
    fit_linear_weight,
)
from unisono.modalities import spec_of
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.nn.styles import StyleBook
from unisono.preprocessing.closed_form import ClosedFormTerms, fit_depth
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.log_odds import LogOddsShrinkage, fit_log_odds_shrinkage
from unisono.training.mini_batches import TrainingView
from unisono.training.validation import Validation
from unisono.types import Modality, Pair

Views = Mapping[Modality, TrainingView]

_MAX_PAIRS = 1500
_PAIRS_FOR_VOTE = 1000
_CELLS_FOR_TEMPER, _PEAKS_FOR_TEMPER = 250, 3000
_MIN_PAIRED_ANCHORS = 50
_SHARES = (0.0, 0.25, 0.5)
_SHARE_WITHOUT_HELD_OUT = 0.25
_WITHOUT_HELD_OUT = DepthTerm(beta=10.0, weight=0.0, r=0.0)


@dataclass(frozen=True)
class Selection:
    """What the held-out cells decided; it also holds for networks that were then fitted on them too.

    Attributes:
        linear_vote: share of the linear path in similarities.
        kernel_shares: share of the kernel ridge in the prediction of each (source, target).
        betas: inverse temperature of each pair of modalities, matched by content.
        depth_terms: the same when depth is added.
        tempers: how far predicted log odds stray from their mean, for each (source, target) of a
            binary target.
        kernels: those that the shares were chosen with, fitted on the training cells without the held-out ones.
    """

    linear_weight: float
    kernel_shares: Mapping[Pair, float]
    betas: Mapping[Pair, float]
    depth_terms: Mapping[Pair, DepthTerm]
    log_odds_shrinkages: Mapping[Pair, LogOddsShrinkage]
    kernels: Mapping[Pair, KernelRidge]


def select(network: Network, views: Views, held_out: Validation | None, config: FitConfig) -> Selection:
    """Let the held-out cells decide; the network's linear weight is set on the way.

    Without held-out cells the choices are guesses, and the numbers of matching a score rather than a probability.
    """
    pairs = list(combinations(views, 2))
    directions = list(permutations(views, 2)) if config.architecture.kernel_member else []
    if held_out is None:
        shares = dict.fromkeys(directions, _SHARE_WITHOUT_HELD_OUT)
        betas = dict.fromkeys(pairs, _WITHOUT_HELD_OUT.beta)
        return Selection(float(network.linear_weight), shares, betas, dict.fromkeys(pairs, _WITHOUT_HELD_OUT), {}, {})
    if config.architecture.chooses_linear_weight:
        similarity_pairs = [each for each in (_rivals(network, held_out, a, b) for a, b in pairs) if each is not None]
        if similarity_pairs:
            set_linear_weight(network, fit_linear_weight(similarity_pairs))
    found = {(a, b): _kernel_of(views, a, b, config) for a, b in directions if _has_pairs(held_out, a, b)}
    kernels = {pair: kernel for pair, kernel in found.items() if kernel is not None}
    shares = {pair: _best_share(network, kernels.get(pair), held_out, *pair) for pair in directions}
    log_odds_shrinkages: dict[Pair, LogOddsShrinkage] = {
        (source, target): _temper_of(network, views, (source, target), kernels, shares, held_out)
        for source, target in product(views, views)
        if spec_of(target).is_binary and _has_pairs(held_out, source, target)
    }
    terms = {(a, b): _terms_of(network, held_out, a, b) for a, b in pairs}
    return Selection(
        linear_weight=float(network.linear_weight),
        kernel_shares=shares,
        betas={pair: beta for pair, (beta, _) in terms.items()},
        depth_terms={pair: term for pair, (_, term) in terms.items()},
        log_odds_shrinkages=log_odds_shrinkages,
        kernels=kernels,
    )


def set_linear_weight(network: Network, weight: float) -> None:
    """Give the linear path this share in the similarity of two cells."""
    network.linear_weight.fill_(weight)


def closed_form(
    views: Views, selection: Selection, config: FitConfig, kernels: Mapping[Pair, KernelRidge]
) -> dict[Pair, ClosedFormTerms]:
    """The closed-form company of the networks for every source and target; `kernels` are taken as they are if there."""
    found: dict[Pair, ClosedFormTerms] = {}
    for source, target in product(views, views):
        share = selection.kernel_shares.get((source, target), 0.0)
        kernel = kernels.get((source, target)) if share > 0 else None
        if share > 0 and kernel is None:
            kernel = _kernel_of(views, source, target, config)
        rows = _paired_rows(views, source, target)
        depth, log_odds_shrinkage = None, None
        if spec_of(target).is_binary:
            depth = fit_depth(
                views[source].standardised.take(rows[0]), views[target].standardised.relative_depth[rows[1]]
            )
            log_odds_shrinkage = selection.log_odds_shrinkages.get((source, target), LogOddsShrinkage()).of(
                _n_open(views[target])
            )
        found[source, target] = ClosedFormTerms(kernel, share if kernel else 0.0, depth, log_odds_shrinkage)
    return found


def anchors(network: Network, views: Views, betas: Mapping[Pair, float]) -> dict[Pair, Anchors]:
    """Training cells that the similarities of each pair of modalities are normalised by.

    Those measured in both, so that both sides are one population; where they are too few, all cells of either. They
    are read as if the transforms had not seen them, as the cells are that they will stand beside.
    """
    found = {}
    for (a, b), beta in betas.items():
        names_a, names_b = (np.flatnonzero(views[m].has) for m in (a, b))
        both = np.intersect1d(names_a, names_b)
        if len(both) >= _MIN_PAIRED_ANCHORS:
            names_a = names_b = both
        names_a, names_b = (names[_spread(len(names), N_ANCHORS)] for names in (names_a, names_b))
        left, right = (
            infer.vectors(network, m, views[m].leave_one_out_codes[views[m].rows[names]])
            for m, names in ((a, names_a), (b, names_b))
        )
        found[a, b] = Anchors.fit(left, right, beta)
    return found


def complete_codes(views: Views, held_out: Validation | None) -> dict[Modality, NDArray[np.float32]]:
    """Codes of the cells with every modality: of the held-out ones, else of the training cells as if unseen."""
    if held_out is not None and set(held_out.standardised) == set(views):
        rows: Mapping[Modality, NDArray[np.intp]] = held_out.cells.rows
        codes = {m: standardised.x for m, standardised in held_out.standardised.items()}
    else:
        rows, codes = (
            {m: view.rows for m, view in views.items()},
            {m: view.leave_one_out_codes for m, view in views.items()},
        )
    complete = np.all([rows[m] >= 0 for m in views], axis=0)
    return {m: codes[m][rows[m][complete]] for m in views}


def _spread(n_cells: int, most: int) -> NDArray[np.intp]:
    """So many places among the cells, evenly spread."""
    return np.unique(np.linspace(0, n_cells - 1, most).astype(np.intp))


def style_book(network: Network, view: TrainingView) -> StyleBook:
    """Mean style of the cells of each batch, which the voice has to know."""
    modality, standardised, known = view.preprocessor.modality, view.standardised, view.preprocessor.standardisation
    styles = infer.styles(network, modality, standardised.x, standardised.depth, standardised.offset)
    batches, index = np.unique(standardised.batch, return_inverse=True)
    means = np.stack([styles[:, index == b].mean(axis=1) for b in range(len(batches))])
    place = [int(np.flatnonzero(known.batches == name)[0]) for name in batches]
    return StyleBook(batches, means, known.offsets[place], styles.mean(axis=1))


def _rivals(network: Network, held_out: Validation, a: Modality, b: Modality) -> SimilarityPair | None:
    """Similarities of held-out cells by the networks and by the linear path; None where there are too few."""
    rows_a, rows_b = (rows[:_PAIRS_FOR_VOTE] for rows in held_out.paired_rows(a, b))
    if len(rows_a) < 5:
        return None
    x_a, x_b = held_out.standardised[a].x[rows_a], held_out.standardised[b].x[rows_b]
    by_networks, by_linear_path = (
        infer.vectors(network, a, x_a, weight).astype(np.float64) @ infer.vectors(network, b, x_b, weight).T
        for weight in (0.0, 1.0)
    )
    return SimilarityPair(by_networks, by_linear_path, held_out.standardised[a].batch[rows_a])


def _has_pairs(held_out: Validation, source: Modality, target: Modality) -> bool:
    return len(held_out.paired_rows(source, target)[0]) >= 5


def _best_share(
    network: Network, kernel: KernelRidge | None, held_out: Validation, source: Modality, target: Modality
) -> float:
    if not _has_pairs(held_out, source, target):
        return _SHARE_WITHOUT_HELD_OUT
    if kernel is None:
        return 0.0
    rows, _ = held_out.paired_rows(source, target)
    of_kernel = kernel.predict(held_out.standardised[source].x[rows])
    of_network = held_out.predicted_codes(network, held_out.contents(network), source, target)

    def correlation(share: float) -> float:
        blend = (1.0 - np.float32(share)) * of_network + np.float32(share) * of_kernel
        return held_out.correlation_of_codes(blend, network, source, target)

    return max(_SHARES, key=correlation)


def _temper_of(
    network: Network,
    views: Views,
    pair: Pair,
    kernels: Mapping[Pair, KernelRidge],
    shares: Mapping[Pair, float],
    held_out: Validation,
) -> LogOddsShrinkage:
    """The temper of probabilities of a target predicted from a source, by some held-out cells and some features."""
    source, target = pair
    rows, rows_target = (rows[:_CELLS_FOR_TEMPER] for rows in held_out.paired_rows(source, target))
    standardised = held_out.standardised[source].take(rows)
    codes = held_out.predicted_codes(network, held_out.contents(network), source, target)[: len(rows)]
    share = np.float32(shares.get(pair, 0.0))
    if share > 0 and pair in kernels:
        codes += share * (kernels[pair].predict(standardised.x) - codes)
    paired = _paired_rows(views, source, target)
    weights = fit_depth(
        views[source].standardised.take(paired[0]), views[target].standardised.relative_depth[paired[1]]
    )
    depth = ClosedFormTerms(None, 0.0, weights).expected_depth(standardised)
    loadings, intercept = infer.readout(network, target)
    peaks = _spread(len(intercept), _PEAKS_FOR_TEMPER)
    is_open = (held_out.cells.views[target].counts[rows_target][:, peaks] > 0).toarray()
    base = intercept[peaks] + (0.0 if depth is None else depth[:, None])
    return fit_log_odds_shrinkage(is_open, codes @ loadings[peaks].T, base, _n_open(views[target])[peaks])


def _n_open(view: TrainingView) -> NDArray[np.float32]:
    """Training cells in which each peak was open, as its mean says."""
    mean = (
        view.preprocessor.projection.intercept
        + view.preprocessor.projection.loadings @ view.preprocessor.standardisation.mean
    )
    return np.asarray(len(view.standardised.x) * np.clip(mean, 1e-4, 1.0), dtype=np.float32)


def _kernel_of(views: Views, source: Modality, target: Modality, config: FitConfig) -> KernelRidge | None:
    rows = _paired_rows(views, source, target)
    if len(rows[0]) < 5:
        return None
    rng = np.random.default_rng([config.seed, 29])
    return KernelRidge.fit(views[source].standardised.x[rows[0]], views[target].standardised.x[rows[1]], rng)


def _paired_rows(views: Views, source: Modality, target: Modality) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    both = views[source].has & views[target].has
    return views[source].rows[both], views[target].rows[both]


def _terms_of(network: Network, held_out: Validation, a: Modality, b: Modality) -> tuple[float, DepthTerm]:
    rows_a, rows_b = (rows[:_MAX_PAIRS] for rows in held_out.paired_rows(a, b))
    if len(rows_a) < 5:
        return _WITHOUT_HELD_OUT.beta, _WITHOUT_HELD_OUT
    left = infer.vectors(network, a, held_out.standardised[a].x[rows_a])
    right = infer.vectors(network, b, held_out.standardised[b].x[rows_b])
    within = held_out.standardised[a].batch[rows_a]
    depths = held_out.standardised[a].log_depth[rows_a], held_out.standardised[b].log_depth[rows_b]
    beta = fit_beta(left, right, within=within)
    return beta, fit_beta_and_depth_weight(left, right, *depths, within=within, beta=beta)
