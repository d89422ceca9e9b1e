"""What work takes: wall time, processor time and peak memory of this process; never judges it."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")

_STATUS, _PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Cost(BaseModel):
    """Wall seconds, and processor seconds, user and system, of all threads and of children that have ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    cpu_seconds: float

    def plus(self, other: Cost) -> Cost:
        """Both, one after the other."""
        return Cost(seconds=self.seconds + other.seconds, cpu_seconds=self.cpu_seconds + other.cpu_seconds)


class Costs(BaseModel):
    """What a run took; reading the data and judging the answers are left out.

    Attributes:
        fit: learning; None where it cannot be told from answering, as for a peer.
        answer: all predictions, and vectors and soft posterior of each pair of modalities in the headline setting.
        total: both.
        peak_bytes: most memory held at a time, the training and test cells among it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: Cost | None
    answer: Cost | None
    total: Cost
    peak_bytes: int


def measured(work: Callable[[], T]) -> tuple[T, Cost]:
    """The result of some work and what it cost."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    result = work()
    return result, Cost(seconds=time.perf_counter() - wall, cpu_seconds=_cpu_seconds() - cpu)


def forget_peak() -> None:
    """Let `peak_bytes` count from now on, where the system can (Linux); what is held now still counts."""
    with suppress(OSError):
        _PEAK_RESET.write_text("5")


def peak_bytes() -> int:
    """The most memory that this process held: VmHWM where there is one, for ru_maxrss may be that of its parent."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
