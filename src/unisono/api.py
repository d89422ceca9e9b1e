"""The two ways to a fitted model: fit one on training data, or load one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unisono import pretrained
from unisono.config import FitConfig, Preset
from unisono.device import choose_device
from unisono.hub.address import address_in, is_address
from unisono.hub.exchange import fetched
from unisono.inference.fitted_model import FittedModel
from unisono.inference.record import Unlabelled
from unisono.io.fingerprint import fingerprint
from unisono.io.places import CountsAt, Layer, X
from unisono.io.read import ReadOptions, inspect
from unisono.io.unlabelled import in_one_batch, with_unlabelled
from unisono.messages import refuse, warn
from unisono.modalities import for_several_data_sets, spec_of
from unisono.model import store
from unisono.model.unisono import Unisono
from unisono.progress import is_watched, shown
from unisono.training.across import intervals_across
from unisono.training.fit import Run, fit_cells, seen_of
from unisono.training.held import TrainingCells, read_training_cells
from unisono.training.loop import OnEpoch
from unisono.training.ranks import Ranks, together
from unisono.training.saved_state import findings as checkpoint_findings
from unisono.training.self_training import self_trained
from unisono.training.validation import training_findings
from unisono.types import Annotation, Cells, Pair
from unisono.uncertainty.conformal import Conformal

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from unisono.io.store import Store


def fit(
    mdata: MuData | AnnData | Store | Sequence[MuData | AnnData],
    *,
    names: Sequence[str] | None = None,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: Layer | None = None,
    round_counts: bool = False,
    keep_controls: bool = False,
    preset: Preset = "default",
    seed: int = 0,
    config: FitConfig | None = None,
    device: str = "auto",
    on_epoch: OnEpoch | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    source_name: str = "data",
    unlabelled: MuData | AnnData | None = None,
    init: Unisono | None = None,
    progress: bool | None = None,
) -> Unisono:
    """Learn to predict and match from cells measured in two or three modalities.

    In a script that torchrun or SLURM started several times, these fit one model together and each returns it; the
    first one alone reports, warns and writes checkpoints.

    Args:
        mdata: raw counts of `rna`, `atac`, `adt` under any known name, or one AnnData whose modalities are told apart
            by `var["feature_types"]` or that has proteins in obsm; cells are paired by name and may lack modalities, as
            long as some have two. A list of data sets, each with features of its own, gives one model of all. What
            `open` gives stays on disk: no more than `FitConfig.max_held_cells` cells are held, and equal seeds give the
            same weights as the same cells in memory.
        names: of the data sets of a list, which come before the names of their cells and batches.
        batch_key: obs column of the technical batch (sample, donor, site), in `mdata.obs` or in a modality's obs; of a
            list, in some of the data sets.
        modalities: name in the file → rna, atac or adt, where the names are unusual.
        layer: where the raw counts are: a layer, "X" or ".raw" for all modalities or by modality, such as
            {"rna": "counts", "adt": "X"}; X by default. The model remembers it for its queries.
        round_counts: whether fractional counts, such as those of ambient correction, are rounded; remembered as well.
        keep_controls: whether isotype controls and sample tags among proteins are kept; they are left out otherwise.
        preset: "fast", "default" or "best".
        seed: equal seeds give equal weights on one CPU.
        config: all choices; replaces `preset` and `seed`.
        device: "auto", or a torch device.
        on_epoch: called after each epoch, for a progress display.
        checkpoint: folder for checkpoints, written every few seconds; None for none.
        resume: resume from that checkpoint if it exists; the weights end up the same to the bit.
        source_name: what messages call the data, usually a file name.
        unlabelled: cells without labels, such as the query to come; their pairing is ignored. Those of one modality
            enter the terms within it. Where there are two, a first fit matches them one to one, and a second takes the
            matches for pairs: for a new donor this gains more than anything else, and takes twice the time. Figures on
            these cells are then transductive, as the model's record and every later evaluation state.
        init: a model to start from, fitted to other cells, such as `load("human-blood-cite")`: what it says of a cell
            stands next to the cell's own code. With 50 or 100 cells of your own it is worth a fifth as many again in
            prediction, and as many again in matching.
        progress: whether to print a line of what was decided and to show a bar; by default in a terminal or a notebook.

    Returns:
        The fitted model. `mdata` is not changed.

    Raises:
        BadInput: the data cannot be used; the message names a remedy.
        RankError: one of several processes that fit together was lost, or differs from the others.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
        >>> model.predict(mdata, source="rna", target="adt").shape
        (120, 8)
    """
    chosen = config or FitConfig.preset(preset, seed=seed)
    options = ReadOptions(
        batch_key, modalities, CountsAt(layer, is_rounded=round_counts), keep_controls, is_training=True
    )
    with together(device) as ranks:
        warn(checkpoint_findings(checkpoint, resume) if checkpoint else [])
        given = read_training_cells(mdata, options, chosen, names, source_name, is_whole=unlabelled is not None)
        cells, data_sets = given.cells, given.data_sets
        if data_sets:
            chosen = for_several_data_sets(chosen, cells.modalities)
        joined, seen = cells, None
        if unlabelled is not None:
            name = f"{source_name}, unlabelled"
            query = inspect(unlabelled, replace(options, is_training=False), name)
            queried = query.cells if batch_key else in_one_batch(query.cells)
            warn(query.findings)
            n_cells = {m: queried.views[m].n_cells for m in queried.modalities if m in cells.views}
            seen = Unlabelled(how="fit", fingerprint=fingerprint(query.cells), n_cells=n_cells)
            joined = with_unlabelled(cells, queried, name)
        refuse(training_findings(joined, chosen, source_name))
        fit_to = partial(
            fit_cells,
            config=chosen,
            batch_key=batch_key,
            modalities=modalities,
            init=None if init is None else init.fitted,
            stream=given.stream,
        )
        is_shown = is_watched() if progress is None else progress
        with _display(is_shown, given, chosen, device, on_epoch, ranks) as reported:
            run = Run(ranks.device_of(device), reported, checkpoint, resume, ranks)
            if seen is None:
                fitted = fit_to(cells, run=run)
            else:
                fitted = self_trained(cells, joined, seen, fit_to, chosen, run, name)
            if len(data_sets) > 2 and chosen.uncertainty.across_data_sets:
                fitted = replace(fitted, intervals=_intervals_across(fitted, cells, chosen, run))
        how = {"is_rounded": round_counts, "keeps_controls": keep_controls, **given.described(fitted.record)}
        record = fitted.record.model_copy(update=how)
        labelled = fitted.seen if unlabelled is None else seen_of(cells)
        labelled = labelled if given.survey is None else given.survey.seen
        var = {m: Annotation.of(table) for m, table in given.inspection.var.items()}
        model = Unisono(replace(fitted, record=record, seen=labelled, var=var))
        warn(model.record.repeated(source_name))
        return model


def _display(
    is_shown: bool, given: TrainingCells, config: FitConfig, device: str, on_epoch: OnEpoch | None, ranks: Ranks
) -> AbstractContextManager[OnEpoch | None]:
    """What reports epochs: a bar or the caller's function, on the first rank alone."""
    if not is_shown or not ranks.is_first:
        return nullcontext(on_epoch if ranks.is_first else None)
    return shown(_decided(given, config, device, ranks), config.max_epochs, on_epoch)


