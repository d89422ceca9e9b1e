"""Adaptation: a fitted model learns the style of new batches; what it takes for content, it leaves as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np

from unisono.device import one_thread
from unisono.io.fingerprint import fingerprint
from unisono.messages import bad_input
from unisono.model.record import Unlabelled
from unisono.model.store import Parts
from unisono.nn.model import Network
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.training.loop import Epoch, Training, train
from unisono.training.mini_batches import MiniBatches, TrainingView
from unisono.training.model_selection import style_book
from unisono.types import Cells, Modality

_LEARNING_RATE = 5e-3


@one_thread()
def adapted(
    parts: Parts, cells: Cells, n_epochs: int, seed: int, on_epoch: Callable[[Epoch], None] | None = None
) -> Parts:
    """A model's parts once it knows the batches of some cells.

    Offsets of the new batches are estimated from the cells. Then the style encoders, and the layers that drive AdaIN
    from a style, are trained on the reconstruction of these cells, within each modality and across where a cell has
    two; everything else stands still, content encoders above all.

    Raises:
        BadInput: E065, no batch among the cells is new to the model.
    """
    views = {m: _view(cells, m, parts.preprocessors[m]) for m in cells.modalities}
    fresh = {m: sorted(set(cells.views[m].batch) - set(parts.preprocessors[m].standardisation.batches)) for m in views}
    if not any(fresh.values()):
        what = f"all batches are known to the model ({', '.join(parts.styles[cells.modalities[0]].batches[:5])})."
        raise bad_input("E065", "adapt", what, "name the new batch in the obs column of the batch")
    network = _trained(parts, views, cells, n_epochs, seed, on_epoch)
    preprocessors, styles = dict(parts.preprocessors), dict(parts.styles)
    for m, view in views.items():
        preprocessors[m] = view.preprocessor
        styles[m] = parts.styles[m].with_batches(style_book(network, view), fresh[m])
    seen = Unlabelled(
        how="adapt", fingerprint=fingerprint(cells), n_cells={m: cells.views[m].n_cells for m in cells.modalities}
    )
    record = parts.record.model_copy(update={"unlabelled": (*parts.record.unlabelled, seen)})
    return parts._replace(network=network, preprocessors=preprocessors, styles=styles, record=record)


def _view(cells: Cells, modality: Modality, preprocessor: Preprocessor) -> TrainingView:
    view = cells.views[modality]
    counts = preprocessor.projection.counts(view)
    scaled = preprocessor.standardisation.scaled(preprocessor.projection.codes(counts))
    known = replace(
        preprocessor, standardisation=preprocessor.standardisation.with_batches(scaled, view.batch, counts.log_depth)
    )
    return TrainingView(known, counts, known.transform_counts(counts), cells.rows[modality])


def _trained(
    parts: Parts,
    views: Mapping[Modality, TrainingView],
    cells: Cells,
    n_epochs: int,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None,
) -> Network:
    """A copy of the network, trained in what has to do with style alone."""
    network = deepcopy(parts.network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(_is_of_style(name))
    weights = parts.config.weights.model_copy(update={"contrastive": 0.0})
    changes = {"held_out": 0.0, "max_epochs": n_epochs, "seed": seed, "weights": weights}
    config = parts.config.model_copy(update=changes | {"learning_rate": _LEARNING_RATE, "kl_warmup_epochs": 0})
    technical = np.unique(cells.batch, return_inverse=True)[1]
    mini_batches = MiniBatches(views, technical, config, network.log_scale.device)
    training = Training.start(network, config)
    for epoch in train(training, mini_batches, None, config):
        if on_epoch:
            on_epoch(epoch)
    for parameter in training.network.parameters():
        parameter.requires_grad_(True)
    return training.network


def _is_of_style(name: str) -> bool:
    """Style encoders (`styles.…`) and the layers that lead from a style to AdaIN (`decoders.….styles.…`)."""
    return "styles" in name.split(".")
