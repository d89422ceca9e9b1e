"""Feature effects: how features of one modality move those of another in a model, written as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.console import say
from unisono.cli.options import Device, Force, Model
from unisono.cli.values import kind_named


def feature_effects(
    model: Model,
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5mu", help="Raw counts to average over, as of training.")],
    source: Annotated[str, typer.Option("--from", help="Modality whose features act: rna, atac or adt.")],
    target: Annotated[str, typer.Option("--to", help="Modality whose features respond.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="TABLE.tsv", help="Where to write the table.")],
    top: Annotated[int, typer.Option(help="Strongest source features of each target feature.", min=1)] = 10,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """List the features of one modality that move those of another in the model; writes a table."""
    from unisono.io.write import refuse_existing, write_atomically

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata

    found = load(model, device=device).feature_effects(read_mudata(cells), kind_named(source), kind_named(target))
    table = found.table(top)
    write_atomically(out, lambda place: table.to_csv(place, sep="\t", index=False, float_format="%.6g"), force=force)
    say(f"{len(table):,} pairs written to {out}")
