"""Training cells as they are given, in memory or on disk: those that are held, and where the others are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from unisono.config import FitConfig
from unisono.inference.record import Record
from unisono.io.read import Inspection, ReadOptions
from unisono.io.store import CellSource, InMemory, Store
from unisono.io.survey import Survey, held_rows, read_like, survey
from unisono.io.union import inspect_all
from unisono.messages import bad_input, refuse, warn
from unisono.training.stream import Stream
from unisono.types import Cells

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    InMemoryData: TypeAlias = MuData | AnnData | Sequence[MuData | AnnData]
    Data: TypeAlias = MuData | AnnData | Store | Sequence[MuData | AnnData | Store]


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """What a fit is given.

    Attributes:
        inspection: of the cells that are held.
        data_sets: names of several.
        survey: of all cells, where some are not held.
        stream: what reads those; None where all are held.
    """

    inspection: Inspection
    data_sets: tuple[str, ...] = ()
    survey: Survey | None = None
    stream: Stream | None = None

    @property
    def cells(self) -> Cells:
        """Those that are held."""
        return self.inspection.cells

    def described(self, record: Record) -> dict[str, Any]:
        """Fields of a record that speak of all cells, from that of a fit to the held ones."""
        about = {"layers": dict(self.inspection.places), "data_sets": self.data_sets}
        if self.survey is None:
            return about
        return about | {"n_cells": dict(self.survey.n_cells), "n_held": record.n_cells}


def read_training_cells(
    mdata: Data,
    options: ReadOptions,
    config: FitConfig,
    names: Sequence[str] | None,
    source_name: str,
    *,
    is_whole: bool = False,
) -> TrainingCells:
    """Read the cells that a fit holds, and say what was noticed.

    Args:
        mdata: as for `fit`.
        options: how they are read.
        config: how many are held.
        names: of the data sets of a list.
        source_name: what messages call the data.
        is_whole: whether all have to be held, whatever their number.

    Raises:
        BadInput: they cannot be used.
    """
    held, source = _held(mdata, options, config, source_name, is_whole)
    inspection, data_sets = inspect_all(held, options, names, source_name)
    refuse(inspection.findings)
    warn(inspection.findings)
    if source is None:
        return TrainingCells(_in_one_order(inspection, held), data_sets)
    found = survey(source, inspection, options, source_name)
    stream = Stream(
        names=source.names.to_numpy(dtype=str),
        rows=found.rows,
        batches=np.unique(found.inspection.cells.batch),
        pattern=source.pattern,
        fetch=source.fetch,
        read=lambda parts: read_like(source.joined(parts), found.inspection, options, source_name),
        fingerprint=found.fingerprint,
    )
    return TrainingCells(found.inspection, survey=found, stream=stream)


def _held(
    mdata: Data, options: ReadOptions, config: FitConfig, source_name: str, is_whole: bool
) -> tuple[InMemoryData, CellSource | None]:
    """The cells that are held, and where the others are read from; None where all are held."""
    if isinstance(mdata, Sequence):
        return [each.take(np.arange(len(each))) if isinstance(each, Store) else each for each in mdata], None
    source: CellSource = mdata if isinstance(mdata, Store) else InMemory(mdata)
    n_cells = len(source.names)
    if n_cells <= config.max_held_cells or is_whole:
        return (source.take(np.arange(n_cells)) if isinstance(mdata, Store) else mdata), None
    if not source.meets_by_name:
        if not isinstance(mdata, Store):
            return mdata, None
        what = "modalities share no name of a cell as they are, so cells cannot be read by rows."
        raise bad_input("E023", source_name, what, "give both modalities of a cell one name")
    return source.take(held_rows(source, options.batch_key, config.max_held_cells, config.seed)), source


def _in_one_order(inspection: Inspection, mdata: InMemoryData) -> Inspection:
    """Cells of each modality in the order of all, as those of a file come, so that either gives the same weights."""
    source = None if isinstance(mdata, Sequence) else InMemory(mdata)
    if source is None or not source.meets_by_name or source.is_in_one_order:
        return inspection
    order = {m: np.argsort(source.names.get_indexer(pd.Index(view.cells))) for m, view in inspection.views.items()}
    return replace(inspection, views={m: view.take(order[m]) for m, view in inspection.views.items()})
