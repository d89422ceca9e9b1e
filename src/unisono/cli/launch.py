"""Launch: the same command as several processes of this machine, and one line on what ended them; fits nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from unisono.cli.console import say
from unisono.interruption import exit_code, handled
from unisono.messages import bad_input
from unisono.training.processes import LAUNCHER, process_in
from unisono.training.watch import RESUME

_INTERVAL = 0.05
_SECONDS_OF_STOP = 3.0
"""In which a stopped rank may be continued, as when a whole run is suspended and taken up in a terminal."""
_SECONDS_TO_END = 1.0
"""For a rank to end of its own before it is killed: another rank with the same error, or one that was asked to."""
_SECONDS_TO_SAVE = 30.0
"""For a rank that was asked to end: for its step and the checkpoint."""
_OF_SIGNALS = 128
"""To which the exit code of a process that was asked to end adds the signal's number."""


@dataclass(eq=False)
class _Rank:
    """A process that this one started.

    Attributes:
        process: it.
        name: what messages call it.
        errors: what it wrote to stderr; None for the first, which writes to ours.
        stopped: when it was seen to be stopped; None while it runs.
    """

    process: subprocess.Popen[bytes]
    name: str
    errors: IO[bytes] | None
    stopped: float | None = None

    @property
    def code(self) -> int | None:
        """As of `subprocess`, of one that ended: negative where a signal killed it."""
        return self.process.poll()

    def is_hung(self) -> bool:
        """Whether it was stopped, and not continued for seconds; other ways to hang are told by the watch of ranks."""
        if sys.platform != "linux" or self.process.returncode is not None:
            return False
        try:
            change = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:  # it has just ended
            return False
        if change is not None:
            self.stopped = time.monotonic() if change.si_code == os.CLD_STOPPED else None
        return self.stopped is not None and time.monotonic() - self.stopped > _SECONDS_OF_STOP

    def written(self) -> str:
        """What it wrote to stderr, if that was kept."""
        if self.errors is None:
            return ""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace").strip()


def starts_ranks(n_ranks: int) -> bool:
    """Whether this process is to start the ranks, rather than being one of them.

    Raises:
        BadInput: E053 another launcher has started another number of them.
    """
    process = process_in(os.environ)
    if process is None or n_ranks in (1, process.n_ranks):
        return process is None and n_ranks > 1
    what = f"--devices {n_ranks}, but {process.n_ranks} ranks were started."
    raise bad_input("E053", "command line", what, "leave --devices out, or start as many")


def run_ranks(n_ranks: int, command: Sequence[str] | None = None) -> int:
    """Run the command that was typed, or another one, as ranks; the exit code, after a line where one did not end well.

    All end when one does not end well. None outlives this process: they look for it, and when it is interrupted it asks
    them to save what they have, and to end.
    """
    ranks: list[_Rank] = []
    seconds = _SECONDS_TO_END
    with handled():
        try:
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(n_ranks)}
            for rank in range(n_ranks):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(n_ranks)}
                ranks.append(_started(f"rank {rank} of {n_ranks}", own | address, command, is_first=rank == 0))
            return _outcome(ranks)
        except KeyboardInterrupt:
            seconds = _SECONDS_TO_SAVE
            return exit_code()
        finally:
            _end(ranks, seconds)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _started(name: str, variables: dict[str, str], command: Sequence[str] | None, *, is_first: bool) -> _Rank:
    """A rank in this process group, so that a terminal stops and continues them together, but that ignores Ctrl-C."""
    errors = None if is_first else tempfile.TemporaryFile()  # noqa: SIM115  # closed with the rank
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a new process keeps
    try:
        process = subprocess.Popen(
            command or [sys.executable, "-m", "unisono.cli", *sys.argv[1:]],
            env=loopback | os.environ | variables | {LAUNCHER: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=None if is_first else subprocess.DEVNULL,
            stderr=errors,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    return _Rank(process, f"{name} (process {process.pid})", errors)


def _outcome(ranks: Sequence[_Rank]) -> int:
    """Wait until all have ended well, or one has not; the exit code of the run."""
    while any(rank.code is None for rank in ranks):
        hung = next((rank for rank in ranks if rank.is_hung()), None)
        if hung is not None:
            say(f"{hung.name} was stopped and does not go on. {RESUME}")
            return 1
        if any(rank.code for rank in ranks):
            break
        time.sleep(_INTERVAL)
    return _failure(ranks)


def _failure(ranks: Sequence[_Rank]) -> int:
    """The exit code of ranks of which one has failed, after the line that the first one has not written itself."""
    killed = next((rank for rank in ranks if (rank.code or 0) < 0), None)
    if killed is not None:
        name = signal.Signals(-(killed.code or 0)).name
        say(f"{killed.name} was killed by {name}. {RESUME}")
        return 1
    until = time.monotonic() + _SECONDS_TO_END
    while time.monotonic() < until and any(rank.code is None for rank in ranks):
        time.sleep(_INTERVAL)
    failed = next((rank for rank in ranks if rank.code), None)
    if failed is None or failed.code is None:
        return 0
    if failed.code > _OF_SIGNALS:  # it was asked to end, and so have all
        return failed.code
    if failed.errors is not None:
        say(failed.written() or f"{failed.name} ended with {failed.code}. {RESUME}")
    return 2 if failed.code == 2 else 1


def _end(ranks: Sequence[_Rank], seconds: float) -> None:
    """End those that still run, which have so long to do it themselves; a stopped one cannot."""
    for rank in ranks:
        if rank.code is None:
            rank.process.terminate()
    until = time.monotonic() + seconds
    for rank in ranks:
        try:
            rank.process.wait(max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            rank.process.kill()
            rank.process.wait()
        if rank.errors is not None:
            rank.errors.close()
    if ranks and sys.stderr.isatty():
        print("\x1b[?25h", end="", file=sys.stderr, flush=True)  # noqa: T201  # the cursor, which a bar hides
