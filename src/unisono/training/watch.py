"""The watch: a thread by which ranks notice within seconds that one of them died or hangs; it knows no tensor.

Every rank has a connection to the first one, over which both send a byte twice a second. A connection that closes is a
process that ended; silence is one that was stopped, hangs or is cut off. A process that computes without letting this
thread run is silent too: where it is on the same machine, the time it spent on the CPU tells it from one that hangs.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from unisono.interruption import end_at_once
from unisono.training.processes import Process

_INTERVAL = 0.5
_SECONDS_OF_SILENCE = 5.0
_SECONDS_FOR_THE_LAUNCHER = 2.0
"""In which our own launcher says why the run ends, so that no rank has to."""
SECONDS_TO_TELL = _SECONDS_OF_SILENCE + _SECONDS_FOR_THE_LAUNCHER
"""After which a rank that is lost has been told, and the run has ended."""
_MIN_WAIT = 0.01
"""Seconds for a connection where hardly any are left."""
_BYTES = 4096
_ALIVE, _DONE, _LOST = b".", b"d", b"!"

RESUME = "The run ends; --resume continues from the last checkpoint"


def end_run(line: str) -> None:
    """Say a line, if there is one, and end this process, whatever its other threads wait for."""
    end_at_once(1, line)


class Watch:
    """Of one process on the others of its run, from `start` on until `end`."""

    def __init__(self, process: Process, lost: Callable[[str], None] = end_run) -> None:
        self._process = process
        self._lost = lost
        self._links: dict[int, _Link] = {}
        self._ended = threading.Event()
        self._server: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def listen(self) -> str:
        """Open the first rank's port; what the others have to know to find it."""
        try:
            self._server = socket.create_server((self._process.address, 0))
        except OSError:  # the address that others see is not one of this machine
            self._server = socket.create_server(("", 0))
        self._token = secrets.token_hex()
        return json.dumps([self._server.getsockname()[1], self._token])

    def start(self, found: str, seconds: float) -> None:
        """Begin, once every rank is connected to the first, which told `found`.

        Raises:
            TimeoutError: some ranks have not come in time.
        """
        if self._server:
            with self._server as server:
                self._accept(server, seconds)
        else:
            port, token = json.loads(found)
            connection = socket.create_connection((self._process.address, port), timeout=seconds)
            connection.sendall((json.dumps([token, self._process.rank, *_identity()]) + "\n").encode())
            name, pid = json.loads(_line(connection))
            self._links[0] = _Link(connection, f"rank 0 of {self._process.n_ranks}", name, pid)
        self._thread.start()

    def end(self) -> None:
        """Stop watching; to be called when all ranks have done so much that none of them is needed any more."""
        self._ended.set()
        self._thread.join()
        for link in self._links.values():
            link.send(_DONE)
            link.close()

    def _accept(self, server: socket.socket, seconds: float) -> None:
        until, n_ranks = time.monotonic() + seconds, self._process.n_ranks
        while len(self._links) < n_ranks - 1:
            server.settimeout(max(until - time.monotonic(), _MIN_WAIT))
            try:
                connection, _ = server.accept()
            except TimeoutError as error:
                missing = ", ".join(str(rank) for rank in range(1, n_ranks) if rank not in self._links)
                raise TimeoutError(f"of {n_ranks} ranks, {missing} did not come within {seconds:.0f} s") from error
            connection.settimeout(max(until - time.monotonic(), _MIN_WAIT))
            token, rank, name, pid = _hello(connection)
            if token == self._token:
                connection.sendall((json.dumps(_identity()) + "\n").encode())
                self._links[rank] = _Link(connection, f"rank {rank} of {n_ranks}", name, pid)
            else:
                connection.close()

    def _run(self) -> None:
        launcher = self._process.launcher
        while not self._ended.wait(_INTERVAL):
            if launcher is not None and os.getppid() != launcher:
                self._lost("")  # the launcher is gone, and nobody is there to be told
                return
            for rank, link in list(self._links.items()):
                word = link.look()
                if word == "done":
                    self._links.pop(rank).close()
                elif word:
                    self._tell(rank, word)
                    return

    def _tell(self, rank: int, word: str) -> None:
        """End the run: the first rank tells the others, the second one tells of the first."""
        is_told = word == "told"
        for other, link in self._links.items():
            if other != rank:
                link.send(_LOST)
        if self._process.launcher is not None:
            self._ended.wait(_SECONDS_FOR_THE_LAUNCHER)
        tells = not is_told and (self._process.is_first or self._process.rank == 1)
        self._lost(f"{word} {RESUME}" if tells else "")


@dataclass(eq=False)
class _Link:
    """The connection to another process.

    Attributes:
        connection: to it.
        rank: what messages call it.
        machine: where it runs.
        pid: its number there.
        silent: seconds without a sign of life.
        cpu: time that it had spent on the CPU, in ticks, where that can be seen.
    """

    connection: socket.socket
    rank: str
    machine: str
    pid: int
    silent: float = 0.0
    cpu: int | None = None
    seen: float = 0.0

    def __post_init__(self) -> None:
        self.connection.setblocking(False)
        self.seen = time.monotonic()

    def look(self) -> str:
        """Send a sign of life and look for one: '' where there is one, 'done', 'told', or what is wrong."""
        name = f"{self.rank} (process {self.pid} on {self.machine.split(' ')[0]})"
        told = self._received()
        if told is not None and (_DONE in told or _LOST in told):
            return "done" if _DONE in told else "told"
        if told is None or not self.send(_ALIVE):
            return f"{name} was killed or ended before the others."
        now, cpu = time.monotonic(), _cpu_ticks(self.pid) if self.machine == _identity()[0] else None
        is_alive = bool(told) or cpu != self.cpu
        # of a gap in this thread's own time, as when a whole run is suspended, one interval counts
        self.silent = 0.0 if is_alive else self.silent + min(now - self.seen, 2 * _INTERVAL)
        self.seen, self.cpu = now, cpu
        if self.silent < _SECONDS_OF_SILENCE:
            return ""
        return f"{name} gives no sign of life: it was stopped, hangs or is cut off."

    def send(self, word: bytes) -> bool:
        """Whether there was somebody to send it to."""
        try:
            self.connection.send(word)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def close(self) -> None:
        self.connection.close()

    def _received(self) -> bytes | None:
        """What came since the last look; None where the connection is closed."""
        try:
            return self.connection.recv(_BYTES) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None


def _hello(connection: socket.socket) -> tuple[str, int, str, int]:
    """The word, rank, machine and process of who connects; no word where these are not told."""
    try:
        token, rank, name, pid = json.loads(_line(connection))
    except (OSError, TypeError, ValueError):
        return "", 0, "", 0
    return token, rank, name, pid


def _line(connection: socket.socket) -> str:
    """Up to the end of a line, and not a byte more."""
    found = bytearray()
    while not found.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return ""
        found += byte
    return found.decode()


def _identity() -> tuple[str, int]:
    """The machine, with its space of process numbers, and this process's number."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}", os.getpid()


def _cpu_ticks(pid: int) -> int | None:
    """Time that a process of this machine spent on the CPU; None where that cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    user, system = fields[11:13]
    return int(user) + int(system)
