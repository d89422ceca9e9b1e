"""Options that several commands share, and what their texts and files stand for; a wrong one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unisono.messages import bad_input

if TYPE_CHECKING:
    from mudata import MuData

    from unisono.config import FitConfig
    from unisono.model.unisono import Unisono

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
LabelKey = Annotated[
    str | None, typer.Option(help="obs column of cell types, by which matches are judged; cell_type or the like.")
]
Layer = Annotated[str | None, typer.Option(help="Layer of the raw counts; X by default.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal models on one CPU.")]
PresetName = Annotated[str, typer.Option("--preset", help="fast, default or best.")]
ConfigFile = Annotated[Path | None, typer.Option(metavar="F.toml", help="Fields of FitConfig, over the preset.")]


def mapping_in(text: str | None) -> dict[str, str] | None:
    """`gex=rna,ab=adt` as a dictionary."""
    if text is None:
        return None
    pairs = [part.split("=") for part in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise bad_input("E053", "--modalities", f"{text!r} is not NAME=KIND,...", "as in --modalities gex=rna,ab=adt")
    return {name.strip(): kind.strip() for name, kind in pairs}


def kind_named(name: str) -> Any:
    """A modality as the user calls it: rna, atac, adt or a known alias."""
    from unisono.io.naming import kind_of
    from unisono.modalities import registered

    kind = kind_of(name)
    if kind is None:
        *others, last = registered()
        raise bad_input("E007", "command line", f"modality {name!r} is unknown.", f"use {', '.join(others)} or {last}")
    return kind


def known_as(model: Any, path: Path | None) -> Any:
    """The model with the aliases of a file, if one is given."""
    if path is None:
        return model
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise bad_input("E001", str(path), f"cannot be read ({type(error).__name__}).", "check the path") from error
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    wrong = [row for row in rows if len(row) != 2 or not all(row)]
    if wrong:
        what = f"{len(wrong)} of {len(rows)} lines are not two names with a tab between (first: {wrong[0][0]!r})."
        raise bad_input("E053", path.name, what, "write name, tab, name it stands for")
    return model.with_aliases(dict(rows))


def model_and_cells(model: Path, cells: Path, device: str, aliases: Path | None = None) -> tuple[Unisono, MuData]:
    """The model of a folder, with the aliases of a file if one is given, and the cells of a file."""
    from unisono.api import load
    from unisono.io.read import read_mudata

    return known_as(load(model, device=device), aliases), read_mudata(cells)


def config_of(preset: str, seed: int, path: Path | None) -> FitConfig:
    """The config of a preset and a seed, with the fields of a TOML file over them, if one is given."""
    from pydantic import ValidationError

    from unisono.config import FitConfig

    changes: dict[str, Any] = {}
    source_name = "config"
    if path is not None:
        import tomllib

        source_name = path.name
        try:
            changes = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise bad_input("E001", str(path), "no such file.", "check the path") from error
        except IsADirectoryError as error:
            raise bad_input("E053", source_name, "is a folder, expected a TOML file.", "check the path") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise bad_input("E053", source_name, f"is not TOML: {error}.", "correct the line") from error
    try:
        return FitConfig.preset(preset, **{"seed": seed, **changes})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        what = f"{field}: {first['msg']} (given {first['input']!r})."
        raise bad_input("E053", source_name, what, "correct it in --config or --seed") from error
    except ValueError as error:
        raise bad_input("E053", source_name, f"{error}.", "see unisono fit --help") from error
