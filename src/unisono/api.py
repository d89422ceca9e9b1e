"""The two ways to a fitted model: fit one on training data, or load one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.config import FitConfig, Preset
from unisono.device import choose_device, one_thread
from unisono.io.fingerprint import fingerprint
from unisono.io.read import cells_from_mudata
from unisono.io.unlabelled import with_unlabelled
from unisono.model import store
from unisono.model.checkpoint import load_checkpoint, save_checkpoint
from unisono.model.query import warn
from unisono.model.record import EpochRecord, Record, Unlabelled
from unisono.model.unisono import Unisono
from unisono.nn.model import Network
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.training.loop import Epoch, Training, train
from unisono.training.mini_batches import MiniBatches, TrainingView
from unisono.training.model_selection import (
    Selection,
    anchors,
    closed_form,
    complete_codes,
    select,
    set_linear_weight,
    style_book,
)
from unisono.training.prepare import prepare
from unisono.training.refit import refit
from unisono.training.validation import Figures, Validation
from unisono.types import Cells, Modality, Pair
from unisono.uncertainty.novelty import Novelty

if TYPE_CHECKING:
    from mudata import MuData

_SECONDS_BETWEEN_CHECKPOINTS = 5.0
_MIN_UNSEEN = 200
"""Held-out cells from which on embedding and novelty are learnt of them: cells that were trained on lie elsewhere."""
_LIBRARIES = ("unisono", "torch", "numpy", "scipy", "anndata", "mudata")

OnEpoch = Callable[[Epoch], None]


def fit(
    mdata: MuData,
    *,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    preset: Preset = "default",
    seed: int = 0,
    config: FitConfig | None = None,
    device: str = "auto",
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    source_name: str = "data",
    unlabelled: MuData | None = None,
) -> Unisono:
    """Learn to predict and match from cells measured in two or three modalities.

    Args:
        mdata: raw counts of `rna`, `atac`, `adt` under any known name; cells are paired by name and may lack
            modalities, as long as some have two.
        batch_key: obs column of the technical batch (sample, donor, site), in `mdata.obs` or in a modality's obs.
        modalities: name in the file → rna, atac or adt, where the names are unusual.
        layer: where the raw counts are, None for X.
        preset: "fast", "default" or "best".
        seed: equal seeds give equal weights on one CPU.
        config: all choices; takes the place of `preset` and `seed`.
        device: "auto", or a torch device.
        on_epoch: called after each epoch, for a progress display.
        checkpoint: folder for checkpoints, written every few seconds; None for none.
        resume: go on from that checkpoint if it is there; the weights end up the same to the bit.
        source_name: what messages call the data, usually a file name.
        unlabelled: cells without labels, such as the query to come: they take part in the terms within a modality,
            and how they pair is not looked at. Figures on these cells are transductive then, which the model's record
            says and every later evaluation repeats.

    Returns:
        The fitted model. `mdata` is not changed.

    Raises:
        BadInput: the data cannot be used; the message says what to do.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast")
        >>> model.predict(mdata, source="rna", target="adt").shape
        (120, 8)
    """
    chosen = config or FitConfig.preset(preset, seed=seed)
    cells, findings = cells_from_mudata(
        mdata, batch_key=batch_key, modalities=modalities, layer=layer, source_name=source_name, need=2
    )
    warn(findings)
    seen: tuple[Unlabelled, ...] = ()
    if unlabelled is not None:
        queried, findings = cells_from_mudata(
            unlabelled,
            batch_key=batch_key,
            modalities=modalities,
            layer=layer,
            source_name=f"{source_name}, unlabelled",
            need=1,
        )
        warn(findings)
        n_cells = {m: queried.views[m].n_cells for m in queried.modalities if m in cells.views}
        seen = (Unlabelled(how="fit", fingerprint=fingerprint(queried), n_cells=n_cells),)
        cells = with_unlabelled(cells, queried, f"{source_name}, unlabelled")
    return fit_cells(
        cells,
        chosen,
        unlabelled=seen,
        device=device,
        batch_key=batch_key,
        modalities=modalities,
        on_epoch=on_epoch,
        checkpoint=checkpoint,
        resume=resume,
    )


@one_thread()
def fit_cells(
    cells: Cells,
    config: FitConfig,
    *,
    device: str = "auto",
    batch_key: str | None = None,
    modalities: Mapping[str, Modality] | None = None,
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    unlabelled: tuple[Unlabelled, ...] = (),
) -> Unisono:
    """As `fit`, from cells whose counts are known to be sound."""
    began = time.perf_counter()
    source_name = choose_device(device)
    mark = fingerprint(cells)
    prepared = prepare(cells, config, source_name)
    held_out = None
    if prepared.held_out:
        held_out = Validation(
            prepared.held_out, prepared.views, chooses_linear_weight=config.architecture.chooses_linear_weight
        )
    mini_batches = MiniBatches(prepared.views, prepared.technical, config, source_name)
    if resume and checkpoint and checkpoint.exists():
        training = load_checkpoint(prepared.network, checkpoint, config, mark)
    else:
        training = Training.start(prepared.network, config)
    last_saved = time.monotonic()
    for epoch in train(training, mini_batches, held_out, config):
        if on_epoch:
            on_epoch(epoch)
        if checkpoint and time.monotonic() - last_saved > _SECONDS_BETWEEN_CHECKPOINTS:
            save_checkpoint(training, checkpoint, config, mark)
            last_saved = time.monotonic()
    network, views = training.network, prepared.views
    selection = select(network, views, held_out, config)
    record = Record(
        versions={name: version(name) for name in _LIBRARIES},
        fingerprint=mark,
        n_cells={m: cells.views[m].n_cells for m in cells.modalities},
        n_held_out=len(prepared.held_out.names) if prepared.held_out else 0,
        batch_key=batch_key,
        modalities=dict(modalities) if modalities else None,
        device=str(source_name),
        curve=tuple(_epoch_record(epoch, epoch.figures) for epoch in training.evaluated if epoch.figures),
        seconds=0.0,
        unlabelled=unlabelled,
    )
    model = _assembled(network, views, selection, selection.kernels, config, record)
    leave_one_out_codes = None
    if held_out:
        model = model.with_intervals(held_out.cells)
        if len(cells.names) < config.refit_below:
            whole = refit(cells, config, training.best_epoch, source_name, on_epoch)
            set_linear_weight(whole.network, selection.linear_weight)
            views, intervals = whole.views, model.intervals
            model = replace(_assembled(whole.network, views, selection, {}, config, record), intervals=intervals)
        elif len(held_out.cells.names) >= _MIN_UNSEEN:
            leave_one_out_codes = held_out
            model = model.with_novelties({m: standardised.x for m, standardised in held_out.standardised.items()})
    model = model.with_moment_alignment(complete_codes(views, leave_one_out_codes))
    seconds = round(time.perf_counter() - began, 3)
    return replace(model, record=record.model_copy(update={"seconds": seconds}))


def _assembled(
    network: Network,
    views: Mapping[Modality, TrainingView],
    selection: Selection,
    kernels: Mapping[Pair, KernelRidge],
    config: FitConfig,
    record: Record,
) -> Unisono:
    """The model of trained networks and settled choices, without intervals."""
    return Unisono(
        config=config,
        network=network,
        preprocessors={m: view.preprocessor for m, view in views.items()},
        styles={m: style_book(network, view) for m, view in views.items()},
        anchors=anchors(network, views, selection.betas),
        depth_terms=selection.depth_terms,
        closed_form=closed_form(views, selection, config, kernels),
        novelties={m: Novelty.fit(view.standardised.x, view.leave_one_out_codes) for m, view in views.items()},
        moment_alignment={},
        intervals={},
        record=record,
    )


def _epoch_record(epoch: Epoch, figures: Figures) -> EpochRecord:
    return EpochRecord(epoch=epoch.number, correlation=figures.correlation, rank=figures.rank, is_best=epoch.is_best)


def load(path: str | Path, *, device: str = "auto") -> Unisono:
    """Read a model folder that `Unisono.save` wrote, after verifying every file; nothing is ever unpickled.

    Raises:
        BadInput: E001, E047, E048, E049 or E054, see `unisono.model.store.load`; E052 no such device.
    """
    return Unisono(*store.load(path, choose_device(device)))
