"""Interruption: what happens when a signal asks the command line to end; imports nothing heavy and computes nothing.

Python's own answer to Ctrl-C is an exception wherever the program happens to be: raised inside an import it surfaces as
any other error, or not at all. The command line therefore handles the signals itself. While modules are imported the
process ends at once; while networks are trained, after the running step; else by KeyboardInterrupt.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # which the module typing has as well, and takes ten times as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

INTERRUPTED = "interrupted; what was being written was removed"
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C, a request to end, a terminal that was closed, and what SLURM sends before the time is up."""
_SECONDS_OF_ONE_PRESS = 0.2
"""Within which a second SIGINT is the first one, told by another process of the same terminal too."""
_OF_IMPORTS = "<frozen importlib._bootstrap>"


class _State:
    """What was asked of this process.

    Attributes:
        number: of the first signal; 0 for none.
        since: when it came.
        n_handled: how many blocks answer the signals, one in the other.
        n_deferred: how many blocks that end after a step of their own run now.
        leftovers: files and folders that are removed where the process ends at once.
    """

    def __init__(self) -> None:
        self.number = 0
        self.since = 0.0
        self.n_handled = 0
        self.n_deferred = 0
        self.leftovers: set[Path] = set()


_state = _State()


def asked() -> int:
    """The number of the signal that asked this process to end; 0 for none."""
    return _state.number


def exit_code() -> int:
    """What an interrupted process ends with: 130 for SIGINT, 143 for SIGTERM, as shells have it."""
    return 128 + (_state.number or signal.SIGINT)


@contextmanager
def handled() -> Iterator[None]:
    """Answer the signals for as long as this lasts; those that are ignored, as under nohup, stay so."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) is not signal.SIG_IGN}
    _state.n_handled += 1
    for number in before:
        signal.signal(number, _answer)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _state.n_handled -= 1
        if not _state.n_handled:
            _state.number = 0


@contextmanager
def deferred() -> Iterator[None]:
    """A block that looks at `asked` itself, and ends where what it has done can be kept."""
    _state.n_deferred += 1
    try:
        yield
    finally:
        _state.n_deferred -= 1


@contextmanager
def leaving_nothing(path: Path) -> Iterator[None]:
    """A block during which a file or folder is removed if the process ends at once."""
    _state.leftovers.add(path)
    try:
        yield
    finally:
        _state.leftovers.discard(path)


def end_at_once(code: int, line: str = "") -> None:
    """End this process whatever it does, after a line, without the files that it was writing."""
    if line:
        with suppress(OSError):
            os.write(2, f"{line}\n".encode())
    for path in _state.leftovers:
        import shutil  # which who writes a file has imported

        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    os._exit(code)


def _answer(number: int, frame: FrameType | None) -> None:
    is_first = not _state.number
    if is_first:
        _state.number, _state.since = number, time.monotonic()
    if _is_importing(frame) and not _state.n_deferred:
        end_at_once(exit_code(), INTERRUPTED)
    if is_first and not _state.n_deferred:
        raise KeyboardInterrupt
    if not is_first and number == signal.SIGINT and time.monotonic() - _state.since > _SECONDS_OF_ONE_PRESS:
        end_at_once(exit_code(), INTERRUPTED)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _OF_IMPORTS:
            return True
        frame = frame.f_back
    return False
