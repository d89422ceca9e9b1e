"""Datasets: the command that lists public data sets and writes one of them as .h5mu."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unisono.cli.console import PIPED_WIDTH, print_table, say
from unisono.cli.options import Force
from unisono.io.write import refuse_existing, write_atomically


def datasets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One of those listed without it.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE.h5mu", help="Where to write it.")] = None,
    offline: Annotated[bool, typer.Option("--offline", metavar="", help="Download nothing: mirror and cache.")] = False,
    force: Force = False,
) -> None:
    """List public data sets, describe one, or with -o write it, from the mirror UNISONO_DATA, cache or source."""
    from unisono.datasets import available, load
    from unisono.datasets.public import DESCRIPTION, described

    if name is None:
        table = available()[["modalities", "cells", "accession", "licence", "checked by", "at hand"]]
        rows = [(str(each), *map(str, row)) for each, row in zip(table.index, table.to_numpy(), strict=True)]
        print_table([("name", *table.columns), *rows], width=PIPED_WIDTH)
        return
    if out is None:
        print_table([("data set", name), *described(name)], width=PIPED_WIDTH)
        return
    refuse_existing(out, force)
    mdata = load(name, offline=offline or None)
    write_atomically(out, mdata.write_h5mu, force=force)
    how = mdata.uns[DESCRIPTION]
    say(f"{name}: {mdata.n_obs:,} cells from {how['origin']} (checked by {how['checked by']}) written to {out}")
    say(f"{name}: {how['licence']}; to cite: {how['citation']}")
