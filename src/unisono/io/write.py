"""Files and folders that appear whole or not at all; replaces what is there only with force."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from unisono.interruption import leaving_nothing
from unisono.messages import bad_input

MANIFEST = "manifest.json"
"""What makes a folder a model folder of ours."""

INDEX_DOCUMENT = "index.json"
"""What makes a folder an index of cells."""

STATE_DOCUMENT = "state.json"
"""What makes a folder a checkpoint."""

MODEL, INDEX, CHECKPOINT, ZARR = "model folder", "folder of an index", "checkpoint", "zarr folder"
"""Kinds of folders that are replaced by their like."""
ZARR_SUFFIX = ".zarr"
_MARKS = {
    MODEL: (MANIFEST,),
    INDEX: (INDEX_DOCUMENT,),
    CHECKPOINT: (STATE_DOCUMENT,),
    ZARR: (".zgroup", "zarr.json"),
}

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

    With `force` an old folder of the same kind changes places with the new one and is deleted last; another is never
    touched.

    Raises:
        BadInput: E055, E056, see `refuse_existing`; E055 also for a target that is not a folder of that kind.
        OSError: the disk is full; the message names the target and how much had been written.
    """

    def write(folder: Path) -> None:
        folder.mkdir()
        writer(folder)

    _write_and_rename(refuse_existing_folder(path, force, kind), write, force, _swap)


def _write_and_rename(target: Path, writer: Writer, force: bool, rename: Callable[[Path, Path], None]) -> None:
    clean(target)
    temporary = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    with leaving_nothing(temporary):
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
    """Whether a folder is of a kind; an index and a checkpoint have a manifest as well, and are no models."""
    has_mark = any((folder / mark).is_file() for mark in _MARKS[kind])
    return has_mark and not (kind == MODEL and (_is_of(folder, INDEX) or _is_of(folder, CHECKPOINT)))


def _swap(temporary: Path, target: Path) -> None:
    """Put a new folder in the place of an old one, which then has the temporary name, or is gone.

    The two change places in one step where the system can; elsewhere a process that is killed between two steps leaves
    the old one aside, from where `unisono.io.recovery` puts it back.
    """
    if not target.exists():
        os.rename(temporary, target)
        return
    if _exchanged(temporary, target):
        return
    aside = target.with_name(f".{target.name}.old-{os.getpid()}")
    os.rename(target, aside)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system, or the kind of disk, cannot do that."""
    if sys.platform != "linux":
        return False
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return not renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)


_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


def left_by_the_dead(target: Path, kind: str) -> list[Path]:
    """What processes that are no more left next to a target: `tmp`, what they were writing, or `old`, what was there.

    A process that has this one's number is no more, too.
    """
    pattern = re.compile(re.escape(f".{target.name}.{kind}-") + r"(\d+)(?:\.\w+)?")
    found = ((entry, pattern.fullmatch(entry.name)) for entry in target.parent.iterdir())
    owned = [(entry, int(match[1])) for entry, match in found if match]
    return [entry for entry, owner in owned if owner == os.getpid() or not is_alive(owner)]


def clean(target: Path) -> None:
    """Remove what processes that are no more left next to a target; what was there only if something is again."""
    for kind in ("tmp", "old") if os.path.lexists(target) else ("tmp",):
        for entry in left_by_the_dead(target, kind):
            _remove(entry)


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
