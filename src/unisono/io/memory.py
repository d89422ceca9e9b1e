"""Memory: what is free, what a file would take, and whether an error says that it ran out; reads no count."""

from __future__ import annotations

import errno
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from unisono.messages import bad_input

_RAN_OUT = re.compile(
    r"can't allocate|cannot allocate|could not allocate|unable to allocate|failed to map segment|out of memory"
    r"|not enough memory|memory allocation failed|allocation failed|bad_alloc|can't start new thread|resize: tensor",
    re.IGNORECASE,
)
"""What numpy, torch, HDF5 and the loader of libraries say, each in its own words and with its own exception."""

_GB = 1e9
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def has_run_out(error: BaseException) -> bool:
    """Whether an error, or what led to it, says that there is no more memory."""
    if isinstance(error, MemoryError) or _RAN_OUT.search(str(error)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return error.__cause__ is not None and has_run_out(error.__cause__)


def free_bytes() -> float:
    """What this process may still take: of the machine, of its container, and up to its own limit; inf if not known."""
    return min(_of_machine(), _of_container(), _up_to_limit())


def require_memory(path: Path, group: str = "/") -> None:
    """Refuse to read whole what takes more memory, as it is stored, than is free: a group of an HDF5 file, or zarr.

    Raises:
        BadInput: E051.
    """
    size, free = _size(path, group), free_bytes()
    if size > free:
        what = f"needs ~{size / _GB:,.1f} GB in memory, {max(free, 0.0) / _GB:,.1f} GB are free; or it is damaged."
        remedy = f"have it read by rows: unisono convert {path.name} -o {path.stem}.zarr, then use that"
        raise bad_input("E051", str(path), what, remedy)


def _size(path: Path, group: str) -> int:
    """Bytes of all arrays, as if all of them were read."""
    if path.is_dir():
        import zarr

        arrays = (part for _, part in zarr.open_group(path, mode="r").members(max_depth=None))
        return sum(math.prod(part.shape) * part.dtype.itemsize for part in arrays if isinstance(part, zarr.Array))
    import h5py

    found: list[int] = []

    def note(name: str, part: Any) -> None:
        if isinstance(part, h5py.Dataset) and part.shape is not None:
            found.append(math.prod(part.shape) * part.dtype.itemsize)

    with h5py.File(path, "r") as file:
        file[group].visititems(note)
    return sum(found)


def _of_machine() -> float:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return math.inf


def _of_container() -> float:
    for limit, used in zip(_LIMITS, _USED, strict=True):
        with suppress(OSError, ValueError):  # no such file, or "max"
            most, now = (float(Path(name).read_text(encoding="ascii")) for name in (limit, used))
            return most - now
    return math.inf


def _up_to_limit() -> float:
    """Up to RLIMIT_AS, as `ulimit -v` sets it."""
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        if most != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return float(most - pages * resource.getpagesize())
    return math.inf
