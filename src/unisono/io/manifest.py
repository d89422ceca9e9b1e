"""The integrity of a folder of files: a SHA-256 of each, written last and verified first; reads no weights."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unisono.io.container import existing
from unisono.io.documents import RESTORE, damaged, document, require_plausible, shown_text, told
from unisono.io.write import MANIFEST
from unisono.messages import BadInput, bad_input

FORMAT_VERSION = 1
"""Of the folder's layout; a newer one is refused, whatever it holds."""

_NEWEST = 10_000
"""Numbers above are no versions of a format."""
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".dill", ".joblib", ".ckpt")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=2**40)]


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format_version: Annotated[int, Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    files: Annotated[dict[str, _Entry], Field(max_length=100)]


def write_manifest(folder: Path) -> None:
    """Write manifest.json over all other files of a flat folder; nothing may change in it afterwards.

    Raises:
        ValueError: the folder holds something that is no plain file.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.name != MANIFEST)
    for name in names:
        if not (folder / name).is_file() or (folder / name).is_symlink():
            raise ValueError(f"{folder}: {name} is no plain file; a model folder is flat")
    files = {name: {"sha256": _sha256(folder / name), "size": (folder / name).stat().st_size} for name in names}
    document = {"format_version": FORMAT_VERSION, "files": files}
    (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def verify_manifest(folder: str | Path) -> None:
    """Make sure that a folder holds the files that were written to it, and nothing else.

    Raises:
        BadInput: E001 no such folder, E047 a file or a pickle, E048 a newer format, E049 a file missing, changed or
            added, E054 a name or link that leads out of the folder, or what is no plain file.
    """
    place = existing(Path(folder))
    if not place.is_dir():
        what = "is a file: refuses pickle; a model is a folder of JSON and safetensors."
        raise bad_input("E047", str(place), what, "give the folder that save() wrote")
    found = _plain_files(place)
    manifest = _read(place)
    _refuse_pickles(place, [*found, *manifest.files])
    problems = _differences(place, manifest, found)
    if problems:
        more = f" (and {len(problems) - 5:,} more)" if len(problems) > 5 else ""
        raise bad_input("E049", str(place), f"{'; '.join(problems[:5])}{more}.", RESTORE)


def require_files(folder: Path, names: tuple[str, ...], kind: str) -> None:
    """Make sure that a folder holds the files of a kind, and no others.

    Raises:
        BadInput: E049, one is missing, or there is another.
    """
    for name in names:
        if not (folder / name).is_file():
            what = f"no {name}: not {kind}."
            raise bad_input("E049", str(folder), what, f"give the folder of {kind} as it was written")
    for entry in folder.iterdir():
        if entry.name not in (*names, MANIFEST):
            raise damaged(folder, entry.name, "", f"is no file of {kind}")


def _plain_files(folder: Path) -> list[str]:
    """Names of the files but the manifest, folders with a stroke behind."""
    entries = sorted(folder.iterdir())
    for entry in entries:
        mode = entry.lstat().st_mode
        if stat.S_ISLNK(mode):
            raise _escapes(folder, f"{shown_text(entry.name)} is a link; refuses to follow it.")
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise _escapes(folder, f"{shown_text(entry.name)} is a device, pipe or socket; refuses to open it.")
    return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if entry.name != MANIFEST]


def _read(folder: Path) -> _Manifest:
    if not (folder / MANIFEST).is_file():
        what = f"no {MANIFEST}: not a model folder, or its writing was interrupted."
        raise bad_input("E049", str(folder), what, "give the folder that save() wrote")
    found = document(folder, MANIFEST)
    _refuse_newer(folder, found)
    _refuse_escapes(folder, found)
    try:
        return _Manifest.model_validate(found)
    except ValidationError as error:
        raise damaged(folder, MANIFEST, *told(error)) from error


def _refuse_newer(folder: Path, found: Any) -> None:
    version = found.get("format_version") if isinstance(found, dict) else None
    if type(version) is int and FORMAT_VERSION < version <= _NEWEST:
        what = f"written in format {version}, this package reads up to {FORMAT_VERSION}."
        raise bad_input("E048", str(folder), what, "upgrade: pip install -U unisono")


def _refuse_escapes(folder: Path, found: Any) -> None:
    """Refuse names that are no plain ones, or that some file systems take for each other."""
    files = found.get("files") if isinstance(found, dict) else None
    names = list(files) if isinstance(files, dict) else []
    for name in names:
        if name in ("", ".", "..", MANIFEST) or not _LETTERS.issuperset(name) or len(name) > 255:
            raise _escapes(folder, f"{MANIFEST} names {shown_text(ascii(name))}, which is no plain file name.")
    if len({name.casefold() for name in names}) < len(names):
        raise _escapes(folder, f"{MANIFEST} names two files that differ in upper and lower case alone.")


def _escapes(folder: Path, what: str) -> BadInput:
    return bad_input("E054", str(folder), what, RESTORE)


def _refuse_pickles(folder: Path, names: list[str]) -> None:
    for name in names:
        if name.casefold().endswith(_PICKLES):
            what = f"{shown_text(name)}: refuses pickle; a model is a folder of JSON and safetensors."
            raise bad_input("E047", str(folder), what, "give the folder that save() wrote")


def _differences(folder: Path, manifest: _Manifest, found: list[str]) -> list[str]:
    problems = [f"{name} is missing" for name in manifest.files if name not in found]
    problems += [f"{shown_text(name)} is not in the manifest" for name in found if name not in manifest.files]
    there = {name: entry for name, entry in manifest.files.items() if name in found}
    sizes = {name: (folder / name).stat().st_size for name in there}
    problems += [
        f"{name} has {sizes[name]} bytes, expected {entry.size}"
        for name, entry in there.items()
        if sizes[name] != entry.size
    ]
    if problems:
        return problems
    for name in there:
        require_plausible(folder, name)
    return [f"{name} sha256 mismatch" for name, entry in there.items() if _sha256(folder / name) != entry.sha256]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
