"""Adaptation: a fitted model learns the style of new batches; its content encoders stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np

from unisono.device import one_thread
from unisono.inference.fitted_model import FittedModel
from unisono.inference.record import Unlabelled
from unisono.io.fingerprint import fingerprint
from unisono.messages import bad_input
from unisono.nn.model import Network
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.training.initial import style_books
from unisono.training.loop import OnEpoch, Training, train
from unisono.training.mini_batches import MiniBatches, TrainingView
from unisono.types import Cells, Modality, View


@one_thread()
def adapted(model: FittedModel, cells: Cells, n_epochs: int, seed: int, on_epoch: OnEpoch | None = None) -> FittedModel:
    """The model with the batches of some cells added to those it knows.

    Offsets of the new batches are estimated from the cells. Then the style encoders, and the layers that drive AdaIN
    from a style, are trained to reconstruct these cells, within each modality and across modalities where a cell has
    two; everything else is frozen, content encoders above all.

    Raises:
        BadInput: E065, no batch among the cells is new to the model.
    """
    predictor = model.predictor
    known = {m: _with_batches(predictor.preprocessors[m], cells.views[m]) for m in cells.modalities}
    views = {m: TrainingView.of(preprocessor, cells, model.config) for m, preprocessor in known.items()}
    new = {m: sorted(set(cells.views[m].batch) - set(predictor.styles[m].batches)) for m in views}
    if not any(new.values()):
        names = ", ".join(predictor.styles[cells.modalities[0]].batches[:5])
        what = f"all batches are known to the model ({names})."
        raise bad_input("E065", "adapt", what, "name the new batch in the obs column of the batch")
    network = _trained(model, views, cells, n_epochs, seed, on_epoch)
    books = style_books(network, views, model.config)
    predictor = replace(
        predictor,
        network=network,
        preprocessors={**predictor.preprocessors, **{m: view.preprocessor for m, view in views.items()}},
        styles={**predictor.styles, **{m: predictor.styles[m].with_batches(books[m], new[m]) for m in views}},
    )
    n_cells = {m: cells.views[m].n_cells for m in cells.modalities}
    seen = Unlabelled(how="adapt", fingerprint=fingerprint(cells), n_cells=n_cells)
    record = model.record.model_copy(update={"unlabelled": (*model.record.unlabelled, seen)})
    return replace(model, predictor=predictor, record=record)


def _with_batches(preprocessor: Preprocessor, view: View) -> Preprocessor:
    return preprocessor.with_batches(preprocessor.counts(view))


def _trained(
    model: FittedModel,
    views: Mapping[Modality, TrainingView],
    cells: Cells,
    n_epochs: int,
    seed: int,
    on_epoch: OnEpoch | None,
) -> Network:
    """A copy of the network in which only what depends on style was trained."""
    network = deepcopy(model.predictor.network)
    for name, parameter in network.named_parameters():
        # style encoders (`styles.…`) and the layers from a style to AdaIN (`decoders.….styles.…`)
        parameter.requires_grad_("styles" in name.split("."))
    weights = model.config.weights.model_copy(update={"contrastive": 0.0})
    changes = {"max_epochs": n_epochs, "seed": seed, "weights": weights, "kl_warmup_epochs": 0}
    config = model.config.model_copy(update=changes | {"learning_rate": model.config.adapt_learning_rate})
    batch = np.unique(cells.batch, return_inverse=True)[1]
    training = Training.start(network, config)
    for epoch in train(training, MiniBatches(views, batch, config, network.log_scale.device), None, config):
        if on_epoch:
            on_epoch(epoch)
    for parameter in training.network.parameters():
        parameter.requires_grad_(True)
    return training.network
