"""Endings: the line and the exit code of a run that did not end well, whatever was raised; ends nothing itself."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from unisono.cli.console import one_line
from unisono.messages import BadInput, Finding, NoRoom, RankError

DEBUG = "UNISONO_DEBUG"
"""Environment variable; 1 shows where an error was raised."""

_MAX_LETTERS = 300
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_A_NAME = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL),
)
"""Errors that another path, or other rights to it, would not have: the input."""
_FEWER = (
    "give fewer cells at a time, or have them read by rows: unisono convert FILE -o CELLS.zarr, then give CELLS.zarr"
)
_SMALLER = "unisono convert DATA -o CELLS.zarr, then fit CELLS.zarr with a small max_held_cells in --config"
_REPORT = "please report it; UNISONO_DEBUG=1 shows where"


@dataclass(frozen=True)
class Ending:
    """The one line that a user reads, and the code that the shell sees: 2 for what was given, 1 for all else."""

    code: int
    line: str


def ending_of(error: Exception, words: Sequence[str]) -> Ending:
    """How a run ends that was started with these words and raised this."""
    from unisono.io.memory import has_run_out

    command = words[0] if words else ""
    match error:
        case BadInput():
            return Ending(2, str(error))
        case RankError() | NoRoom():
            return Ending(1, str(error))
        case BrokenPipeError():
            return Ending(1, str(Finding("E074", "stdout", "its reader is gone.", "read all that is printed")))
        case _ if has_run_out(error):
            what = f"there was not enough of it ({_told(error)})."
            return Ending(1, str(Finding("E051", "memory", what, _SMALLER if command == "fit" else _FEWER)))
        case OSError():
            return _of_system(error)
        case _:
            what = f"{type(error).__name__}: {_told(error)}"
            return Ending(1, str(Finding("E099", "unexpected", what, _REPORT)))


def _of_system(error: OSError) -> Ending:
    """What the system refused: the path that it names, or what is printed."""
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    if error.errno in _NO_ROOM:
        what = f"no room to write ({error.strerror})."
        return Ending(1, str(Finding("E073", where or "stdout", what, "free space, or write elsewhere")))
    code = 2 if where and error.errno in _OF_A_NAME else 1
    what = f"cannot be read or written ({error.strerror or _told(error)})."
    return Ending(code, str(Finding("E074", where or "system", what, "check the path, its permissions and the disk")))


def _told(error: BaseException) -> str:
    text = one_line(str(error)) or type(error).__name__
    return text if len(text) <= _MAX_LETTERS else f"{text[:_MAX_LETTERS]}..."


def show_traceback(error: Exception) -> None:
    """Where it was raised, if that is asked for."""
    if os.environ.get(DEBUG, "0") not in ("", "0") and sys.stderr is not None:
        traceback.print_exception(error)


def drop_unwritten() -> None:
    """Let what stdout does not take be dropped, of which Python would complain at its end."""
    with suppress(OSError, ValueError, AttributeError):
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
