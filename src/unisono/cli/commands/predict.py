"""Predict: one modality of each query cell from another, written as .h5ad."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unisono.cli.console import say
from unisono.cli.options import Aliases, Device, ForceAll, Model, Out, Query
from unisono.cli.values import kind_named, known_as


def predict(
    model: Model,
    query: Query,
    source: Annotated[str, typer.Option("--from", help="Modality to predict from: rna, atac or adt.")],
    target: Annotated[str, typer.Option("--to", help="Modality to predict.")],
    out: Out,
    style: Annotated[
        str,
        typer.Option(
            metavar="average|BATCH|FILE.h5mu",
            help="Style of the prediction: the average, a training batch, or that of reference cells.",
        ),
    ] = "average",
    interval: Annotated[
        float | None, typer.Option(help="Coverage of intervals in layers['lower'] and layers['upper'], such as 0.9.")
    ] = None,
    via: Annotated[str | None, typer.Option(help="A third modality to pass through, as atac via rna to adt.")] = None,
    draws: Annotated[int, typer.Option(help="Posterior draws behind layers['spread']; 32 with --via.", min=0)] = 0,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Predict one modality of each query cell from another; writes .h5ad."""
    from unisono.io.write import refuse_existing

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata
    from unisono.io.tables import write_prediction

    fitted = known_as(load(model, device=device), aliases)
    chosen: Any = read_mudata(style) if style.endswith((".h5mu", ".zarr")) else style
    prediction = fitted.prediction(
        read_mudata(query),
        kind_named(source),
        kind_named(target),
        style=chosen,
        interval=interval,
        via=None if via is None else kind_named(via),
        n_draws=draws,
        force=force,
        source_name=query.name,
    )
    write_prediction(prediction, out, force=force)
    say(f"{prediction.shape[0]:,} cells x {prediction.shape[1]:,} {target} features written to {out}")
