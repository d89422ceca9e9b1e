"""Adapt: the style of new batches, learnt and written with the model to a folder of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from unisono.cli.console import say
from unisono.cli.options import BatchKey, Device, Force, Model, Out, Query, Seed


def adapt(
    model: Model,
    query: Query,
    out: Out,
    batch_key: BatchKey = None,
    epochs: Annotated[int, typer.Option(help="Passes over the cells.", min=1)] = 20,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Learn the style of new batches, content untouched; writes a model folder that knows them by name."""
    from unisono.io.write import refuse_existing_folder

    refuse_existing_folder(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata

    fitted = load(model, device=device)
    known = set(fitted.batches)
    found = fitted.adapt(read_mudata(query), batch_key=batch_key, n_epochs=epochs, seed=seed)
    found.save(out, force=force)
    say(f"model that also knows {', '.join(sorted(set(found.batches) - known))} written to {out}")
