"""Check: all that can be noticed of a file before it is used; changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.console import PIPED_WIDTH, print_table, say
from unisono.cli.options import Aliases, BatchKey, Data, Layer, Modalities
from unisono.cli.values import known_as, mapping_in
from unisono.messages import BadInput

_MAX_MAPPED = 250


def check(
    data: Data,
    model: Annotated[Path | None, typer.Option(help="Also compare the features with this model's.")] = None,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    layer: Layer = None,
    aliases: Aliases = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at a file as fit, or with --model as predict and match would, and say all that was noticed."""
    from unisono.io.check import check as look
    from unisono.io.read import read_mudata

    known = None
    if model is not None:
        from unisono.api import load

        known = known_as(load(model, device="cpu"), aliases).fitted.preprocessors
    report = look(
        read_mudata(data),
        batch_key=batch_key,
        modalities=mapping_in(modalities),
        layer=layer,
        source_name=data.name,
        preprocessors=known,
    )
    if as_json:
        print(json.dumps(report.to_json(), indent=1))  # noqa: T201
    else:
        print_table(report.rows, width=PIPED_WIDTH)
        if report.mapped:
            shown = report.mapped[:_MAX_MAPPED]
            print_table([("modality", "the model's name", "the query's name"), *shown])
            if len(report.mapped) > len(shown):
                say(f"{len(report.mapped) - len(shown)} more are mapped; --json lists all")
        for finding in report.findings:
            say(str(finding))
    if not report.is_usable and as_json:
        raise BadInput(report.findings)
    if not report.is_usable:
        raise typer.Exit(2)
