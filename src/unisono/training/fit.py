"""Fit: from training cells to a fitted model, one stage after the other; reads and writes no data file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.device import choose_device, one_thread
from unisono.inference.fitted_model import FittedModel
from unisono.inference.predictor import Predictor
from unisono.inference.record import EpochRecord, Record, RecordedFinding, Unlabelled
from unisono.interruption import asked, deferred
from unisono.io.fingerprint import fingerprint
from unisono.matching import Anchors, mean_potential
from unisono.messages import BadInput, Finding, warn
from unisono.modalities import check_config, in_order, resolved
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.preprocessing.moment_alignment import MomentAlignment, fit_moment_alignment
from unisono.preprocessing.preprocessor import Guide
from unisono.preprocessing.row_hashes import row_hashes
from unisono.preprocessing.subset import evenly_spread
from unisono.training.checkpoint import (
    discard_checkpoint,
    load_checkpoint,
    save_checkpoint,
    state_of_run,
)
from unisono.training.codings import with_chosen_codings
from unisono.training.guides import guided
from unisono.training.initial import initial_network, initial_predictor, linear_path, style_books
from unisono.training.loop import Epoch, OnEpoch, Score, Training, train
from unisono.training.mini_batches import MiniBatches, TrainingView, Views
from unisono.training.ranks import ALONE, Ranks
from unisono.training.selection import Selection, fit_intervals, initial_selection, select, selected, set_linear_weight
from unisono.training.stream import Stream, StreamedMiniBatches
from unisono.training.validation import NO_NAMES, Names, Validation, not_validated, split
from unisono.types import Cells, Modality, Pair
from unisono.uncertainty.novelty import Novelty

_SECONDS_BETWEEN_CHECKPOINTS = 5.0
_LIBRARIES = ("unisono", "torch", "numpy", "scipy", "anndata", "mudata")


@dataclass(frozen=True)
class Run:
    """Options of a fit that do not change its result.

    Attributes:
        device: "auto", or a torch device.
        on_epoch: called after each epoch.
        checkpoint: folder for checkpoints, written every few seconds; None for none.
        resume: whether to resume from that checkpoint if it is there.
        ranks: that fit together; only the first one writes checkpoints.
    """

    device: str = "auto"
    on_epoch: OnEpoch | None = None
    checkpoint: Path | None = None
    resume: bool = False
    ranks: Ranks = ALONE

    @property
    def resumed(self) -> Path | None:
        """The checkpoint that is resumed from; None where the fit begins anew."""
        return self.checkpoint if self.resume and self.checkpoint and self.checkpoint.exists() else None

    def require_resumable(self, data: str, config: FitConfig | None = None) -> None:
        """Refuse a checkpoint of other data, or of another config if one is given; see `state_of_run`."""
        if self.resumed:
            state_of_run(self.resumed, data, config)


@one_thread()
def fit_cells(
    cells: Cells,
    config: FitConfig,
    run: Run | None = None,
    *,
    batch_key: str | None = None,
    modalities: Mapping[str, Modality] | None = None,
    unlabelled: tuple[Unlabelled, ...] = (),
    matched: Names = NO_NAMES,
    init: FittedModel | None = None,
    stream: Stream | None = None,
) -> FittedModel:
    """Fit to validated cells: the stages in order, next to what an earlier model says of the cells, if one is given.

    Cells called `matched` are pairs to learn from, but none to validate on. With a `stream`, the cells are some of its
    own, and the networks are trained on all of it but the validation cells.

    Split off the validation cells; choose codings; preprocess; solve the linear path; train; let the validation cells
    select; where cells are few, fit once more on all of them; calibrate; record.
    """
    run = run or Run()
    check_config(config)
    config = resolved(config, {m: len(cells.views[m].features) for m in cells.modalities})
    began, device = time.perf_counter(), choose_device(run.device)
    data = fingerprint(cells) if stream is None else stream.fingerprint
    run.require_resumable(data)
    training_cells, validation_cells = split(cells, config, matched)
    named, config = config, with_chosen_codings(config, training_cells, validation_cells)
    run.require_resumable(data, config)
    guides = {} if init is None else init.guides({m: cells.views[m] for m in cells.modalities})
    views: Views = fit_views(training_cells, config, guides)
    validation = Validation(validation_cells, views, config) if validation_cells else None
    start = start_of(views, len(cells.names), config, device)
    stream = stream.without(validation_cells) if stream and validation_cells else stream
    training = _trained(start, views, training_cells, validation, config, run, data, stream)
    predictor = _with_network(start, training.network, views, config)
    selection = select(predictor, views, validation, config) if validation else initial_selection(predictor, config)
    predictor = selected(predictor, views, selection)
    final = _final_scores(predictor, training.best_epoch, validation, run)
    findings = _findings(predictor, validation, cells, config, matched)
    intervals = fit_intervals(predictor, validation.cells, config) if validation else {}
    if validation and len(cells.names) < config.refit_below and stream is None:
        predictor, views = _refitted(cells, guides, selection, training.best_epoch, config, device, run)
        validation = None
    anchors = fit_anchors(predictor.network, views, selection, config)
    return FittedModel(
        config=named,
        predictor=predictor,
        anchors=anchors,
        depth_terms=selection.depth_terms,
        moment_alignment=_moment_alignment(predictor.network, anchors, views, validation, config),
        novelties=_novelties(views, validation, config),
        intervals=intervals,
        seen=seen_of(cells),
        record=Record(
            versions={name: version(name) for name in _LIBRARIES},
            fingerprint=data,
            n_cells={m: cells.views[m].n_cells for m in cells.modalities},
            n_validation=len(validation_cells.names) if validation_cells else 0,
            batch_key=batch_key,
            modalities=dict(modalities) if modalities else None,
            device=str(device) if run.ranks.size == 1 else f"{run.ranks.size} x {device.type}",
            **_recorded_training(training),
            validation=final,
            seconds=round(time.perf_counter() - began, 3),
            unlabelled=unlabelled,
            init=None if init is None else init.fingerprint,
            findings=tuple(RecordedFinding(code=f.code, what=f.what, remedy=f.remedy) for f in findings),
        ),
    )


def _findings(
    predictor: Predictor, validation: Validation | None, cells: Cells, config: FitConfig, matched: Names
) -> list[Finding]:
    """What predictions and matchings by the model are to be read with."""
    if validation is None:
        return not_validated(cells, config, "model", matched)
    return validation.at_chance(predictor, config.seed)


def seen_of(cells: Cells) -> dict[Modality, NDArray[np.uint64]]:
    """The sorted numbers of cells, by which they are known again."""
    return {m: np.sort(row_hashes(view.counts, view.features)) for m, view in cells.views.items()}


def fit_views(
    cells: Cells, config: FitConfig, guides: Mapping[Modality, Guide] | None = None
) -> dict[Modality, TrainingView]:
    """Preprocess: fit the preprocessor of each modality, next to the guides, where these help."""
    views = {m: TrainingView.fit(cells, m, config) for m in in_order(cells.modalities)}
    return guided(views, guides or {}, cells, config)


def start_of(views: Views, n_cells: int, config: FitConfig, device: torch.device) -> Predictor:
    """The predictor before the first step, everything in closed form.

    Loadings of the linear path overfit where cells are few, or few of them measured some of the features.
    """
    path = linear_path(views, config)
    if n_cells < config.linear_path.min_cells_of_decoder or not all(
        v.counts.measured.is_complete for v in views.values()
    ):
        path = path.without_decoders()
    return initial_predictor(initial_network(views, path, config).to(device), views, config)


def _trained(
    start: Predictor,
    views: Views,
    cells: Cells,
    validation: Validation | None,
    config: FitConfig,
    run: Run,
    data: str,
    stream: Stream | None = None,
) -> Training:
    """Train the networks; `data` is the fingerprint that a checkpoint has to have been made with."""
    network = start.network
    device = network.log_scale.device
    mini_batches = (
        MiniBatches(views, np.unique(cells.batch, return_inverse=True)[1], config, device)
        if stream is None
        else StreamedMiniBatches(views, stream, config, device)
    )
    training = load_checkpoint(network, run.resumed, config, data) if run.resumed else Training.start(network, config)
    keeper = _Keeper(training, config, data, run)
    with deferred(), keeper.discarding_what_diverges():
        score = scorer(start, views, validation, config)
        for epoch in train(training, mini_batches, score, config, run.ranks, keeper.after_step):
            if run.on_epoch:
                run.on_epoch(epoch)
            keeper.save_now_and_then()
        keeper.end()
    if training.n_skipped and run.ranks.is_first:
        warn([_skipped(training, config)])
    return training


class _Keeper:
    """Saves a training now and then, and once more where it is asked to end."""

    def __init__(self, training: Training, config: FitConfig, data: str, run: Run) -> None:
        self._training, self._config, self._data, self._run = training, config, data, run
        self._saved_at = time.monotonic()
        self._has_saved = False

    def save_now_and_then(self) -> None:
        if time.monotonic() - self._saved_at > _SECONDS_BETWEEN_CHECKPOINTS:
            self._save()

    def after_step(self) -> None:
        """Save now and then; where any rank is asked to end, save and end all of them.

        Raises:
            KeyboardInterrupt: this training was asked to end.
        """
        ranks = self._run.ranks
        is_asked = bool(asked())
        if ranks.size > 1:
            is_asked = bool(ranks.summed(torch.tensor([float(is_asked)], device=ranks.device)))
        if is_asked:
            self._save()
            raise KeyboardInterrupt
        self.save_now_and_then()

    def end(self) -> None:
        """Save the end of a training that had to be saved on the way: what comes after it takes as long."""
        if self._has_saved:
            self._save()

    @contextmanager
    def discarding_what_diverges(self) -> Iterator[None]:
        """Leave no checkpoint of a training that diverged: resumed, it would again."""
        try:
            yield
        except BadInput as error:
            is_diverged = error.findings[0].code == "E078"
            if is_diverged and self._run.checkpoint and self._run.ranks.is_first:
                discard_checkpoint(self._run.checkpoint)
            raise

    def _save(self) -> None:
        if self._run.checkpoint and self._run.ranks.is_first:
            save_checkpoint(self._training, self._run.checkpoint, self._config, self._data)
            self._has_saved = True
        self._saved_at = time.monotonic()


def _skipped(training: Training, config: FitConfig) -> Finding:
    """W078, of steps that were not finite."""
    what = f"{training.n_skipped} steps were skipped, as their loss was not finite (first in {training.first_skipped})"
    if training.rate < 1:
        what += (
            f"; the learning rate went down from {config.learning_rate:g} to {config.learning_rate * training.rate:g}"
        )
    return Finding("W078", "training", f"{what}.", "look for extreme counts, or lower learning_rate")


def scorer(start: Predictor, views: Views, validation: Validation | None, config: FitConfig) -> Score | None:
    """What scores a network while it trains: the whole predictor with that network in it, on the validation cells."""
    if validation is None:
        return None
    return lambda network: validation.scores(_with_network(start, network, views, config))


def _with_network(predictor: Predictor, network: Network, views: Views, config: FitConfig) -> Predictor:
    return replace(predictor, network=network, styles=style_books(network, views, config))


def _refitted(
    cells: Cells,
    guides: Mapping[Modality, Guide],
    selection: Selection,
    n_epochs: int,
    config: FitConfig,
    device: torch.device,
    run: Run,
) -> tuple[Predictor, Views]:
    """The same fit on all cells, for as many epochs as were best for the validation cells, with what they selected."""
    config = config.model_copy(update={"max_epochs": n_epochs})
    views = fit_views(cells, config, guides)
    start = start_of(views, len(cells.names), config, device)
    training = _trained(start, views, cells, None, config, replace(run, checkpoint=None), "")
    set_linear_weight(training.network, selection.linear_weight)
    return selected(_with_network(start, training.network, views, config), views, selection), views


def fit_anchors(network: Network, views: Views, selection: Selection, config: FitConfig) -> dict[Pair, Anchors]:
    """Training cells that the similarities of each pair of modalities are normalised by.

    Those measured in both, so that both sides are one population; where they are too few, all cells of either. They
    are read as if left out of the preprocessors' fit, as are the cells that they are compared with.
    """
    anchors = {}
    for a, b in combinations(views, 2):
        cells_a, cells_b = (np.flatnonzero(views[m].has) for m in (a, b))
        both = np.intersect1d(cells_a, cells_b)
        if len(both) >= config.matching.min_paired_anchors:
            cells_a = cells_b = both
        cells_a, cells_b = (cells[evenly_spread(len(cells), config.matching.n_anchors)] for cells in (cells_a, cells_b))
        left, right = (
            infer.vectors(network, m, views[m].leave_one_out_codes[views[m].rows[cells]])
            for m, cells in ((a, cells_a), (b, cells_b))
        )
        anchors[a, b] = Anchors.fit(left, right, selection.betas[a, b])
    return anchors


def _moment_alignment(
    network: Network, anchors: Mapping[Pair, Anchors], views: Views, validation: Validation | None, config: FitConfig
) -> dict[Modality, MomentAlignment]:
    """From the cells with every modality: validation cells if there are enough, else training cells as if left out."""
    if validation and _are_enough(validation, config) and set(validation.codes) == set(views):
        rows, codes = validation.cells.rows, {m: codes.x for m, codes in validation.codes.items()}
    else:
        rows, codes = {m: view.rows for m, view in views.items()}, {m: v.leave_one_out_codes for m, v in views.items()}
    complete = np.all([rows[m] >= 0 for m in views], axis=0)
    if complete.sum() < config.embedding.min_moment_cells:
        return {}
    vectors = {m: infer.vectors(network, m, codes[m][rows[m][complete]]) for m in views}
    potentials = {m: mean_potential(anchors, m, x) for m, x in vectors.items()}
    return fit_moment_alignment(vectors, potentials, config.embedding)


def _novelties(views: Views, validation: Validation | None, config: FitConfig) -> dict[Modality, Novelty]:
    """Gaussians about training cells; their unit from validation cells if there are enough."""
    choice = config.uncertainty
    novelties = {m: Novelty.fit(view.codes.x, view.leave_one_out_codes, choice) for m, view in views.items()}
    if validation is None or not _are_enough(validation, config):
        return novelties
    quantile = choice.novelty_quantile
    return novelties | {m: novelties[m].rescaled(codes.x, quantile) for m, codes in validation.codes.items()}


def _are_enough(validation: Validation, config: FitConfig) -> bool:
    return len(validation.cells.names) >= config.validation.min_embedding_cells


def _final_scores(predictor: Predictor, best_epoch: int, validation: Validation | None, run: Run) -> EpochRecord | None:
    """The scores of the selected predictor, reported as the last ones; None without validation cells."""
    if validation is None:
        return None
    epoch = Epoch(best_epoch, {}, validation.scores(predictor), is_best=True)
    if run.on_epoch:
        run.on_epoch(epoch)
    return _recorded(epoch)


def _recorded_training(training: Training) -> dict[str, Any]:
    curve = tuple(_recorded(epoch) for epoch in training.evaluated)
    return {"curve": curve, "n_skipped_steps": training.n_skipped}


def _recorded(epoch: Epoch) -> EpochRecord:
    assert epoch.scores is not None
    return EpochRecord(epoch=epoch.number, is_best=epoch.is_best, **asdict(epoch.scores))
