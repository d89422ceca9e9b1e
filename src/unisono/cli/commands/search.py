"""Index and search: the commands that keep the cells of an atlas in the shared space and find some among them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unisono.cli.console import say
from unisono.cli.options import (
    Aliases,
    Device,
    ForceAll,
    Model,
    Query,
    QueryLayer,
    RoundCounts,
    Scheduler,
    Workers,
    file_by_rows,
    kind_named,
    label_of,
    layer_in,
    model_and_query,
    model_named,
    paths_in,
    queried_cells_in,
)
from unisono.io.write import INDEX, refuse_existing, refuse_existing_folder, refuse_inputs, write_atomically

if TYPE_CHECKING:
    from unisono.types import Modality

Kind = Annotated[str | None, typer.Option("--modality", help="rna, atac or adt; needed where the file holds several.")]


def index(
    model: Model,
    cells: Annotated[list[str], typer.Argument(metavar="CELLS", help="Raw counts of the cells to be found.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="INDEX", help="Folder for the index.")],
    modality: Kind = None,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Place cells of one modality in the shared space, to be searched; writes a folder."""
    refuse_inputs(out, paths_in(model, cells, aliases))
    refuse_existing_folder(out, force, INDEX)
    kind = _kind(modality)
    fitted, atlas = model_and_query(model, cells, device, aliases, kind)
    reading: Any = {"force": force, "layer": layer_in(layer), "round_counts": round_counts or None}
    found = fitted.index(atlas, kind, **reading, source_name=label_of(cells))
    found.save(out, force=force)
    say(f"{len(found.cells):,} {found.modality} cells indexed in {out}")


def search(
    model: Model,
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="Folder written by unisono index with this model.")],
    query: Query,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="TABLE.tsv", help="Where to write the table.")],
    k: Annotated[int, typer.Option("-k", help="Indexed cells for each query cell.", min=1)] = 10,
    modality: Kind = None,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    aliases: Aliases = None,
    device: Device = "auto",
    scheduler: Scheduler = None,
    workers: Workers = None,
    force: ForceAll = False,
) -> None:
    """Find the indexed cells that are most similar to each query cell, of any modality; writes a table."""
    refuse_inputs(out, paths_in(model, index, query, aliases))
    refuse_existing(out, force)
    kind = _kind(modality)
    fitted = model_named(model, device, aliases)
    reading: Any = {"force": force, "layer": layer_in(layer), "round_counts": round_counts or None}
    if scheduler is not None or workers is not None:
        from unisono.cluster import connected
        from unisono.cluster import search as together

        path = file_by_rows(query)
        with connected(scheduler, workers) as client:
            together(client, fitted, index, path, out, k, modality=kind, device=device, **reading)
        say(f"query cells looked up, written to {out}")
        return
    known = fitted.load_index(index)
    table = known.search(
        queried_cells_in(fitted, query, kind), k, modality=kind, **reading, source_name=label_of(query)
    )
    write_atomically(out, lambda place: table.to_csv(place, sep="\t", index=False, float_format="%.6g"), force=force)
    say(f"{table['query'].nunique():,} query cells looked up among {len(known.cells):,}, written to {out}")


def _kind(name: str | None) -> Modality | None:
    return None if name is None else kind_named(name)
