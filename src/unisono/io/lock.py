"""Locks: a file next to an output that says which process is making it; a second one ends before it reads anything."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from unisono.interruption import leaving_nothing
from unisono.io.write import is_alive, refuse_existing
from unisono.messages import BadInput, bad_input


class Holder(BaseModel):
    """The process that holds a lock.

    Attributes:
        pid: its number.
        host: its machine.
        space: in which its number counts: of containers on one machine each has its own.
        born: when it started, in ticks since the machine did, with the number of that start; '' where that is unknown.
        since: when it took the lock, for the reader.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pid: Annotated[int, Field(gt=0)]
    host: str
    space: str
    born: str
    since: str

    @classmethod
    def own(cls) -> Holder:
        """This process."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(pid=os.getpid(), host=socket.gethostname(), space=_space(), born=_born(os.getpid()), since=since)

    @property
    def is_here(self) -> bool:
        """Whether its number says something on this machine."""
        return (self.host, self.space) == (socket.gethostname(), _space())

    @property
    def is_gone(self) -> bool:
        """Whether it is known to run no more: there is no such process, or another one that has its number."""
        return self.is_here and (not is_alive(self.pid) or _born(self.pid) != self.born)


def lock_of(target: str | Path) -> Path:
    """The lock of an output."""
    place = Path(os.path.abspath(target))
    return place.with_name(f".{place.name}.lock")


@contextmanager
def locked(target: str | Path) -> Iterator[None]:
    """Hold the lock of an output; that of a process which is no more is taken over.

    The lock is a link to a file that was written before, which only one of several processes can make, on a disk that
    machines share too.

    Raises:
        BadInput: E056 its folder cannot be written to, E076 another process holds it.
    """
    refuse_existing(target, force=True)
    lock = lock_of(target)
    draft = lock.with_name(f"{lock.name}-{os.getpid()}")
    draft.write_text(Holder.own().model_dump_json() + "\n", encoding="utf-8")
    with leaving_nothing(draft):
        try:
            _take(draft, lock, str(target))
        finally:
            draft.unlink(missing_ok=True)
    with leaving_nothing(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _take(draft: Path, lock: Path, target: str) -> None:
    """Make the lock, after putting that of a process which is no more out of the way."""
    if _linked(draft, lock):
        return
    holder = _holder(lock)
    if holder is not None and holder.is_gone:
        aside = lock.with_name(f"{draft.name}.stale")
        with suppress(FileNotFoundError):  # another process was faster
            os.rename(lock, aside)
            if _holder(aside) != holder:  # which then holds it
                _linked(aside, lock)
            aside.unlink()
        if _linked(draft, lock):
            return
        holder = _holder(lock)
    raise _refusal(lock, holder, target)


def _linked(draft: Path, lock: Path) -> bool:
    """Whether the lock could be made, of what was written before."""
    try:
        os.link(draft, lock)
    except FileExistsError:
        return False
    except OSError:  # a disk without links
        try:
            with lock.open("x", encoding="utf-8") as file:
                file.write(draft.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


def _holder(lock: Path) -> Holder | None:
    """Who holds a lock; None where it does not say."""
    try:
        return Holder.model_validate_json(lock.read_bytes())
    except (OSError, ValueError):
        return None


def _refusal(lock: Path, holder: Holder | None, target: str) -> BadInput:
    if holder is None:
        what, remedy = f"another process seems to write it: {lock} says no more.", f"if none does, rm {lock}"
    elif holder.is_here:
        what = f"process {holder.pid} of this machine has been writing it since {holder.since}."
        remedy = "wait for it, end it, or give another name with -o"
    else:
        what = f"process {holder.pid} on {holder.host} has been writing it since {holder.since}."
        remedy = f"wait for it, or give another name with -o; if it runs no more, rm {lock}"
    return bad_input("E076", target, what, remedy)


def _space() -> str:
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _born(pid: int) -> str:
    """When a process of this machine started; '' where that cannot be seen, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    is_running, ticks = fields[0] not in "ZX", fields[19]
    return f"{ticks} after {start}" if is_running else ""
