"""Prediction, embedding and search over the rows of a file by the workers of a Dask cluster; fits nothing.

Model, file and output lie where all workers reach them. The output appears once all of its rows are there.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unisono.cluster.run import done, working
from unisono.cluster.tasks import ARRAYS, PARTS, AskedPrediction, Task, embed_rows, predict_rows, predicted, search_rows
from unisono.io.embeddings import EMBEDDING, write_without_features
from unisono.io.naming import called
from unisono.io.places import Layer
from unisono.io.regions import place_arrays, start_arrays
from unisono.io.store import Store, open_store
from unisono.io.tables import CODES, NOVELTY, value_places, without_codes, without_values, write_zarr
from unisono.io.write import ZARR, ZARR_SUFFIX, write_atomically, write_folder_atomically
from unisono.messages import bad_input, warn
from unisono.model.blocks import StoredQuery, cells_alone, modality_of, stored_query, tables_of_modalities
from unisono.model.outputs import annotated_prediction
from unisono.model.query import QueryOptions, modalities_in, require_modality, validate_via
from unisono.model.unisono import Unisono
from unisono.types import Modality

if TYPE_CHECKING:
    from anndata import AnnData
    from distributed import Client
    from mudata import MuData


def predict(
    client: Client,
    model: Unisono,
    query: str | Path,
    out: str | Path,
    *,
    source: Modality,
    target: Modality,
    style: str | MuData | AnnData = "average",
    interval: float | None = None,
    via: Modality | None = None,
    n_draws: int = 0,
    factored: bool = False,
    force: bool = False,
    layer: Layer | None = None,
    round_counts: bool | None = None,
    device: str = "auto",
) -> None:
    """Write what `Unisono.predict` gives of the cells of a file as a zarr folder.

    Args:
        client: of a Dask cluster, see `connected`.
        model: is saved for the workers.
        query: an .h5mu, .h5ad or zarr folder.
        out: ends in .zarr.
        source: as for `Unisono.predict`, as are `target`, `style`, `interval`, `via`, `n_draws`, `layer` and
            `round_counts`.
        factored: write codes and loadings, see `unisono.read_factored`.
        force: replace the output, and predict where the query covers little of the model.
        device: of each worker.

    Raises:
        BadInput: as `Unisono.predict` and `write_prediction`; E053 the output does not end in .zarr.

    Examples:
        >>> import anndata, unisono as un
        >>> model = un.load("human-blood-cite")
        >>> with un.cluster.connected(n_workers=4) as client:  # doctest: +SKIP
        ...     un.cluster.predict(client, model, "cells.zarr", "proteins.zarr", source="rna", target="adt")
        >>> anndata.read_zarr("proteins.zarr").X  # doctest: +SKIP
    """
    source, target, via = called(source), called(target), None if via is None else called(via)
    require_modality(target, model.fitted.preprocessors)
    if via is not None:
        validate_via(via, source, target, model.fitted.preprocessors)
    if interval is not None:
        if via is not None or factored:
            what = "intervals are neither of a chain nor of codes."
            raise bad_input("E053", "predict", what, "leave out interval, or via and factored")
        model.fitted.bounds(source, target, interval, np.empty(0, dtype=str))
        n_draws = model.config.uncertainty.n_draws
    _require_zarr(out)
    warn(model.record.repeated("model"))
    how = AskedPrediction(target, model.style_of(target, style), via, n_draws, interval, factored)
    options = QueryOptions(force, layer, round_counts)

    def write(folder: Path) -> None:
        store = open_store(query)
        asked = stored_query(store, source, model.fitted, store.path.name, options)
        with working(folder, asked.fitted) as work:
            _predict(client, model, store, asked, Task.of(asked, store, work, device), how, folder)

    write_folder_atomically(out, write, force=force, kind=ZARR)


def embed(
    client: Client,
    model: Unisono,
    query: str | Path,
    out: str | Path,
    *,
    force: bool = False,
    layer: Layer | None = None,
    round_counts: bool | None = None,
    device: str = "auto",
) -> None:
    """Write obs and obsm of what `Unisono.embed` gives of the cells of a file as a zarr folder of MuData.

    Arguments are those of `predict`.

    Raises:
        BadInput: as `Unisono.embed`; E053 the output does not end in .zarr, and as `write_folder_atomically`.

    Examples:
        >>> import mudata, unisono as un
        >>> model = un.load("human-blood-cite")
        >>> with un.cluster.connected(n_workers=4) as client:  # doctest: +SKIP
        ...     un.cluster.embed(client, model, "cells.zarr", "embedding.zarr")
        >>> mudata.read_zarr("embedding.zarr")["rna"].obsm["X_unisono"]  # doctest: +SKIP
    """
    _require_zarr(out)
    options = QueryOptions(force, layer, round_counts)

    def write(folder: Path) -> None:
        store = open_store(query)
        tables = tables_of_modalities(store)
        kinds = modalities_in(tables, model.record, model.fitted.preprocessors)
        fitted, asked = model.fitted, {}
        for name, modality in kinds.items():
            asked[name] = stored_query(store, modality, fitted, store.path.name, options)
            fitted = asked[name].fitted
        with working(folder, fitted) as work:
            places = {name: f"mod/{name}/obsm/{EMBEDDING}" for name in kinds}
            for name, one in asked.items():
                shape = len(one.source.names), fitted.embedding_dim(one.modality)
                start_arrays(work / ARRAYS, {places[name]: shape}, wide=True)
                task = Task.of(one, store, work, device)
                found = done(client, embed_rows, shape[0], task, places[name])
                tables.mod[name].obs[NOVELTY] = np.concatenate(found)
            write_without_features(tables, folder)
            for name, place in places.items():
                place_arrays(work / ARRAYS, [place], folder, np.ones(tables.mod[name].n_obs, dtype=bool))

    write_folder_atomically(out, write, force=force, kind=ZARR)


def search(
    client: Client,
    model: Unisono,
    index: str | Path,
    query: str | Path,
    out: str | Path,
    k: int = 10,
    *,
    modality: str | None = None,
    exact: bool = False,
    force: bool = False,
    layer: Layer | None = None,
    round_counts: bool | None = None,
    device: str = "auto",
) -> None:
    """Write what `CellIndex.search` gives for the cells of a file as a table of tab-separated values.

    Args:
        client: as for `predict`, as are `model` and `query`.
        model: that the index was made with.
        index: folder of the index.
        query: may hold another modality than the index.
        out: the table.
        k: as for `CellIndex.search`, as are `modality` and `exact`.
        modality: of the query.
        exact: look at each indexed cell.
        force: as for `predict`, as are `layer`, `round_counts` and `device`.
        layer: where the raw counts of the query are.
        round_counts: whether its fractional counts are rounded.
        device: of each worker.

    Raises:
        BadInput: as `CellIndex.search` and `Unisono.load_index`; E055, E056 the table cannot be written.

    Examples:
        >>> import pandas, unisono as un
        >>> model = un.load("human-blood-cite")
        >>> with un.cluster.connected(n_workers=4) as client:  # doctest: +SKIP
        ...     un.cluster.search(client, model, "atlas.index", "cells.zarr", "similar.tsv", k=10)
        >>> list(pandas.read_table("similar.tsv"))  # doctest: +SKIP
        ['query', 'cell', 'similarity']
    """
    if k < 1:
        raise bad_input("E053", "search", f"k={k} asks for no cells.", "pass 1 or more")
    model.load_index(index)
    warn(model.record.repeated("model"))
    options = QueryOptions(force, layer, round_counts)

    def write(place: Path) -> None:
        store = open_store(query)
        kind = modality_of(store, modality, model.fitted, store.path.name)
        asked = stored_query(store, kind, model.fitted, store.path.name, options)
        with working(place, asked.fitted) as work:
            (work / PARTS).mkdir()
            task = Task.of(asked, store, work, device)
            parts = done(client, search_rows, len(asked.source.names), task, Path(index).resolve(), k, exact)
            with place.open("wb") as table:
                table.write(b"query\tcell\tsimilarity\n")
                for part in parts:
                    with (work / PARTS / part).open("rb") as rows:
                        shutil.copyfileobj(rows, table)

    write_atomically(out, write, force=force)


def _predict(
    client: Client, model: Unisono, store: Store, asked: StoredQuery, task: Task, how: AskedPrediction, folder: Path
) -> None:
    """Have all rows predicted, then write the tables around them."""
    names = asked.source.names.to_numpy(dtype=str)
    tables = store.tables()
    like = predicted(asked.fitted, lambda: tables, next(iter(asked)).take(np.arange(1)), how)
    n_codes = like.codes.shape[1]
    places = {f"obsm/{CODES}": n_codes} if how.factored else dict.fromkeys(value_places(like).values(), like.shape[1])
    shapes = {place: (len(names), n_columns) for place, n_columns in places.items()}
    start_arrays(task.work / ARRAYS, shapes, wide=how.factored)
    found = done(client, predict_rows, len(names), task, how, list(shapes))
    novelty = np.concatenate(found)
    is_answered = ~np.isnan(novelty)
    cells = cells_alone(asked.modality, names[is_answered])
    whole = replace(
        like,
        cells=cells.cells,
        codes=np.broadcast_to(np.float32(0), (cells.n_cells, n_codes)),
        draws=None,
        novelty=novelty[is_answered],
    )
    whole = annotated_prediction(whole, model.fitted, tables, cells)
    table = without_codes(whole) if how.factored else without_values(whole)
    write_zarr(table, lambda group: None, folder)
    place_arrays(task.work / ARRAYS, list(shapes), folder, is_answered)


def _require_zarr(out: str | Path) -> None:
    if Path(out).suffix != ZARR_SUFFIX:
        what = "is no zarr folder, which several workers can write together."
        raise bad_input("E053", str(out), what, f"give a name that ends in {ZARR_SUFFIX}")
