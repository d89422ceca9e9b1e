"""Files and folders that appear whole or not at all; replaces what is there only with force."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from unisono.interruption import leaving_nothing
from unisono.messages import Finding, NoRoom, bad_input, typed

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
_BYTES_OF_A_NAME = 255
_MARK = 24
"""Bytes that temporary names add to a name."""


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
            E056 its folder is missing or not writable, or takes no name of that length.
    """
    target = Path(os.path.abspath(path))
    parent = target.parent
    require_name(target.name)
    if not os.path.isdir(parent):
        raise bad_input("E056", str(target), f"the folder {parent} does not exist.", f"create it: mkdir -p {parent}")
    if not os.access(parent, os.W_OK):
        raise bad_input("E056", str(target), f"the folder {parent} is not writable.", "choose another place")
    if os.path.lexists(target) and not force:
        raise bad_input(
            "E055",
            str(target),
            "exists already.",
            f"give {typed('force=True', '--force')} to replace it, or another name",
        )
    return target


def require_name(name: str) -> None:
    """Refuse a name of more bytes than a folder takes (E056)."""
    if len(os.fsencode(name)) > _BYTES_OF_A_NAME:
        what = f"a name of {len(os.fsencode(name))} bytes, of which folders take {_BYTES_OF_A_NAME}."
        raise bad_input("E056", f"{name[:40]}...", what, "give a shorter name")


def refuse_inputs(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse, whatever is to be replaced, an output that is an input, lies in the folder of one, or holds one.

    The same file is told by any of its names and links. Next to what a folder of another program holds, such as a
    matrix folder, a new file may be written.

    Raises:
        BadInput: E075.
    """
    target = Path(os.path.realpath(path))
    for read in inputs:
        place = Path(os.path.realpath(read))
        is_same = os.path.exists(target) and os.path.exists(place) and os.path.samefile(target, place)
        is_within = place in target.parents and (os.path.lexists(target) or _is_ours(place))
        if is_same or is_within or target in place.parents:
            relation = "is" if is_same else "lies in" if is_within else "holds"
            remedy = f"give another name; {typed('force', '--force')} does not help"
            raise bad_input("E075", str(path), f"the output {relation} the input {read}.", remedy)


def _is_ours(folder: Path) -> bool:
    """Whether a folder is a model, an index or a zarr folder, of which each file counts."""
    return any((folder / mark).is_file() for marks in _MARKS.values() for mark in marks)


def write_atomically(path: str | Path, writer: Writer, *, force: bool) -> None:
    """Call `writer` with a temporary path next to `path`, and rename what it wrote to `path` once it is on disk.

    Whatever goes wrong, `path` is as it was and the temporary file is gone.

    Raises:
        BadInput: E055, E056, see `refuse_existing`.
        NoRoom: E073 the disk is full; the message names the target and how much had been written.
    """
    target = refuse_existing(path, force)
    if os.path.lexists(target) and not (target.is_file() or target.is_symlink()):
        kind = "a folder" if target.is_dir() else "no file"
        raise bad_input("E055", str(target), f"{kind}, where a file is to be written.", "give another name")
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
        NoRoom: E073 the disk is full; the message names the target and how much had been written.
    """

    def write(folder: Path) -> None:
        folder.mkdir()
        writer(folder)

    _write_and_rename(refuse_existing_folder(path, force, kind), write, force, _swap)


def _write_and_rename(target: Path, writer: Writer, force: bool, rename: Callable[[Path, Path], None]) -> None:
    clean(target)
    temporary = target.with_name(f"{stem_of(target)}.tmp-{os.getpid()}")
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
    aside = target.with_name(f"{stem_of(target)}.old-{os.getpid()}")
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
    pattern = re.compile(re.escape(f"{stem_of(target)}.{kind}-") + r"(\d+)(?:\.\w+)?")
    found = ((entry, pattern.fullmatch(entry.name)) for entry in target.parent.iterdir())
    owned = [(entry, int(match[1])) for entry, match in found if match]
    return [entry for entry, owner in owned if owner == os.getpid() or not is_alive(owner)]


def clean(target: Path) -> None:
    """Remove what processes that are no more left next to a target; what was there only if something is again."""
    for kind in ("tmp", "old") if os.path.lexists(target) else ("tmp",):
        for entry in left_by_the_dead(target, kind):
            _remove(entry)


def stem_of(target: Path) -> str:
    """What hidden names next to the target open with: its own name, or, of a long one, a part and a hash of it."""
    name = os.fsencode(target.name)
    if len(name) + _MARK > _BYTES_OF_A_NAME:
        name = name[:128].decode(errors="ignore").encode() + b"~" + hashlib.sha256(name).hexdigest()[:16].encode()
    return f".{os.fsdecode(name)}"


def _explained(error: OSError, target: Path, temporary: Path) -> OSError:
    """The same error, or, where no more can be stored, one that says what was being written and how far it came."""
    number = next((n for n in _FULL if error.errno == n or f"errno = {n}," in str(error)), None)  # as HDF5 says it
    if number is None:
        return error
    written = 0
    with suppress(OSError):
        files = [temporary] if temporary.is_file() else list(temporary.rglob("*"))
        written = sum(file.stat().st_size for file in files if file.is_file())
    lacking, remedy = _lacking(number, target.parent)
    what = f"no room: stopped after {written:,} bytes, {lacking}; nothing was changed."
    return NoRoom(number, Finding("E073", str(target), what, remedy))


def _lacking(number: int, folder: Path) -> tuple[str, str]:
    """What a folder lacks for more to be stored in it, and the remedy."""
    if number == errno.EFBIG:
        return "a file may not be larger here", "raise the limit (ulimit -f), or write elsewhere"
    if number == errno.EDQUOT:
        return "your quota is used up", "delete files of yours, or write elsewhere"
    with suppress(OSError):
        disk = os.statvfs(folder)
        if disk.f_files and not disk.f_favail:
            return "no file can be added to this disk (0 inodes free)", "delete files, or write elsewhere"
        return f"{disk.f_bavail * disk.f_frsize:,} bytes free", "free space, or write elsewhere"
    return "the disk is full", "free space, or write elsewhere"


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
