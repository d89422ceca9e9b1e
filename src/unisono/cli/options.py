"""Options that several commands share, and what their texts and files stand for; a wrong one is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unisono.cli.console import say
from unisono.messages import bad_input

if TYPE_CHECKING:
    from mudata import MuData

    from unisono.config import FitConfig
    from unisono.io.store import Store
    from unisono.model.unisono import Unisono

_FORMATS = ".h5mu, .h5ad, zarr, 10x .h5, 10x folder, or a file for each modality: rna=FILE adt=FILE."
_SEVERAL = "Several files, FILE or NAME=FILE each, are several data sets of one model."
DataSets = Annotated[
    list[str], typer.Argument(metavar="DATA...", help=f"Raw counts: {_FORMATS} {_SEVERAL}", show_default=False)
]
Data = Annotated[list[str], typer.Argument(metavar="DATA", help=f"Raw counts: {_FORMATS}", show_default=False)]
_MODEL = "Folder written by unisono fit, name of a model that comes with it, or hf://owner/name[@revision] on the hub."
Model = Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL)]
Query = Annotated[list[str], typer.Argument(metavar="QUERY", help=f"Raw counts of the query cells: {_FORMATS}")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where to write the result.")]
Force = Annotated[bool, typer.Option("--force", metavar="", help="Replace what is there.")]
ForceAll = Annotated[
    bool,
    typer.Option(
        "--force", metavar="", help="Replace what is there, and continue where the query covers little of the model."
    ),
]
Aliases = Annotated[
    Path | None, typer.Option(metavar="F.tsv", help="Two columns: a name in the query, the name it stands for.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Devices = Annotated[
    int, typer.Option(min=1, metavar="N", help="Devices of this machine to fit on together; GPUs, or parts of the CPU.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS|FILE", help="Dask scheduler whose workers share the cells out; all reach the files."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Processes of this machine that share the cells out.")
]
BatchKey = Annotated[str | None, typer.Option(help="obs column of the technical batch.")]
Modalities = Annotated[str | None, typer.Option(metavar="NAME=KIND,...", help="Names in the file, as gex=rna,ab=adt.")]
Layer = Annotated[
    str | None,
    typer.Option(metavar="NAME|rna=NAME,...", help="Where the raw counts are: a layer, X or .raw; X by default."),
]
QueryLayer = Annotated[
    str | None,
    typer.Option(metavar="NAME|rna=NAME,...", help="Where the raw counts are; where the model's were by default."),
]
RoundCounts = Annotated[
    bool, typer.Option("--round", metavar="", help="Take fractional counts to the nearest whole numbers.")
]
KeepControls = Annotated[
    bool, typer.Option("--keep-controls", metavar="", help="Keep isotype controls and sample tags among proteins.")
]
LabelKey = Annotated[
    str | None, typer.Option(help="obs column of cell types, by which matches are judged; cell_type or the like.")
]
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
    from unisono.io.naming import named

    return named(name)


def layer_in(text: str | None) -> str | dict[str, str] | None:
    """`counts` as it is, `rna=counts,adt=X` as a dictionary."""
    if text is None or "=" not in text:
        return text
    pairs = [part.split("=") for part in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise bad_input("E053", "--layer", f"{text!r} is not NAME=LAYER,...", "as in --layer rna=counts,adt=X")
    return {name.strip(): place.strip() for name, place in pairs}


def files_in(words: list[str]) -> Path | dict[str, Path]:
    """One path, or modality → path from words like rna=FILE."""
    named = [_NAME_AND_FILE.fullmatch(word) for word in words]
    if len(words) == 1 and (named[0] is None or Path(words[0]).exists()):
        return Path(words[0])
    if not all(named):
        what = f"{len(words)} files, of which not all are named by what they hold."
        names = " ".join(f"NAME={word}" if match is None else word for word, match in zip(words, named, strict=True))
        raise bad_input("E053", "command line", what, f"name them, with NAME rna, adt or atac: {names}")
    files = {match["name"]: Path(match["file"]) for match in named if match}
    if len(files) < len(words):
        raise bad_input("E053", "command line", "a modality is named twice.", "give one file for each")
    return files


def paths_in(*words: list[str] | str | Path | None) -> list[Path]:
    """The files and folders that words of the command line name, as FILE or as NAME=FILE, where they are there."""
    single = [word for each in words if each is not None for word in (each if isinstance(each, list) else [each])]
    named = [_NAME_AND_FILE.fullmatch(str(word)) for word in single]
    both = [Path(word) for word in single] + [Path(match["file"]) for match in named if match]
    return [path for path in both if os.path.exists(path)]


def data_sets_in(words: list[str]) -> dict[str, Path]:
    """Name → path of several data sets, from words like FILE or NAME=FILE; nothing where the words are one data set.

    A data set without a name is called as its file is, after its folder where two files are called alike.
    """
    from unisono.io.naming import kind_of

    named = [_NAME_AND_FILE.fullmatch(word) if not Path(word).exists() else None for word in words]
    is_part = [match is not None and kind_of(match["name"]) is not None for match in named]
    if len(words) == 1 or all(is_part):
        return {}
    if any(is_part):
        what = f"{words[is_part.index(True)]} is one modality, next to files of several data sets."
        remedy = "join the modalities of each data set into one .h5mu (un.read(rna=..., adt=...).write), and name those"
        raise bad_input("E053", "command line", what, remedy)
    paths = [Path(match["file"] if match else word) for match, word in zip(named, words, strict=True)]
    stems = [stem_of(path) for path in paths]
    own = [
        stem if stems.count(stem) == 1 else f"{path.parent.name} {stem}"
        for path, stem in zip(paths, stems, strict=True)
    ]
    names = [match["name"] if match else name for match, name in zip(named, own, strict=True)]
    if len(set(names)) < len(names):
        what = f"two data sets are called {next(name for name in names if names.count(name) > 1)}."
        raise bad_input("E053", "command line", what, "give each a name of its own: NAME=FILE NAME=FILE")
    return dict(zip(names, paths, strict=True))


def stem_of(path: Path) -> str:
    """The name of a file or folder without the endings of its format."""
    return re.sub(r"\.(h5mu|h5ad|h5|zarr|csv|tsv|txt)(\.gz)?$", "", path.name)


_NAME_AND_FILE = re.compile(r"(?P<name>[A-Za-z][\w ]*)=(?P<file>.+)")


def label_of(words: list[str]) -> str:
    """What messages call the files: their names without folders."""
    files = files_in(words)
    return files.name if isinstance(files, Path) else " ".join(f"{name}={path.name}" for name, path in files.items())


def cells_in(words: list[str], modality: str | None = None, only: str | None = None) -> MuData:
    """The cells of files, with warnings of what could be wrong about the reading; `only` as of `open_data`."""
    from unisono.io.open import open_data
    from unisono.messages import warn

    mdata, findings = open_data(files_in(words), modality, only)
    warn(findings)
    return mdata


def training_cells_in(words: list[str], at_most: int) -> Any:
    """The cells of files to learn from: in memory, or, of a file of more cells than are to be held, by rows."""
    files = files_in(words)
    store = store_of_more(files, at_most) if isinstance(files, Path) else None
    return cells_in(words) if store is None else store


def queried_cells_in(model: Any, words: list[str], modality: str | None = None) -> Any:
    """The cells of files that a model is asked about: in memory, or, of more than it holds, by rows."""
    files = files_in(words)
    store = store_of_more(files, model.config.max_held_cells) if isinstance(files, Path) else None
    return query_in(model, words, modality) if store is None else store


def store_of_more(path: Path, at_most: int) -> Store | None:
    """The cells of a file by rows, where these can be read and are more than some; else None."""
    from unisono.io.store import is_read_by_rows, open_store

    if not is_read_by_rows(path):
        return None
    store = open_store(path)
    return store if len(store) > at_most else None


def file_by_rows(words: list[str]) -> Path:
    """The one file that several workers are to read by rows."""
    files = files_in(words)
    if isinstance(files, Path):
        return files
    what = f"{len(files)} files, of which workers cannot read the same rows."
    raise bad_input("E053", "command line", what, f"join them: unisono convert {' '.join(words)} -o CELLS.zarr")


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


def model_named(model: str, device: str, aliases: Path | None = None) -> Unisono:
    """The model of a folder, a name or an address, with the aliases of a file if one is given.

    The commit of an address that names none is said.
    """
    from unisono.api import load
    from unisono.hub.address import address_in, is_address

    found: Unisono = known_as(load(model, device=device), aliases)
    if is_address(model) and not address_in(model).is_pinned:
        say(f"model {found.record.origin}")
    return found


def model_and_cells(
    model: str, cells: list[str], device: str, aliases: Path | None = None, modality: str | None = None
) -> tuple[Unisono, MuData]:
    """A model as of `model_named`, and the cells of files.

    Of a file of several modalities only that one is read, if one is named.
    """
    fitted = model_named(model, device, aliases)
    return fitted, query_in(fitted, cells, modality)


def model_and_query(
    model: str, cells: list[str], device: str, aliases: Path | None = None, modality: str | None = None
) -> tuple[Unisono, MuData | Store]:
    """As `model_and_cells`, of more cells than the model holds by rows."""
    fitted = model_named(model, device, aliases)
    return fitted, queried_cells_in(fitted, cells, modality)


def query_in(model: Any, words: list[str], modality: str | None) -> MuData:
    """The cells of files that a model is asked about; of a file of several modalities only the one that is named."""
    only = None if model.record.modalities else modality  # whose names are then the user's own
    return cells_in(words, modality, only)


def config_of(preset: str, seed: int, path: Path | None) -> FitConfig:
    """The config of a preset and a seed, with the fields of a TOML file over them, if one is given."""
    from pydantic import ValidationError

    from unisono.config import FitConfig

    changes: dict[str, Any] = {}
    source_name = "config"
    if path is not None:
        import tomllib

        source_name = path.name or str(path)
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
        first, *others = error.errors()
        field = ".".join(str(part) for part in first["loc"])
        more = f" {len(others)} more fields are wrong." if others else ""
        what = f"{field}: {first['msg']} (given {str(first['input'])[:80]!r}).{more}"
        raise bad_input("E053", source_name, what, "correct it in --config or --seed") from error
    except ValueError as error:
        raise bad_input("E053", "--preset", f"{error}.", "see unisono fit --help") from error
