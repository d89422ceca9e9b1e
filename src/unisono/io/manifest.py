"""The integrity of a model folder: a SHA-256 of every file, written last and verified first; reads no weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unisono.io.container import existing
from unisono.io.write import MANIFEST
from unisono.messages import bad_input

FORMAT_VERSION = 1
"""Of the folder's layout; a newer one is refused, whatever it holds."""

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".dill", ".joblib", ".ckpt")
_RESTORE = "copy the model again from its origin, or save it again"


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int
    files: dict[str, _Entry]


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
    """Make sure that a model folder holds the files that were written to it, and nothing else; opens none of them.

    Raises:
        BadInput: E001 no such folder, E047 a file or a pickle, E048 a newer format, E049 a file missing, changed or
            added, E054 a name or link that leads out of the folder.
    """
    place = existing(Path(folder))
    if not place.is_dir():
        what = "is a file: refuses pickle; a model is a folder of JSON and safetensors."
        raise bad_input("E047", str(place), what, "give the folder that save() wrote")
    found = _plain_files(place)
    manifest = _read(place)
    _refuse_escapes(place, list(manifest.files))
    _refuse_pickles(place, [*found, *manifest.files])
    problems = _differences(place, manifest, found)
    if problems:
        raise bad_input("E049", str(place), f"{'; '.join(problems)}.", _RESTORE)


def _plain_files(folder: Path) -> list[str]:
    entries = sorted(folder.iterdir())
    for entry in entries:
        if entry.is_symlink():
            raise bad_input("E054", str(folder), f"{entry.name} is a link; refuses to follow it.", _RESTORE)
    return [f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if entry.name != MANIFEST]


def _read(folder: Path) -> _Manifest:
    if not (folder / MANIFEST).is_file():
        what = f"no {MANIFEST}: not a model folder, or its writing was interrupted."
        raise bad_input("E049", str(folder), what, "give the folder that save() wrote")
    try:
        document: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except ValueError as error:
        raise bad_input("E049", str(folder), f"{MANIFEST} is not JSON ({error}).", _RESTORE) from error
    _refuse_newer(folder, document)
    try:
        return _Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{MANIFEST}: {'.'.join(map(str, first['loc']))}: {first['msg']}."
        raise bad_input("E049", str(folder), what, _RESTORE) from error


def _refuse_newer(folder: Path, document: Any) -> None:
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        what = f"written in format {version}, this package reads up to {FORMAT_VERSION}."
        raise bad_input("E048", str(folder), what, "upgrade: pip install -U unisono")


def _refuse_escapes(folder: Path, names: list[str]) -> None:
    for name in names:
        if name in ("", ".", "..", MANIFEST) or any(mark in name for mark in ("/", "\\", "\0", ":")):
            raise bad_input("E054", str(folder), f"{MANIFEST} names {name!r}, which is no plain file name.", _RESTORE)


def _refuse_pickles(folder: Path, names: list[str]) -> None:
    for name in names:
        if name.casefold().endswith(_PICKLES):
            what = f"{name}: refuses pickle; a model is a folder of JSON and safetensors."
            raise bad_input("E047", str(folder), what, "give the folder that save() wrote")


def _differences(folder: Path, manifest: _Manifest, found: list[str]) -> list[str]:
    problems = [f"{name} is missing" for name in manifest.files if name not in found]
    problems += [f"{name} is not in the manifest" for name in found if name not in manifest.files]
    for name, entry in manifest.files.items():
        if name not in found:
            continue
        size = (folder / name).stat().st_size
        if size != entry.size:
            problems.append(f"{name} has {size} bytes, expected {entry.size}")
        elif _sha256(folder / name) != entry.sha256:
            problems.append(f"{name} sha256 mismatch")
    return problems


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
