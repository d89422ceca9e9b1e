"""Files and folders that appear whole or not at all; replaces what is there only with force."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from unisono.messages import bad_input

MANIFEST = "manifest.json"
"""What makes a folder a model folder of ours."""

INDEX_DOCUMENT = "index.json"
"""What makes a folder an index of cells."""

MODEL, INDEX, ZARR = "model folder", "folder of an index", "zarr folder"
"""Kinds of folders that are replaced by their like."""
ZARR_SUFFIX = ".zarr"
_MARKS = {MODEL: (MANIFEST,), INDEX: (INDEX_DOCUMENT,), ZARR: (".zgroup", "zarr.json")}

Writer = Callable[[Path], None]
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_alive(process: int) -> bool:
    """Whether there is a process of this number, ours to signal or not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def refuse_existing(path: str | Path, force: bool) -> Path:
    """The target as a path, once it is clear that it may be written; call it before the work starts.

    Raises:
        BadInput: E055 the target exists and `force` is False, or is not a kind of thing that is ever replaced;
            E056 its folder is missing or not writable.
    """
    target = Path(os.path.abspath(path))
    parent = target.parent
    if not parent.is_dir():
        raise bad_input("E056", str(target), f"the folder {parent} does not exist.", f"create it: mkdir -p {parent}")
    if not os.access(parent, os.W_OK):
        raise bad_input("E056", str(target), f"the folder {parent} is not writable.", "choose another place")
    if os.path.lexists(target) and not force:
        raise bad_input("E055", str(target), "exists already.", "give --force to replace it, or another name")
    return target


def write_atomically(path: str | Path, writer: Writer, *, force: bool) -> None:
    """Call `writer` with a temporary path next to `path`, and rename what it wrote to `path` once it is on disk.

    Whatever goes wrong, `path` is as it was and the temporary file is gone.

    Raises:
        BadInput: E055, E056, see `refuse_existing`.
        OSError: the disk is full; the message names the target and how much had been written.
    """
    target = refuse_existing(path, force)
    if target.is_dir():
        raise bad_input("E055", str(target), "a folder, where a file is to be written.", "give another name")
    _write_and_rename(target, writer, force, os.replace)


def write_json(path: Path, document: object) -> None:
    """Write a document as JSON, replacing what is there."""

    def write(place: Path) -> None:
        place.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    write_atomically(path, write, force=True)


def write_folder_atomically(path: str | Path, writer: Writer, *, force: bool, kind: str = MODEL) -> None:
    """Call `writer` with a new temporary folder next to `path`, and rename it to `path` once all of it is on disk.

    With `force` an old folder of the same kind is renamed aside first and deleted last; another is never touched.

    Raises:
        BadInput: E055, E056, see `refuse_existing`; E055 also for a target that is not a folder of that kind.
        OSError: the disk is full; the message names the target and how much had been written.
    """

    def write(folder: Path) -> None:
        folder.mkdir()
        writer(folder)

    _write_and_rename(refuse_existing_folder(path, force, kind), write, force, _swap)


def _write_and_rename(target: Path, writer: Writer, force: bool, rename: Callable[[Path, Path], None]) -> None:
    temporary = _temporary(target)
    try:
        writer(temporary)
        _sync_tree(temporary)
        refuse_existing(target, force)
        rename(temporary, target)
    except OSError as error:
        raise _explained(error, target, temporary) from error
    finally:
        _remove(temporary)
    _sync(target.parent)


def refuse_existing_folder(path: str | Path, force: bool, kind: str = MODEL) -> Path:
    """As `refuse_existing`, for a folder of a kind: with `force`, too, no other is ever replaced (E055)."""
    target = refuse_existing(path, force)
    is_free = not os.path.lexists(target)
    is_ours = target.is_dir() and not target.is_symlink() and _is_of(target, kind)
    if not (is_free or is_ours):
        found = next((one for one in _MARKS if target.is_dir() and _is_of(target, one)), None)
        why = f"it has no {_MARKS[kind][0]}" if found is None else f"it is a {found}"
        what = f"not a {kind} ({why}), so it is not replaced."
        raise bad_input("E055", str(target), what, "give another name, or remove it yourself")
    return target


def _is_of(folder: Path, kind: str) -> bool:
    """Whether a folder is of a kind; an index has a manifest as well, and is no model."""
    has_mark = any((folder / mark).is_file() for mark in _MARKS[kind])
    return has_mark and not (kind == MODEL and (folder / INDEX_DOCUMENT).is_file())


def _swap(temporary: Path, target: Path) -> None:
    if not target.exists():
        os.rename(temporary, target)
        return
    aside = target.with_name(f".{target.name}.old-{os.getpid()}")
    os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside)


def _temporary(target: Path) -> Path:
    """A free name next to the target; what dead processes left under such names is removed."""
    pattern = re.compile(re.escape(f".{target.name}.tmp-") + r"(\d+)(?:\.\w+)?")
    for entry in target.parent.iterdir():
        owner = pattern.fullmatch(entry.name)
        if owner and (int(owner[1]) == os.getpid() or not is_alive(int(owner[1]))):
            _remove(entry)
    return target.with_name(f".{target.name}.tmp-{os.getpid()}")


def _explained(error: OSError, target: Path, temporary: Path) -> OSError:
    """The same error, or, where no more can be stored, one that says what was being written and how far it came."""
    is_full = error.errno in _FULL or any(f"errno = {number}," in str(error) for number in _FULL)  # as HDF5 says it
    if not is_full:
        return error
    with suppress(OSError):
        files = [temporary] if temporary.is_file() else list(temporary.rglob("*"))
        written = sum(file.stat().st_size for file in files if file.is_file())
        free = shutil.disk_usage(target.parent).free
        what = f"no room for {target}: stopped after {written:,} bytes, {free:,} bytes free; nothing was changed"
        return OSError(error.errno or errno.ENOSPC, f"{what}. Fix: free space or write elsewhere")
    return error


def _sync_tree(place: Path) -> None:
    if place.is_file():
        _sync(place)
    for folder, _, files in os.walk(place):
        for name in files:
            _sync(Path(folder) / name)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
