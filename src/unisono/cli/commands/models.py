"""Fit, adapt, calibrate and demo: the commands that learn from cells and write a model folder."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.console import print_scores, say
from unisono.cli.launch import run_ranks, starts_ranks
from unisono.cli.options import (
    BatchKey,
    ConfigFile,
    DataSets,
    Device,
    Devices,
    Force,
    KeepControls,
    LabelKey,
    Layer,
    Modalities,
    Model,
    Out,
    PresetName,
    Query,
    QueryLayer,
    RoundCounts,
    Seed,
    cells_in,
    config_of,
    data_sets_in,
    label_of,
    layer_in,
    mapping_in,
    model_and_cells,
    model_named,
    paths_in,
    training_cells_in,
)
from unisono.cli.unfinished import resumable, writing
from unisono.io.write import refuse_existing_folder, refuse_inputs, require_name


def fit(
    data: DataSets,
    out: Out,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    layer: Layer = None,
    round_counts: RoundCounts = False,
    keep_controls: KeepControls = False,
    preset: PresetName = "default",
    config: ConfigFile = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(metavar="QUERY", help="Cells without labels to learn from too; two modalities are matched."),
    ] = None,
    init: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A model to start from; a folder, a name, or hf://owner/name.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Devices = 1,
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Resume an interrupted fit to -o.")] = False,
    force: Force = False,
) -> None:
    """Learn from cells measured in two or three modalities; writes a model folder."""
    refuse_inputs(out, paths_in(data, unlabelled, init, config))
    chosen = config_of(preset, seed, config)
    with resumable(out, resume=resume, force=force) as checkpoint:
        if starts_ranks(devices):
            sys.exit(run_ranks(devices))

        from unisono.api import fit as learn
        from unisono.training.checkpoint import discard_checkpoint
        from unisono.training.ranks import together

        with together(device) as ranks:
            several = data_sets_in(data)
            model = learn(
                [cells_in([str(path)]) for path in several.values()]
                if several
                else training_cells_in(data, chosen.max_held_cells),
                names=list(several) or None,
                batch_key=batch_key,
                modalities=mapping_in(modalities),
                layer=layer_in(layer),
                round_counts=round_counts,
                keep_controls=keep_controls,
                config=chosen,
                device=device,
                progress=True,
                checkpoint=checkpoint,
                resume=resume,
                source_name=" ".join(several) or label_of(data),
                unlabelled=None if unlabelled is None else cells_in([str(unlabelled)]),
                init=None if init is None else model_named(init, ranks.device_of(device)),
            )
        if not ranks.is_first:
            return
        model.save(out, force=force)
        discard_checkpoint(checkpoint)
    found = model.record.validation
    if found:
        say(
            f"validation cells: correlation {found.correlation:.3f}, FOSCTTM {found.foscttm:.3f} (0.5 at chance), "
            f"epoch {found.epoch}"
        )
    say(f"model written to {out} after {model.record.seconds:.0f} s")


def adapt(
    model: Model,
    query: Query,
    out: Out,
    batch_key: BatchKey = None,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    epochs: Annotated[int, typer.Option(help="Passes over the cells.", min=1)] = 20,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Learn the style of new batches, content untouched; writes a model folder that knows them by name."""
    refuse_inputs(out, paths_in(model, query))
    with writing(out, force):
        fitted, cells = model_and_cells(model, query, device)
        known = set(fitted.batches)
        found = fitted.adapt(
            cells,
            batch_key=batch_key,
            n_epochs=epochs,
            seed=seed,
            layer=layer_in(layer),
            round_counts=round_counts or None,
            source_name=label_of(query),
        )
        found.save(out, force=force)
    say(f"model that also knows {', '.join(sorted(set(found.batches) - known))} written to {out}")


def calibrate(
    model: Model,
    query: Query,
    out: Out,
    by: Annotated[str | None, typer.Option(help="obs column whose groups get widths of their own; the batch.")] = None,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Learn how wide intervals have to be for cells like these, unseen and with two modalities; writes a model."""
    refuse_inputs(out, paths_in(model, query))
    refuse_existing_folder(out, force)
    fitted, cells = model_and_cells(model, query, device)
    found = fitted.calibrate(
        cells, by=by, layer=layer_in(layer), round_counts=round_counts or None, source_name=label_of(query)
    )
    found.save(out, force=force)
    ways = ", ".join(f"{source} to {target}" for source, target in found.fitted.intervals)
    say(f"model with intervals of these cells for {ways} written to {out}")


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")] = Path("unisono-demo"),
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="Run on this file or folder.")] = None,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    preset: PresetName = "fast",
    label_key: LabelKey = None,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """The whole main job in one go: simulate (or read) cells, fit on four fifths, predict and match the rest."""
    from unisono.cli.evaluation import PAGE, evaluate_into
    from unisono.demo import run
    from unisono.model.query import QueryOptions

    chosen = config_of(preset, seed, None)
    require_name(out.name)
    refuse_inputs(out / PAGE, paths_in(data))
    scores = run(
        out,
        data=data,
        batch_key=batch_key,
        modalities=mapping_in(modalities),
        config=chosen,
        device=device,
        force=force,
        progress=True,
        score=partial(evaluate_into, label_key=label_key, options=QueryOptions(force)),
        say=say,
    )
    print_scores(scores)
