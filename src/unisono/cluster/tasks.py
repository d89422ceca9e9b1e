"""Tasks over a range of rows of a file, of which each writes its region of the output; starts no other.

A task is a function of the folder of the run, the file and the rows. Done again, on another worker after its own was
lost, it writes the same.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unisono.device import choose_device
from unisono.inference.fitted_model import FittedModel
from unisono.inference.predictor import Style
from unisono.io.regions import fill_prediction, fill_rows
from unisono.io.store import Store, open_store
from unisono.io.tables import CODES
from unisono.messages import InputWarning
from unisono.model import store as model_store
from unisono.model.blocks import StoredQuery, of_modality
from unisono.model.cell_index import CellIndex, load_index
from unisono.model.embedding import embedded
from unisono.model.query import QueryOptions
from unisono.model.unisono import Unisono
from unisono.types import Modality, Prediction, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

MODEL, ARRAYS, PARTS = "model", "arrays", "parts"
"""In the folder of a run: the model, the arrays of the output, and the parts of a table."""

_DIGITS = "%.6g"


@dataclass(frozen=True, eq=False)
class AskedPrediction:
    """What is to be predicted of each cell; attributes as the arguments of `predict`."""

    target: Modality
    style: Style
    via: Modality | None
    n_draws: int
    interval: float | None
    factored: bool


@dataclass(frozen=True, eq=False)
class Task:
    """What every task over the rows of a query is given.

    Attributes:
        work: folder of this run, with the model to which the batches of the query are known.
        store: path of the query.
        modality: of the query.
        options: with the place of the counts.
        device: of the worker.
    """

    work: Path
    store: Path
    modality: Modality
    options: QueryOptions
    device: str

    @classmethod
    def of(cls, asked: StoredQuery, store: Store, work: Path, device: str) -> Task:
        """The task of a query."""
        return cls(work, store.path.resolve(), asked.modality, asked.options, device)

    @property
    def query(self) -> StoredQuery:
        """The query and the model, once for each worker."""
        return replace(_opened(self.work, self.store, self.modality, self.device), options=self.options)


@lru_cache(maxsize=3)
def _opened(work: Path, store: Path, modality: Modality, device: str) -> StoredQuery:
    fitted = model_store.load(work / MODEL, choose_device(device))
    source = of_modality(open_store(store), modality, fitted.record)
    return StoredQuery(fitted, modality, source, QueryOptions(), store.name)


@lru_cache(maxsize=1)
def _tables(work: Path, store: Path) -> MuData | AnnData:
    return open_store(store).tables()


@lru_cache(maxsize=1)
def _index(path: Path, work: Path, store: Path, modality: Modality, device: str) -> CellIndex:
    return load_index(path, _opened(work, store, modality, device).fitted)


def predicted(
    fitted: FittedModel, tables: Callable[[], MuData | AnnData], view: View, how: AskedPrediction
) -> Prediction:
    """The prediction of the cells of a view, as `Unisono.prediction` makes it."""
    found = fitted.predict(view, how.target, how.style, via=how.via, n_draws=how.n_draws)
    if how.interval is None:
        return found
    groups = Unisono(fitted).interval_groups(tables(), view, how.target)
    return replace(found, bounds=fitted.bounds(view.modality, how.target, how.interval, groups))


def predict_rows(task: Task, how: AskedPrediction, places: Sequence[str], start: int, stop: int) -> NDArray[np.float32]:
    """Write the predictions of some rows into the arrays at places; the novelty of each, NaN where it has no counts."""
    query, place = task.query, task.work / ARRAYS
    view = query.at(np.arange(start, stop))
    novelty = np.full(stop - start, np.nan, dtype=np.float32)
    if view is None:
        for each in places:
            fill_rows(place, each, start, np.empty((0, 1), dtype=np.float32), np.zeros(stop - start, dtype=bool))
        return novelty
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # said once, where the run was started
        prediction = predicted(query.fitted, lambda: _tables(task.work, task.store), view, how)
    is_answered = np.isin(query.source.names[start:stop].to_numpy(dtype=str), view.cells)
    novelty[is_answered] = prediction.novelty
    if how.factored:
        fill_rows(place, f"obsm/{CODES}", start, prediction.codes, is_answered)
    else:
        fill_prediction(place, start, prediction, is_answered)
    return novelty


def embed_rows(task: Task, place: str, start: int, stop: int) -> NDArray[np.float32]:
    """Write the vectors of some rows; the novelty of each, NaN where it has no counts."""
    vectors, novelty = embedded(task.query, np.arange(start, stop))
    fill_rows(task.work / ARRAYS, place, start, vectors, np.ones(stop - start, dtype=bool))
    return novelty


def search_rows(task: Task, index: Path, k: int, exact: bool, start: int, stop: int) -> str:
    """Write what is found for some rows as a part of the table; the name of its file."""
    query, name = task.query, f"{start}.tsv"
    known = _index(index, task.work, task.store, task.modality, task.device)
    view, part = query.at(np.arange(start, stop)), task.work / PARTS / name
    text = ""
    if view is not None:
        positions, similarity = known.nearest(query.fitted.embedding(view), k, exact=exact)
        table = known.table(view.cells, positions, similarity)
        text = table.to_csv(None, sep="\t", index=False, header=False, float_format=_DIGITS)
    own = part.with_name(f"{name}.{uuid.uuid4().hex[:8]}")
    own.write_text(text, encoding="utf-8")
    os.replace(own, part)
    return name
