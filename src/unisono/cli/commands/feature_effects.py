"""Feature effects: how features of one modality move those of another in a model, written as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.console import print_table, say
from unisono.cli.options import Device, Force, Model
from unisono.cli.values import kind_named
from unisono.messages import bad_input


def feature_effects(
    model: Model,
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5mu", help="Raw counts to average over, as of training.")],
    source: Annotated[str, typer.Option("--from", help="Modality whose features act: rna, atac or adt.")],
    target: Annotated[str, typer.Option("--to", help="Modality whose features respond.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="TABLE.tsv", help="Where to write the table.")],
    top: Annotated[int, typer.Option(help="Strongest source features of each target feature.", min=1)] = 10,
    genes: Annotated[
        Path | None, typer.Option(metavar="GENES.tsv", help="Gene starts (gene, chrom, tss): enrichment within 100 kb.")
    ] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """List the features of one modality that move those of another in the model; writes a table."""
    from unisono.io.write import refuse_existing, write_atomically

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata
    from unisono.modalities import spec_of

    if genes is not None and not genes.is_file():
        raise bad_input("E001", str(genes), "no such file.", "check the path")
    if genes is not None and {spec_of(kind_named(name)).features for name in (source, target)} != {"genes", "peaks"}:
        raise bad_input("E053", "--genes", f"{source} to {target} has no genes and peaks.", "use it with rna and atac")
    found = load(model, device=device).feature_effects(read_mudata(cells), kind_named(source), kind_named(target))
    table = found.table(top)
    write_atomically(out, lambda place: table.to_csv(place, sep="\t", index=False, float_format="%.6g"), force=force)
    say(f"{len(table):,} pairs written to {out}")
    if genes is not None:
        import pandas as pd

        near = found.enrichment(pd.read_csv(genes, sep="\t"))
        print_table(
            [("pairs within 100 kb", "figure"), *((name, f"{value:.4g}") for name, value in vars(near).items())]
        )
