"""From training cells to networks that have not learnt yet: split, transforms, linear path, blueprints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.modalities import check_config, in_order, spec_of
from unisono.nn.model import InitialWeights, Network
from unisono.preprocessing.linear_path import LinearPath, fit_linear_path
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import Counts, Projection
from unisono.preprocessing.standardisation import Standardisation
from unisono.training.mini_batches import TrainingView, log_size
from unisono.types import Cells, Modality, View

_MIN_HELD_OUT = 60
_MAX_HELD_OUT = 0.2
_MAX_LOG_BIAS = 5.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything that is fixed before the first step.

    Attributes:
        views: training cells by modality.
        technical: index of the technical batch of each training cell.
        held_out: cells that no transform and no network has seen; None where there are too few cells to spare any.
        network: at the closed-form solution, its residual parts at zero.
    """

    views: Mapping[Modality, TrainingView]
    technical: NDArray[np.intp]
    held_out: Cells | None
    network: Network


def prepare(cells: Cells, config: FitConfig, device: torch.device) -> Prepared:
    """Fit everything closed-form on the training cells but those held out.

    Raises:
        ValueError: a modality has too few cells or features to make a code.
        BadInput: E053, the config says of a modality what it cannot have.
    """
    check_config(config)
    training, held_out = _split(cells, config)
    views = {m: _training_view(training, m, config) for m in in_order(training.modalities)}
    path = _linear_path(views, config)
    if len(cells.names) < config.linear_decoder_from:
        path = path.without_decoders()
    initial_weights = {m: _blueprint(view, path, config) for m, view in views.items()}
    generator = torch.Generator().manual_seed(config.seed)
    network = Network(initial_weights, torch.as_tensor(path.correlation), config, generator)
    technical = np.unique(training.batch, return_inverse=True)[1]
    return Prepared(views, technical, held_out, network.to(device))


def _split(cells: Cells, config: FitConfig) -> tuple[Cells, Cells | None]:
    """Training and held-out cells: the latter drawn at random from those with two modalities or more."""
    order = np.random.default_rng([config.seed, 17]).permutation(len(cells.names))
    n_views = np.sum([cells.rows[m] >= 0 for m in cells.modalities], axis=0)
    paired = order[n_views[order] > 1]
    n_held_out = int(min(max(config.held_out * len(paired), _MIN_HELD_OUT), _MAX_HELD_OUT * len(paired)))
    if config.held_out == 0 or n_held_out < 5:
        return cells, None
    chosen = np.sort(paired[:n_held_out])
    return cells.take(np.setdiff1d(np.arange(len(order)), chosen)), cells.take(chosen)


def _training_view(cells: Cells, modality: Modality, config: FitConfig) -> TrainingView:
    view: View = cells.views[modality]
    projection = Projection.fit(view, config)
    counts = projection.counts(view)
    standardisation = Standardisation.fit(projection.codes(counts), view.batch, counts.log_depth)
    preprocessor = Preprocessor(projection, standardisation)
    return TrainingView(preprocessor, counts, preprocessor.transform_counts(counts), cells.rows[modality])


def _linear_path(views: Mapping[Modality, TrainingView], config: FitConfig) -> LinearPath:
    codes = {m: view.spread(view.standardised.x).astype(np.float64) for m, view in views.items()}
    has = {m: view.has for m, view in views.items()}
    rng = np.random.default_rng([config.seed, 23])
    return fit_linear_path(codes, has, config.architecture.content_dim, rng)


def _blueprint(view: TrainingView, path: LinearPath, config: FitConfig) -> InitialWeights:
    modality, projection, statistics = (
        view.preprocessor.modality,
        view.preprocessor.projection,
        view.preprocessor.standardisation,
    )
    loadings = projection.loadings * statistics.scale
    intercept = projection.intercept + projection.loadings @ statistics.mean
    if spec_of(modality).is_binary:
        share_open = np.clip(intercept, 1e-4, 1 - 1e-4)
        slope = share_open * (1 - share_open)
        loadings, intercept = loadings / slope[:, None], np.log(share_open / (1 - share_open))
        log_bias = np.zeros_like(intercept)
    else:
        log_bias = _log_bias(view.counts, projection, intercept, np.exp(log_size(view.preprocessor, view.counts)))
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
    counts: Counts, projection: Projection, intercept: NDArray[np.float64], size: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Log of mean count over what the mean value, sent back through log1p, would give; 0 for unselected features."""
    mean_count = np.asarray(counts.selected.mean(axis=0), dtype=np.float64).ravel()
    sent_back = np.expm1(np.maximum(intercept[projection.selected], 1e-4)) * size.mean()
    log_bias = np.zeros(len(intercept))
    log_bias[projection.selected] = np.log(np.maximum(mean_count, 1e-6) / sent_back)
    return np.clip(log_bias, -_MAX_LOG_BIAS, _MAX_LOG_BIAS)
