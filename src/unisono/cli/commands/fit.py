"""Fit: learns from a file, or resumes an interrupted fit, and writes a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.console import say
from unisono.cli.options import BatchKey, ConfigFile, Data, Device, Force, Layer, Modalities, Out, PresetName, Seed
from unisono.cli.progress import progress
from unisono.cli.values import config_of, mapping_in


def fit(
    data: Data,
    out: Out,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    layer: Layer = None,
    preset: PresetName = "default",
    config: ConfigFile = None,
    unlabelled: Annotated[
        Path | None, typer.Option(metavar="QUERY.h5mu", help="Cells without labels to learn from too (transductive).")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted fit to -o.")] = False,
    force: Force = False,
) -> None:
    """Learn from cells measured in two or three modalities; writes a model folder."""
    from unisono.io.write import refuse_existing_folder

    refuse_existing_folder(out, force)
    chosen = config_of(preset, seed, config)
    checkpoint = out.parent / f"{out.name}.checkpoint"

    from unisono.api import fit as learn
    from unisono.io.read import read_mudata
    from unisono.training.checkpoint import discard_checkpoint

    mdata = read_mudata(data)
    with progress(chosen.max_epochs, device) as on_epoch:
        model = learn(
            mdata,
            batch_key=batch_key,
            modalities=mapping_in(modalities),
            layer=layer,
            config=chosen,
            device=device,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            resume=resume,
            source_name=data.name,
            unlabelled=None if unlabelled is None else read_mudata(unlabelled),
        )
    model.save(out, force=force)
    discard_checkpoint(checkpoint)
    best = [epoch for epoch in model.record.curve if epoch.is_best]
    if best:
        say(
            f"held-out cells: prediction correlation {best[-1].correlation:.3f}, matching rank {best[-1].foscttm:.3f} "
            f"(0.5 at chance), epoch {best[-1].epoch}"
        )
    say(f"model written to {out} after {model.record.seconds:.0f} s")
