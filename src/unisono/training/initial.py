"""Where training starts: the linear path, and networks and a predictor at the closed-form solution; takes no step."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.closed_form import (
    ClosedFormTerms,
    LinearRidge,
    LogOddsShrinkage,
    fit_expected_depth,
)
from unisono.inference.predictor import Predictor, StyleBook
from unisono.modalities import spec_of
from unisono.nn import infer
from unisono.nn.model import InitialWeights, Network
from unisono.preprocessing.joint_gaussian import Incomplete, completed
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.linear_path import LinearPath, fit_linear_path
from unisono.preprocessing.projection import Counts, Projection
from unisono.preprocessing.subset import evenly_spread
from unisono.training.mini_batches import TrainingView, Views, log_size, paired_rows
from unisono.types import Modality

_MIN_FRACTION = 1e-4
"""Of cells in which a feature is seen, so that it has log odds; also of a mean value, so that it has a count."""
_MIN_COUNT = 1e-6


def linear_path(views: Views, config: FitConfig) -> LinearPath:
    """Probabilistic CCA of the training cells."""
    codes, has, incomplete = _codes(views, config)
    rng = np.random.default_rng([config.seed, 23])
    return fit_linear_path(codes, has, config.architecture.content_dim, config.linear_path, rng, incomplete)


def completed_codes(views: Views, config: FitConfig) -> dict[Modality, NDArray[np.float32]]:
    """Codes of the cells of each view, completed by the other modalities where not all was measured: see `completed`.

    These are what a closed-form prediction learns.
    """
    codes, has, incomplete = _codes(views, config)
    whole = completed(codes, has, incomplete)
    found = {m: view.codes.x for m, view in views.items()}
    for m in incomplete.parts:
        found[m] = np.empty_like(found[m])
        found[m][views[m].rows[has[m]]] = whole.codes[m][has[m]]
    return found


def _codes(
    views: Views, config: FitConfig
) -> tuple[dict[Modality, NDArray[np.float64]], dict[Modality, NDArray[np.bool_]], Incomplete]:
    """Of all training cells, by modality: codes, whether cells have it, and where not all was measured."""
    codes = {m: view.scatter(view.codes.x).astype(np.float64) for m, view in views.items()}
    parts = {m: view.part_view(config.completion.max_features) for m, view in views.items()}
    incomplete = Incomplete({m: part for m, part in parts.items() if part is not None}, config.completion)
    return codes, {m: view.has for m, view in views.items()}, incomplete


def initial_network(views: Views, path: LinearPath, config: FitConfig) -> Network:
    """The ensemble at the closed-form solution, its residual parts at zero."""
    initial_weights = {m: _initial_weights(view, path, config) for m, view in views.items()}
    generator = torch.Generator().manual_seed(config.seed)
    return Network(initial_weights, torch.as_tensor(path.correlation), config, generator)


def initial_predictor(network: Network, views: Views, config: FitConfig) -> Predictor:
    """The predictor of a network, with closed-form terms at the initial weights of the config.

    Where some modalities share too few cells for a kernel, no kernel has a weight until weights are selected: those of
    the others would hide from the validation score how much the networks still learn, which alone predict there.
    """
    preprocessors = {m: view.preprocessor for m, view in views.items()}
    learned = completed_codes(views, config)
    terms = {(a, b): _initial_terms(views, learned[b], a, b, config) for a, b in product(views, views)}
    if any(terms[pair].kernel is None for pair in permutations(views, 2)):
        terms = {pair: replace(own, kernel_weight=0.0) for pair, own in terms.items()}
    return Predictor(network, preprocessors, style_books(network, views, config), terms)


def style_books(network: Network, views: Views, config: FitConfig) -> dict[Modality, StyleBook]:
    """By modality, the mean style of the cells of each batch."""
    return {m: _style_book(network, view, config.validation.n_style_cells) for m, view in views.items()}


def _style_book(network: Network, view: TrainingView, n_style_cells: int) -> StyleBook:
    """Means over at most this many cells, spread evenly over each batch; the average weights batches by their cells."""
    modality, known = view.preprocessor.modality, view.preprocessor.standardisation
    batches, index, n_cells = np.unique(view.codes.batch, return_inverse=True, return_counts=True)
    n_chosen = np.ceil(n_style_cells * n_cells / n_cells.sum()).astype(int)
    members = [np.flatnonzero(index == b) for b in range(len(batches))]
    chosen = [rows[evenly_spread(len(rows), n)] for rows, n in zip(members, n_chosen, strict=True)]
    codes = view.codes.take(np.concatenate(chosen))
    styles = infer.styles(network, modality, codes.x, codes.depth, codes.offset)
    ends = np.cumsum([0, *(len(rows) for rows in chosen)])
    means = np.stack([styles[:, ends[b] : ends[b + 1]].mean(axis=1) for b in range(len(batches))])
    rows = [int(np.flatnonzero(known.batches == name)[0]) for name in batches]
    weights = (n_cells / n_cells.sum()).astype(np.float32)
    average, gains = np.einsum("b,bms->ms", weights, means), view.preprocessor.projection.gains_of(batches)
    return StyleBook(batches, means, known.offsets[rows], average, gains)


def _initial_terms(
    views: Views, learned: NDArray[np.float32], source: Modality, target: Modality, config: FitConfig
) -> ClosedFormTerms:
    """Terms of the prediction of the target, whose codes to be learned are given."""
    rows = paired_rows(views, source, target)
    depth, scale = None, None
    if spec_of(target).is_binary:
        relative_depth = views[target].codes.relative_depth[rows[1]]
        choice = config.kernel
        depth = fit_expected_depth(
            views[source].codes.take(rows[0]), relative_depth, choice.depth_ridge, choice.min_pairs
        )
        scale = LogOddsShrinkage(*choice.initial_shrinkage).scale(views[target].n_seen)
    x, y = views[source].codes.x[rows[0]], learned[rows[1]]
    has_terms = source != target and len(x) >= config.kernel.min_pairs
    kernel = _kernel(x, y, views[target], config) if has_terms and config.architecture.kernel else None
    baseline = _baseline(x, y, config) if has_terms else None
    return ClosedFormTerms(kernel, config.kernel.initial_weight if kernel else 0.0, depth, scale, baseline)


def _baseline(x: NDArray[np.float32], y: NDArray[np.float32], config: FitConfig) -> LinearRidge:
    """A ridge to compare predictions with."""
    chosen = evenly_spread(len(x), config.kernel.max_cells)
    return LinearRidge.fit(x[chosen], y[chosen], config.kernel.baseline_penalties)


def _kernel(x: NDArray[np.float32], y: NDArray[np.float32], target: TrainingView, config: FitConfig) -> KernelRidge:
    """Selected by the codes of the target's own projection, without those of a guide."""
    rng = np.random.default_rng([config.seed, 29])
    return KernelRidge.fit(x, y, config.kernel, rng, target.preprocessor.projection.n_codes)


