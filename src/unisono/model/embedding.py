"""Vectors of cells that are read by rows, written by rows to a file: no more than a block of them is held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisono.inference.fitted_model import FittedModel
from unisono.io.embeddings import write_vectors
from unisono.io.regions import ROWS_OF_A_REGION
from unisono.io.store import Rows, Store, blocks
from unisono.model.blocks import StoredQuery, stored_query, tables_of_modalities
from unisono.model.query import QueryOptions, modalities_in

Array = NDArray[np.float32]


def embedded(query: StoredQuery, rows: Rows) -> tuple[Array, Array]:
    """Vectors and novelty of the cells at some rows of a query, NaN where a cell has no counts."""
    view = query.at(rows)
    vectors = np.full((len(rows), query.fitted.embedding_dim(query.modality)), np.nan, dtype=np.float32)
    novelty = np.full(len(rows), np.nan, dtype=np.float32)
    if view is not None:
        is_answered = np.isin(query.source.names[rows].to_numpy(dtype=str), view.cells)
        vectors[is_answered], novelty[is_answered] = query.fitted.embedding_and_novelty(view)
    return vectors, novelty


def write_embedding_by_rows(
    fitted: FittedModel, store: Store, path: str | Path, options: QueryOptions, *, force: bool
) -> None:
    """Write what `Unisono.embed` gives of cells on disk: .zarr without counts, or .h5mu, a copy of the store with it.

    Raises:
        BadInput: as `Unisono.embed` and `write_vectors`.
    """
    tables, name_of_store = tables_of_modalities(store), store.path.name
    kinds = modalities_in(tables, fitted.record, fitted.preprocessors, name_of_store)
    queries = {name: stored_query(store, kind, fitted, name_of_store, options) for name, kind in kinds.items()}

    def fill(name: str, array: Any) -> Array:
        novelty = []
        for rows in blocks(len(queries[name].source.names), ROWS_OF_A_REGION):
            array[rows[0] : rows[-1] + 1], own = embedded(queries[name], rows)
            novelty.append(own)
        return np.concatenate(novelty)

    dims = {name: fitted.embedding_dim(kind) for name, kind in kinds.items()}
    write_vectors(tables, store.path, dims, fill, path, force=force)
