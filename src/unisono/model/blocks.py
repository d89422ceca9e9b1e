"""A query of more cells than are held: some say how its batches were measured, then all are read a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar, final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.inference.fitted_model import FittedModel
from unisono.inference.record import Record
from unisono.io.naming import called
from unisono.io.open import as_mudata, taken_apart
from unisono.io.store import CellSource, InMemory, Rows, Store, blocks
from unisono.io.survey import held_rows
from unisono.messages import typed
from unisono.model.query import QueryOptions, infer_modality, kinds_named, read_more, read_query
from unisono.preprocessing.preprocessor import StandardisedCodes
from unisono.preprocessing.unmeasured_in_query import known_unmeasured
from unisono.types import Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

Answer = TypeVar("Answer")


@final
@dataclass(frozen=True, eq=False)
class StoredQuery:
    """One modality of a query, to whose batches a model is used: an answer depends on the cell and its batch alone.

    Attributes:
        fitted: the model, to which all batches are known.
        modality: of the query.
        source: its cells.
        options: with the place of the counts.
        source_name: what messages call the query.
    """

    fitted: FittedModel
    modality: Modality
    source: CellSource
    options: QueryOptions
    source_name: str = "query"

    def __iter__(self) -> Iterator[View]:
        return (view for rows in blocks(len(self.source.names)) if (view := self.at(rows)) is not None)

    def at(self, rows: Rows) -> View | None:
        """The cells at some rows of the source; None where none of them has counts."""
        view = read_more(self.source.take(rows), self.modality, self.fitted, self.options, self.source_name)
        if view is None:
            return None
        return replace(view, unmeasured=known_unmeasured(self.fitted.preprocessors[self.modality].projection, view))


@final
@dataclass(frozen=True, eq=False)
class QueryBlocks:
    """One modality of a query, checked, whose cells are answered a block at a time.

    Attributes:
        fitted: the model that is asked.
        views: blocks of the cells, in order.
    """

    fitted: FittedModel
    views: Iterable[View]

    def answered(self, answer: Callable[[View], Answer]) -> tuple[View, list[Answer]]:
        """All cells, without their counts, and what is answered to each block."""
        cells, answers = [], []
        for view in self.views:
            cells.append(_without_counts(view))
            answers.append(answer(view))
        return _joined(cells), answers


def query_blocks(
    query: MuData | AnnData | Store,
    modality: Modality,
    fitted: FittedModel,
    source_name: str = "query",
    options: QueryOptions | None = None,
) -> QueryBlocks:
    """One modality of a query, in blocks where it has more than `FitConfig.max_held_cells` cells.

    Raises:
        BadInput: as `read_query`.
    """
    source = of_modality(query, modality, fitted.record)
    if len(source.names) > fitted.config.max_held_cells and source.names.is_unique:
        found = stored_query(query, modality, fitted, source_name, options)
        return QueryBlocks(found.fitted, found)
    data = source.take(np.arange(len(source.names))) if isinstance(query, Store) else query
    view = read_query(data, modality, fitted.preprocessors, fitted.record, source_name, options).view
    return QueryBlocks(fitted, [view])


def codes_of(query: QueryBlocks) -> tuple[View, StandardisedCodes]:
    """All cells of a query, without their counts, and their codes."""
    cells, parts = query.answered(query.fitted.predictor.transform)
    return cells, StandardisedCodes.joined(parts)


def blocks_of_one(
    query: MuData | AnnData | Store,
    modality: str | None,
    fitted: FittedModel,
    source_name: str = "query",
    options: QueryOptions | None = None,
) -> QueryBlocks:
    """As `query_blocks`, of the modality of this name, or, with None, of the one that the query holds.

    Raises:
        BadInput: as `query_blocks` and `infer_modality`.
    """
    kind = modality_of(query, modality, fitted, source_name)
    return query_blocks(query, kind, fitted, source_name, options)


def modality_of(
    query: MuData | AnnData | Store,
    name: str | None,
    fitted: FittedModel,
    source_name: str = "query",
    remedy: str | None = None,
) -> Modality:
    """The modality of a name, or, with None, the one that the query holds; `remedy` as of `infer_modality`.

    Raises:
        BadInput: as `infer_modality`.
    """
    if name is not None:
        return called(name)
    name_one = typed('name one: modality="rna"', "name one: --modality rna")
    some = query.take(np.arange(min(len(query), 1))) if isinstance(query, Store) else query
    return infer_modality(some, fitted.preprocessors, fitted.record, source_name, remedy or name_one)


def stored_query(
    query: MuData | AnnData | Store,
    modality: Modality,
    fitted: FittedModel,
    source_name: str = "query",
    options: QueryOptions | None = None,
) -> StoredQuery:
    """One modality of a query, of which up to `FitConfig.max_held_cells` cells, of each batch its share, are held.

    How a batch was measured is told from these, and what `read_query` finds it finds in them. A feature that it takes
    for not measured in a batch is one that no cell of the batch has a count of.

    Raises:
        BadInput: as `read_query`.
    """
    options, at_most, record = options or QueryOptions(), fitted.config.max_held_cells, fitted.record
    source = of_modality(query, modality, record)
    key = None if record.batch_key is None or source.column(record.batch_key) is None else record.batch_key
    held = source.take(held_rows(source, key, at_most, fitted.config.seed))
    read = read_query(held, modality, fitted.preprocessors, record, source_name, options)
    again = StoredQuery(fitted, modality, source, replace(options, layer={modality: read.place}), source_name)
    return replace(again, fitted=fitted.knowing(replace(read.view, unmeasured=_never_counted(read.view, again))))


def tables_of_cells(query: MuData | AnnData | Store) -> MuData | AnnData:
    """What a query says of its cells: itself, or, of one on disk, its obs."""
    return query.tables() if isinstance(query, Store) else query


def tables_of_modalities(store: Store) -> MuData:
    """The cells of a store with what obs says of them, by modality, without a feature."""
    tables = store.tables()
    if hasattr(tables, "mod"):
        return tables
    from anndata import AnnData

    first, _ = taken_apart(store.take(np.arange(min(len(store), 1))), store.path.name)
    return as_mudata({name: AnnData(obs=tables.obs.copy()) for name in first.mod})


def of_modality(query: MuData | AnnData | Store, modality: Modality, record: Record) -> InMemory | Store:
    """The cells of a query that have a modality, where that is a part of several; else all."""
    source = query if isinstance(query, Store) else InMemory(query)
    parts = kinds_named(source.modalities, record)
    names = [name for name, kind in parts.items() if kind == modality]
    return source.only(names) if names else source


def _never_counted(held: View, query: StoredQuery) -> dict[str, NDArray[np.bool_]]:
    """The features that batches of the held cells seem not to have measured, and no cell of the query has counts of."""
    left = {name: mask.copy() for name, mask in held.unmeasured.items()}
    for rows in blocks(len(query.source.names)) if left else ():
        view = read_more(query.source.take(rows), query.modality, query.fitted, query.options, query.source_name)
        if view is None:
            continue
        for name in set(left) & set(view.batch):
            left[name] &= np.asarray(view.counts[view.batch == name].sum(axis=0)).ravel() == 0
    return {name: mask for name, mask in left.items() if mask.any()}


def cells_alone(modality: Modality, cells: NDArray[np.str_]) -> View:
    """Cells by name, without counts, of no batch."""
    nothing = np.empty(0, dtype=str)
    return View(
        modality, sparse.csr_matrix(np.zeros((len(cells), 0), dtype=np.int32)), cells, nothing, np.full(len(cells), "")
    )


def _without_counts(view: View) -> View:
    return replace(view, counts=view.counts[:, :0], features=view.features[:0], ids=None, unmeasured={})


def _joined(views: list[View]) -> View:
    """Views without features as one."""
    if len(views) == 1:
        return views[0]
    cells, batch = (np.concatenate([getattr(view, name) for view in views]) for name in ("cells", "batch"))
    return replace(cells_alone(views[0].modality, cells), batch=batch)
