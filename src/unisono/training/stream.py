"""Training cells beyond those that are held: each epoch reads some of them anew, and the networks see no others."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.io.store import allotted
from unisono.nn.objective import Batch
from unisono.training.mini_batches import Draw, MiniBatches, TrainingView, Views
from unisono.types import Cells

if TYPE_CHECKING:
    from anndata import AnnData

_SEED = 29

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Stream:
    """Cells that can be read by rows.

    Attributes:
        names: of all cells.
        rows: of those that are learned from, in order.
        batches: names of all batches, sorted.
        pattern: of all cells, see `CellSource`.
        fetch: rows → tables of them, in a thread of its own: it changes nothing that belongs to the process.
        read: these tables → cells.
        fingerprint: of all cells.
    """

    names: NDArray[np.str_]
    rows: Rows
    batches: NDArray[np.str_]
    pattern: NDArray[np.intp]
    fetch: Callable[[Rows], Mapping[str, AnnData]]
    read: Callable[[Mapping[str, AnnData]], Cells]
    fingerprint: str

    def without(self, cells: Cells) -> Stream:
        """The same without some of its cells."""
        return replace(self, rows=self.rows[~np.isin(self.names[self.rows], cells.names)])

    def drawn(self, config: FitConfig, number: int) -> Rows:
        """Rows of an epoch, in order: runs of neighbours, which files give up fast, drawn anew for each epoch.

        They follow from the config and the number alone, so that every modality, rank and resumed fit has the same. Of
        cells that have other modalities than others, as `allotted` says.
        """
        length = config.cells_of_a_run
        rng = np.random.default_rng([config.seed, _SEED, number])
        drawn = []
        for group, n_runs in allotted(self.pattern[self.rows], config.max_cells_per_epoch // length, length):
            starts = np.sort(rng.permutation(-(-len(group) // length))[: max(n_runs, 1)]) * length
            drawn += [self.rows[group[start : start + length]] for start in starts]
        return np.sort(np.concatenate(drawn))


@dataclass(eq=False)
class _Ahead:
    """An epoch that is prepared in another thread while the networks learn from the one before.

    Attributes:
        number: of the epoch.
        rows: of its cells.
        tables: of them.
        drawn: its mini-batches and what they draw, once the tables were read.
    """

    number: int
    rows: Rows
    tables: Future[Mapping[str, AnnData]]
    drawn: Future[tuple[MiniBatches, Draw]] | None = None


class StreamedMiniBatches:
    """Mini-batches of cells that are read, thinned and projected while the networks learn from the epoch before."""

    def __init__(self, views: Views, stream: Stream, config: FitConfig, device: torch.device) -> None:
        self._views = views
        self._stream = stream
        self._config = config
        self._device = device
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="unisono-read")
        self._ahead: _Ahead | None = None
        weakref.finalize(self, self._reader.shutdown, wait=False, cancel_futures=True)

    @property
    def steps_per_epoch(self) -> int:
        """As many as the batch size gives."""
        n_cells = min(len(self._stream.rows), self._config.max_cells_per_epoch)
        return max(1, -(-n_cells // self._config.batch_size))

    def epoch(self, number: int) -> Iterator[Batch]:
        """One pass over the cells of an epoch, see `MiniBatches.epoch`.

        Raises:
            RuntimeError: other cells were read than were asked for.
        """
        ahead = self._ahead if self._ahead and self._ahead.number == number else self._begin(number)
        mini_batches, draw = self._read(ahead).result()
        self._ahead = self._begin(number + 1) if number < self._config.max_epochs else None
        for batch in mini_batches.steps(draw):
            yield batch
            if self._ahead and self._ahead.tables.done():
                self._read(self._ahead)

    def _begin(self, number: int) -> _Ahead:
        rows = self._stream.drawn(self._config, number)
        return _Ahead(number, rows, self._reader.submit(self._stream.fetch, rows))

    def _read(self, ahead: _Ahead) -> Future[tuple[MiniBatches, Draw]]:
        """Read the tables of an epoch in this thread, and have its mini-batches drawn in the other."""
        if ahead.drawn is None:
            cells = self._stream.read(ahead.tables.result())
            unknown = np.setdiff1d(cells.names, self._stream.names[ahead.rows])
            if len(unknown):
                what = f"{len(unknown)} cells were read that were not asked for: {unknown[0]}"
                raise RuntimeError(f"epoch {ahead.number}: {what}")
            ahead.drawn = self._reader.submit(self._draw, cells, ahead.number)
        return ahead.drawn

    def _draw(self, cells: Cells, number: int) -> tuple[MiniBatches, Draw]:
        """Mini-batches of some cells, and what an epoch draws for them."""
        views = {m: TrainingView.of_others(view.preprocessor, cells) for m, view in self._views.items()}
        technical = np.searchsorted(self._stream.batches, cells.batch)
        weights = {m: view.code_weight for m, view in self._views.items()}
        mini_batches = MiniBatches(
            views, technical, self._config, self._device, code_weights=weights, n_steps=self.steps_per_epoch
        )
        return mini_batches, mini_batches.draw(number)
