"""HDF5 files of AnnData and MuData, which can be closed when the disk is full; decides nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


_PAGE = 4096


class _Sink(FileIO):
    """A file whose first failure is kept, and which holds in memory what is written to it from then on.

    HDF5 holds data back until it closes a file, and reads back what it wrote. Where that fails, it does not close the
    file: the space stays taken, and the process ends in a segmentation fault. So HDF5 is told that all is well, and
    the caller the truth.
    """

    def __init__(self, place: Path) -> None:
        super().__init__(os.fspath(place), "w+")
        self.place = place
        self.failure: OSError | None = None
        self.pages: dict[int, bytearray] = {}

    def __fspath__(self) -> str:
        return os.fspath(self.place)

    def write(self, values: Any) -> int:
        """All of it."""
        rest = memoryview(values).cast("B")
        start, size = self.tell(), len(rest)
        while len(rest) and self.failure is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.failure = error
        start += size - len(rest)
        for number, within, part in _parts(start, rest):
            self.pages.setdefault(number, self._page(number))[within] = part
        return size

    def readinto(self, buffer: Any) -> int:
        """As much as is there, or, after a failure, all of it."""
        if self.failure is None:
            return super().readinto(buffer) or 0
        rest = memoryview(buffer).cast("B")
        for number, within, part in _parts(self.tell(), rest):
            part[:] = self._page(number)[within]
        return len(rest)

    def _page(self, number: int) -> bytearray:
        stored = os.pread(self.fileno(), _PAGE, number * _PAGE) if number not in self.pages else b""
        return self.pages.get(number) or bytearray(stored.ljust(_PAGE, b"\0"))

    def truncate(self, size: int | None = None) -> int:
        """As of a file, but after a failure."""
        try:
            return super().truncate(size) if self.failure is None else size or 0
        except OSError as error:
            self.failure = error
            return size or 0

    def require_room(self) -> None:
        """Raise the failure, if there was one."""
        if self.failure is not None:
            raise self.failure


def _parts(start: int, values: memoryview) -> Iterator[tuple[int, slice, memoryview]]:
    """Number of each page that values from a place on reach into, where in it, and which of the values."""
    end = start + len(values)
    while start < end:
        number, offset = divmod(start, _PAGE)
        size = min(_PAGE - offset, end - start)
        done = len(values) - (end - start)
        yield number, slice(offset, offset + size), values[done : done + size]
        start += size


@contextmanager
def _sink(place: Path) -> Iterator[_Sink]:
    """Raises what could not be written rather than what HDF5 made of it."""
    sink = _Sink(place)
    try:
        yield sink
    finally:
        sink.close()
        sink.require_room()


@contextmanager
def table_written(table: AnnData, place: Path, **storage: Any) -> Iterator[tuple[Any, Callable[[], None]]]:
    """The HDF5 file with an AnnData in it, and what raises where there is no room to add more.

    `storage` is as of `h5py.Group.create_dataset`.
    """
    import h5py
    from anndata.io import write_elem

    table.strings_to_categoricals()
    with _sink(place) as sink, h5py.File(sink, "w") as file:
        write_elem(file, "/", table, dataset_kwargs=storage)
        yield file, sink.require_room


def write_table(table: AnnData, place: Path, **storage: Any) -> None:
    """Write an AnnData as .h5ad."""
    with table_written(table, place, **storage):
        pass


def write_mudata(mdata: MuData, place: Path, **storage: Any) -> None:
    """Write a MuData as .h5mu."""
    with _sink(place) as sink:
        mdata.write_h5mu(sink, **storage)
