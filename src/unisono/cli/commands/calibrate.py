"""Calibrate: widths of intervals from cells with two modalities, written with the model to a folder of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from unisono.cli.console import say
from unisono.cli.options import Device, Force, Model, Out, Query


def calibrate(
    model: Model,
    query: Query,
    out: Out,
    by: Annotated[str | None, typer.Option(help="obs column whose groups get widths of their own; the batch.")] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Learn how wide intervals have to be for cells like these, unseen and with two modalities; writes a model."""
    from unisono.io.write import refuse_existing_folder

    refuse_existing_folder(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata

    found = load(model, device=device).calibrate(read_mudata(query), by=by)
    found.save(out, force=force)
    ways = ", ".join(f"{source} to {target}" for source, target in found.fitted.intervals)
    say(f"model with intervals of these cells for {ways} written to {out}")
