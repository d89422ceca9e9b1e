"""Demo: the whole main job in one command, on simulated cells or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.console import print_scores, say
from unisono.cli.options import BatchKey, Device, Force, Modalities, PresetName, Seed
from unisono.cli.progress import progress
from unisono.cli.values import config_of, mapping_in


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")] = Path("unisono-demo"),
    data: Annotated[Path | None, typer.Option(metavar="FILE.h5mu", help="Run on this file.")] = None,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    preset: PresetName = "fast",
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """The whole main job in one go: simulate (or read) cells, fit on four fifths, predict and match the rest."""
    from unisono.demo import run

    chosen = config_of(preset, seed, None)
    with progress(chosen.max_epochs, device) as on_epoch:
        scores = run(
            out,
            data=data,
            batch_key=batch_key,
            modalities=mapping_in(modalities),
            config=chosen,
            device=device,
            force=force,
            on_epoch=on_epoch,
            say=say,
        )
    print_scores(scores)