def _intervals_across(fitted: FittedModel, cells: Cells, config: FitConfig, run: Run) -> dict[Pair, Conformal]:
    """Widths from each data set asked about by a model of the others; see `intervals_across`."""
    return intervals_across(
        fitted,
        cells,
        np.array([name.partition("/")[0] for name in cells.names]),
        config,
        lambda c: fit_cells(c, config, Run(run.device, ranks=run.ranks)),
    )


def _decided(given: TrainingCells, config: FitConfig, device: str, ranks: Ranks) -> str:
    """One line: devices, cells, features and the place of their counts, batches, members and seed."""
    cells, places = given.cells, given.inspection.places
    n_cells = f"{len(cells.names):,} cells"
    if given.stream is not None:
        n_cells = f"{len(given.stream.rows):,} cells, of which {len(cells.names):,} are held"
    parts = [
        f"{m} {len(cells.views[m].features):,} {spec_of(m).features}{f' ({places[m]})' if places[m] != X else ''}"
        for m in cells.modalities
    ]
    n_batches = len(np.unique(cells.batch))
    chosen = f"{choose_device(ranks.device_of(device))}{' (chosen by auto)' if device == 'auto' else ''}"
    chosen = chosen if ranks.size == 1 else f"{chosen}, {ranks.size} ranks"
    batches = f"{n_batches} batch{'es' if n_batches > 1 else ''}"
    how = f"{config.n_members} networks, seed {config.seed}"
    return f"fit on {chosen}: {n_cells}, {', '.join(parts)}, {batches}, {how}"


def load(path: str | Path, *, device: str = "auto") -> Unisono:
    """Read a model that comes with the package, was saved, or is on the hub; each file is verified, none unpickled.

    Args:
        path: a name of `models`, the folder that `Unisono.save` wrote, or an address on the Hugging Face hub,
            `hf://owner/name` or `hf://owner/name@revision`: of that, which needs the extra `hub`, only the files of a
            model folder are fetched, once for each commit. The commit stands in the model's record.
        device: auto, cpu, cuda, cuda:1, mps.

    Returns:
        The model, on that device.

    Raises:
        BadInput: E001, E047, E048, E049 or E054, see `unisono.model.store.load`; E052 no such device; E063 or E093 to
            E097, see `unisono.hub`.

    Examples:
        >>> import unisono as un
        >>> un.load("human-blood-cite").modalities
        ('rna', 'adt')
    """
    chosen = choose_device(device)
    if not is_address(path):
        return Unisono(store.load(pretrained.folder_of(path), chosen))
    with fetched(address_in(path), store.FILES) as found:
        fitted = store.load(found.folder, chosen)
    record = fitted.record.model_copy(update={"origin": str(found.address)})
    return Unisono(replace(fitted, record=record))
