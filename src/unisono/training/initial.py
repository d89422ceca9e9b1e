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
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.linear_path import LinearPath, fit_linear_path
from unisono.preprocessing.projection import Counts, Projection
from unisono.preprocessing.subset import evenly_spread
from unisono.training.mini_batches import TrainingView, Views, log_size, paired_rows
from unisono.types import Modality, Pair

_MIN_FRACTION = 1e-4
"""Of cells in which a feature is seen, so that it has log odds; also of a mean value, so that it has a count."""
_MIN_COUNT = 1e-6


def linear_path(views: Views, config: FitConfig) -> LinearPath:
    """Probabilistic CCA of the training cells."""
    codes = {m: view.scatter(view.codes.x).astype(np.float64) for m, view in views.items()}
    has = {m: view.has for m, view in views.items()}
    rng = np.random.default_rng([config.seed, 23])
    return fit_linear_path(codes, has, config.architecture.content_dim, config.linear_path, rng)


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
    terms = {(a, b): _initial_terms(views, a, b, config) for a, b in product(views, views)}
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


def _initial_terms(views: Views, source: Modality, target: Modality, config: FitConfig) -> ClosedFormTerms:
    rows = paired_rows(views, source, target)
    depth, scale = None, None
    if spec_of(target).is_binary:
        relative_depth = views[target].codes.relative_depth[rows[1]]
        choice = config.kernel
        depth = fit_expected_depth(
            views[source].codes.take(rows[0]), relative_depth, choice.depth_ridge, choice.min_pairs
        )
        scale = LogOddsShrinkage(*choice.initial_shrinkage).scale(views[target].n_seen)
    kernel = _kernel(views, (source, target), rows, config)
    baseline = _baseline(views, (source, target), rows, config)
    return ClosedFormTerms(kernel, config.kernel.initial_weight if kernel else 0.0, depth, scale, baseline)


def _baseline(
    views: Views, pair: Pair, rows: tuple[NDArray[np.intp], NDArray[np.intp]], config: FitConfig
) -> LinearRidge | None:
    """A ridge to compare predictions with; None within a modality, or where too few cells are paired."""
    if pair[0] == pair[1] or len(rows[0]) < config.kernel.min_pairs:
        return None
    chosen = evenly_spread(len(rows[0]), config.kernel.max_cells)
    x, y = views[pair[0]].codes.x[rows[0][chosen]], views[pair[1]].codes.x[rows[1][chosen]]
    return LinearRidge.fit(x, y, config.kernel.baseline_penalties)


def _kernel(
    views: Views, pair: Pair, rows: tuple[NDArray[np.intp], NDArray[np.intp]], config: FitConfig
) -> KernelRidge | None:
    """None within a modality, where kernels are switched off, or where too few cells are paired."""
    if pair[0] == pair[1] or not config.architecture.kernel or len(rows[0]) < config.kernel.min_pairs:
        return None
    x, y = views[pair[0]].codes.x[rows[0]], views[pair[1]].codes.x[rows[1]]
    n_own = views[pair[1]].preprocessor.projection.n_codes
    kernel = _fitted_kernel(x, y, n_own, config)
    if views[pair[1]].counts.measured.is_complete:
        return kernel
    for _ in range(config.kernel.imputation_passes):
        kernel = _fitted_kernel(x, views[pair[1]].imputed(rows[1], kernel.predict(x)), n_own, config)
    return kernel


def _fitted_kernel(x: NDArray[np.float32], y: NDArray[np.float32], n_own: int, config: FitConfig) -> KernelRidge:
    return KernelRidge.fit(x, y, config.kernel, np.random.default_rng([config.seed, 29]), n_own)


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
