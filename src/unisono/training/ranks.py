"""Ranks: processes that train one model together, what they tell each other, and how they find each other."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist

from unisono.messages import InputWarning, RankError, bad_input
from unisono.training.processes import Process, process_in
from unisono.training.watch import RESUME, SECONDS_TO_TELL, Watch

_SECONDS_TO_COME = 600.0
"""In which all ranks have to come, from the first on: they may have read their data before."""
_LONGEST_WAIT = timedelta(hours=2)
"""Of one rank for another that is alive."""


@dataclass(frozen=True)
class Ranks:
    """The processes that fit one model, as seen by one of them; alone by default.

    Every rank holds the same data and the same weights, and computes its share of each step. What is decided, the first
    one decides.

    Attributes:
        rank: the number of this one, from 0.
        size: how many there are.
        device: name of this one's device; None for the one that was asked for.
    """

    rank: int = 0
    size: int = 1
    device: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether this one decides, writes and speaks."""
        return self.rank == 0

    def device_of(self, name: str) -> str:
        """The device of this rank, where the user asked for `name`."""
        return self.device or name

    def gathered(self, values: torch.Tensor) -> torch.Tensor:
        """Of all ranks, one after the other along the second axis; as many of each."""
        if self.size == 1:
            return values
        found = [torch.empty_like(values) for _ in range(self.size)]
        with _all_there():
            dist.all_gather(found, values.contiguous())
        return torch.cat(found, dim=1)

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, the same to the bit on each."""
        if self.size == 1:
            return values
        total = values.clone()
        with _all_there():
            dist.all_reduce(total)
        return total

    def from_first(self, values: Sequence[float]) -> list[float]:
        """Numbers of the first rank; those of the others are only counted."""
        if self.size == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64, device=self.device)
        with _all_there():
            dist.broadcast(told, src=0)
        return told.tolist()

    def require_equal(self, what: str, state: Mapping[str, torch.Tensor], *others: object) -> None:
        """Make sure that something is the same on all ranks, to the bit.

        Raises:
            RankError: it is not.
        """
        if self.size == 1:
            return
        own = torch.tensor([[_digest(state, *others)]], device=self.device)
        found = self.gathered(own)[0].tolist()
        differing = [str(rank) for rank, digest in enumerate(found) if digest != found[0]]
        if differing:
            names = f"rank{'s' if len(differing) > 1 else ''} {', '.join(differing)} of {self.size}"
            remedy = "give all ranks the same files and versions"
            raise RankError(f"{what} of {names} differ from those of rank 0: {remedy}.")

    def wait_for_all(self) -> None:
        """Return when every rank has come so far."""
        self.from_first([0.0])


ALONE = Ranks()


@contextmanager
def together(device: str = "auto") -> Iterator[Ranks]:
    """The ranks that this process belongs to, if a launcher says so; alone otherwise.

    While it lasts, a rank that dies or hangs ends the run within seconds; and all ranks leave together. Warnings about
    the input are the first one's. A script that has made a process group of its own is taken as it is.

    Raises:
        BadInput: E052 there are fewer devices than ranks, E053 the launcher's variables are incomplete.
        RankError: not all ranks came.
    """
    process = process_in(os.environ)
    if process is None and not (dist.is_available() and dist.is_initialized()):
        yield ALONE
        return
    if process is None:
        ranks, is_watched = Ranks(dist.get_rank(), dist.get_world_size(), device_of_rank(device, None)), True
    else:
        name = device_of_rank(device, process)
        group = _group(process, "nccl" if name.startswith("cuda") else "gloo")
        ranks, is_watched = Ranks(process.rank, process.n_ranks, name), group.is_watched
    with warnings.catch_warnings():
        if not ranks.is_first:
            warnings.simplefilter("ignore", InputWarning)
        if is_watched:
            yield ranks
            return
        with group.watched():
            yield ranks
            ranks.wait_for_all()


def device_of_rank(name: str, process: Process | None) -> str:
    """The device of a rank: of the CUDA devices of its machine one each, or the CPU for all.

    Raises:
        BadInput: E052 there are fewer of them than ranks on this machine, or one device was named for all ranks.
    """
    is_cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    if not is_cuda and name not in ("auto", "cpu"):
        what = f"{name!r} is one device, and each rank has its own."
        raise bad_input("E052", "device", what, 'use "auto", "cuda" or "cpu" with several devices')
    if not is_cuda:
        return "cpu"
    n_there = torch.cuda.device_count()
    n_ranks, local_rank = (process.n_local, process.local_rank) if process else (1, torch.cuda.current_device())
    if n_ranks > n_there:
        what = f"{n_ranks} ranks on this machine, but torch sees {n_there} CUDA devices."
        remedy = "use --device cpu" if n_there == 0 else f"start at most {n_there}, or use --device cpu"
        raise bad_input("E052", "device", what, remedy)
    return f"cuda:{local_rank}"


@dataclass(eq=False)
class _Group:
    """This process among the others.

    Attributes:
        process: this one.
        store: what they tell each other before tensors.
        n_watched: how often they were watched so far.
        is_watched: whether they are now.
    """

    process: Process
    store: Any
    n_watched: int = 0
    is_watched: bool = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the others for as long as this lasts; at its beginning all have to come."""
        watch, key = Watch(self.process), f"watch/{self.n_watched}"
        self.n_watched += 1
        try:
            if self.process.is_first:
                self.store.set(key, watch.listen())
            watch.start(self.store.get(key).decode(), _SECONDS_TO_COME)
        except (OSError, RuntimeError) as error:
            raise RankError(f"rank {self.process.rank}: {_first_line(error)}. {RESUME}") from error
        self.is_watched = True
        try:
            yield
        finally:
            self.is_watched = False
            watch.end()


@cache
def _group(process: Process, backend: str) -> _Group:
    """Join the process group, once in the life of a process.

    Raises:
        RankError: not all ranks came in time.
    """
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    keeps, patience = process.is_first and not process.is_hosted, timedelta(seconds=_SECONDS_TO_COME)
    try:
        store = TCPStore(process.address, process.port, process.n_ranks, keeps, patience, wait_for_workers=False)
        dist.init_process_group(
            backend,
            store=PrefixStore("ranks", store),
            rank=process.rank,
            world_size=process.n_ranks,
            timeout=_LONGEST_WAIT,
        )
    except (RuntimeError, ValueError) as error:
        what = f"rank {process.rank} of {process.n_ranks} did not find the others: {_first_line(error)}"
        raise RankError(what) from error
    return _Group(process, PrefixStore("watch", store))


@contextmanager
def _all_there() -> Iterator[None]:
    """Where a message fails because a rank is gone, let the watch name it first: it ends this process."""
    try:
        yield
    except RuntimeError as error:
        time.sleep(SECONDS_TO_TELL)
        raise RankError(f"a rank was lost: {_first_line(error)}. {RESUME}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _digest(state: Mapping[str, torch.Tensor], *others: object) -> int:
    """A number of 63 bits by which tensors, and what else is printed the same, are told apart."""
    found = hashlib.sha256(repr(others).encode())
    for name, value in state.items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return int.from_bytes(found.digest()[:8], "big") >> 1
