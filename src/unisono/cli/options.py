"""Options: arguments and options that several commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Argument(metavar="DATA.h5mu", help="Raw counts: .h5mu, or MuData written as zarr.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder written by unisono fit.")]
Query = Annotated[Path, typer.Argument(metavar="QUERY.h5mu", help="Raw counts of the query cells.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where to write the result.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
ForceAll = Annotated[
    bool,
    typer.Option("--force", help="Replace what is there, and continue where the query covers little of the model."),
]
Aliases = Annotated[
    Path | None, typer.Option(metavar="F.tsv", help="Two columns: a name in the query, the name it stands for.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
BatchKey = Annotated[str | None, typer.Option(help="obs column of the technical batch.")]
Modalities = Annotated[str | None, typer.Option(metavar="NAME=KIND,...", help="Names in the file, as gex=rna,ab=adt.")]
Layer = Annotated[str | None, typer.Option(help="Layer of the raw counts; X by default.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal models on one CPU.")]
PresetName = Annotated[str, typer.Option("--preset", help="fast, default or best.")]
ConfigFile = Annotated[Path | None, typer.Option(metavar="F.toml", help="Fields of FitConfig, over the preset.")]