def _initial_weights(view: TrainingView, path: LinearPath, config: FitConfig) -> InitialWeights:
    preprocessor = view.preprocessor
    modality, projection, statistics = preprocessor.modality, preprocessor.projection, preprocessor.standardisation
    own, n_guided = slice(0, projection.n_codes), len(statistics.scale) - projection.n_codes
    loadings = np.pad(projection.loadings * statistics.scale[own], ((0, 0), (0, n_guided)))  # of guided codes 0
    intercept = projection.intercept + projection.loadings @ statistics.mean[own]
    if spec_of(modality).is_binary:
        fraction = np.clip(intercept, _MIN_FRACTION, 1 - _MIN_FRACTION)
        slope = fraction * (1 - fraction)
        loadings, intercept = loadings / slope[:, None], np.log(fraction / (1 - fraction))
        log_bias = np.zeros_like(intercept)
    else:
        size = float(np.exp(log_size(preprocessor, view.counts)).mean())
        bound = config.architecture.max_log_bias
        log_bias = np.clip(_log_bias(view.counts, projection, intercept, size), -bound, bound)
    return InitialWeights(
        encoder=_tensor(path.encoders[modality]),
        decoder=_tensor(path.decoders[modality]),
        loadings=_tensor(loadings),
        intercept=_tensor(intercept),
        log_bias=_tensor(log_bias),
        likelihood=spec_of(modality).likelihood(config),
    )


def _tensor(matrix: NDArray[np.floating]) -> torch.Tensor:
    return torch.as_tensor(np.asarray(matrix, dtype=np.float32))


def _log_bias(
    counts: Counts, projection: Projection, intercept: NDArray[np.float64], mean_size: float
) -> NDArray[np.float64]:
    """Log of mean count over the count that the mean value stands for; 0 for unselected features."""
    mean_count = np.asarray(counts.selected.mean(axis=0), dtype=np.float64).ravel()
    n_measured = counts.measured.n_cells[projection.selected]
    mean_count = mean_count * (counts.n_cells / np.maximum(n_measured, 1.0))
    implied = np.expm1(np.maximum(intercept[projection.selected], _MIN_FRACTION)) * mean_size
    log_bias = np.zeros(len(intercept))
    log_bias[projection.selected] = np.log(np.maximum(mean_count, _MIN_COUNT) / implied)
    return log_bias
