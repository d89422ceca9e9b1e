"""Predict, match and embed: the commands that ask a model about cells and write what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unisono.cli.console import say
from unisono.cli.options import (
    Aliases,
    Device,
    ForceAll,
    Model,
    Out,
    Query,
    QueryLayer,
    RoundCounts,
    Scheduler,
    Workers,
    cells_in,
    file_by_rows,
    files_in,
    kind_named,
    label_of,
    layer_in,
    model_named,
    paths_in,
    queried_cells_in,
    store_of_more,
)
from unisono.io.write import ZARR_SUFFIX, refuse_existing, refuse_inputs, write_atomically
from unisono.messages import bad_input


def predict(
    model: Model,
    query: Query,
    source: Annotated[str, typer.Option("--from", help="Modality to predict from: rna, atac or adt.")],
    target: Annotated[str, typer.Option("--to", help="Modality to predict.")],
    out: Out,
    style: Annotated[
        str,
        typer.Option(
            metavar="average|BATCH|FILE",
            help="Style of the prediction: the average, a training batch, or that of reference cells.",
        ),
    ] = "average",
    interval: Annotated[
        float | None, typer.Option(help="Coverage of intervals in layers['lower'] and layers['upper'], such as 0.9.")
    ] = None,
    via: Annotated[str | None, typer.Option(help="A third modality to pass through, as atac via rna to adt.")] = None,
    draws: Annotated[int, typer.Option(help="Posterior draws behind layers['spread']; 32 with --via.", min=0)] = 0,
    factored: Annotated[
        bool, typer.Option("--factored", metavar="", help="Write codes and loadings, not values: un.read_factored.")
    ] = False,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    aliases: Aliases = None,
    device: Device = "auto",
    scheduler: Scheduler = None,
    workers: Workers = None,
    force: ForceAll = False,
) -> None:
    """Predict one modality of each query cell from another; writes .h5ad or .zarr."""
    refuse_inputs(out, paths_in(model, query, style, aliases))
    refuse_existing(out, force)
    from unisono.io.tables import write_factored, write_prediction

    sides, through = (kind_named(source), kind_named(target)), None if via is None else kind_named(via)
    fitted = model_named(model, device, aliases)
    chosen: Any = style
    if style not in fitted.batches and style != "average" and (Path(style).exists() or Path(style).suffix):
        chosen = cells_in([style], sides[1])
    reading: Any = {"force": force, "layer": layer_in(layer), "round_counts": round_counts or None}
    how: Any = {"style": chosen, "interval": interval, "via": through, "n_draws": draws, **reading}
    if scheduler is not None or workers is not None:
        from unisono.cluster import connected
        from unisono.cluster import predict as together

        path, kinds = file_by_rows(query), {"source": sides[0], "target": sides[1]}
        with connected(scheduler, workers) as client:
            together(client, fitted, path, out, **kinds, factored=factored, device=device, **how)
        say(f"{sides[1]} features written to {out}")
        return
    cells = queried_cells_in(fitted, query, sides[0])
    prediction = fitted.prediction(cells, *sides, **how, source_name=label_of(query))
    if factored:
        write_factored(prediction, out, force=force)
    else:
        write_prediction(prediction, out, force=force)
    say(f"{prediction.shape[0]:,} cells x {prediction.shape[1]:,} {sides[1]} features written to {out}")


def match(
    model: Model,
    query: Query,
    between: Annotated[str, typer.Option(metavar="LEFT,RIGHT", help="Modalities, as rna,adt.")],
    out: Out,
    within: Annotated[str | None, typer.Option(help="obs column; cells are matched inside its groups.")] = None,
    rule: Annotated[str, typer.Option(help="soft, argmax or one-to-one.")] = "soft",
    depth: Annotated[
        bool,
        typer.Option(
            "--depth", metavar="", help="Also use total counts: only if both sides are the same physical cells."
        ),
    ] = False,
    top: Annotated[int, typer.Option(help="Most partners per cell, at most 1000.", min=1, max=1000)] = 100,
    prior_unmatched: Annotated[
        float, typer.Option(help="Prior share of cells that lack a partner; 0 if none does.")
    ] = 0.02,
    min_probability: Annotated[
        float, typer.Option(help="obs['is_answered'] is False where an answer is less likely to be right.")
    ] = 0.0,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Find which cell of one modality is which cell of another; writes .h5ad, left cells x right cells."""
    refuse_inputs(out, paths_in(model, query, aliases))
    refuse_existing(out, force)
    from unisono.matching import RULES

    sides = _two(between)
    if rule not in RULES:
        raise bad_input("E053", "--rule", f"{rule!r} is unknown.", f"one of {', '.join(RULES)}")
    fitted = model_named(model, device, aliases)
    found = fitted.match(
        *_sides(query, sides, fitted.config.max_held_cells),
        within=within,
        rule=rule,
        depth=depth,
        top=top,
        between=sides,
        prior_unmatched=prior_unmatched,
        min_probability=min_probability,
        force=force,
        layer=layer_in(layer),
        round_counts=round_counts or None,
        source_names=_side_names(query),
    )
    found.write(out, force=force)
    say(f"{len(found.left):,} {sides[0]} cells matched to {len(found.right):,} {sides[1]} cells in {out}")


def pair(
    model: Model,
    query: Query,
    between: Annotated[str, typer.Option(metavar="LEFT,RIGHT", help="Modalities, as rna,adt.")],
    out: Out,
    within: Annotated[str | None, typer.Option(help="obs column; cells are matched inside its groups.")] = None,
    min_probability: Annotated[float, typer.Option(help="Pairs that are less likely right are left out.")] = 0.0,
    depth: Annotated[
        bool,
        typer.Option(
            "--depth", metavar="", help="Also use total counts: only if both sides are the same physical cells."
        ),
    ] = False,
    prior_unmatched: Annotated[
        float, typer.Option(help="Prior share of cells that lack a partner; 0 if none does.")
    ] = 0.02,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Join the matched cells of two modalities, one to one, into one paired MuData; writes .h5mu."""
    refuse_inputs(out, paths_in(model, query, aliases))
    refuse_existing(out, force)
    from unisono.io.hdf5 import write_mudata

    sides = _two(between)
    fitted = model_named(model, device, aliases)
    mdata = fitted.pair(
        *_sides(query, sides),
        within=within,
        depth=depth,
        between=sides,
        prior_unmatched=prior_unmatched,
        min_probability=min_probability,
        force=force,
        layer=layer_in(layer),
        round_counts=round_counts or None,
        source_names=_side_names(query),
    )
    write_atomically(out, lambda place: write_mudata(mdata, place, compression="gzip"), force=force)
    median = float(mdata.obs["unisono_probability"].median())
    say(f"{mdata.n_obs:,} paired cells, median probability {median:.2f}, written to {out}")


def _two(between: str) -> tuple[str, str]:
    sides = [kind_named(name.strip()) for name in between.split(",")]
    if len(sides) != 2 or sides[0] == sides[1]:
        raise bad_input("E053", "--between", f"{between!r} does not name two modalities.", "as in --between rna,adt")
    return sides[0], sides[1]


def _sides(words: list[str], sides: tuple[str, str], at_most: int | None = None) -> tuple[Any, Any]:
    """The cells of both sides: of two files the left and the right ones, else of one data set.

    In memory, or, where they may be more than are held, those of a larger file by rows.
    """

    def cells(words: list[str], modality: str | None = None) -> Any:
        files = files_in(words)
        store = store_of_more(files, at_most) if at_most is not None and isinstance(files, Path) else None
        return cells_in(words, modality) if store is None else store

    if _are_two(words):
        return cells(words[:1], sides[0]), cells(words[1:], sides[1])
    both = cells(words)
    return both, both


def _side_names(words: list[str]) -> tuple[str, str]:
    """What messages call the left and the right cells."""
    left, right = (words[:1], words[1:]) if _are_two(words) else (words, words)
    return label_of(left), label_of(right)


def _are_two(words: list[str]) -> bool:
    """Whether the words are a file of left cells and one of right cells."""
    return len(words) == 2 and not any("=" in word for word in words)


def embed(
    model: Model,
    query: Query,
    out: Out,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    aliases: Aliases = None,
    device: Device = "auto",
    scheduler: Scheduler = None,
    workers: Workers = None,
    force: ForceAll = False,
) -> None:
    """Place cells of every modality in one shared space, obsm["X_unisono"]; writes .h5mu, or .zarr without counts."""
    refuse_inputs(out, paths_in(model, query, aliases))
    refuse_existing(out, force)
    from unisono.io.embeddings import write_embedding
    from unisono.io.store import Store
    from unisono.model.embedding import write_embedding_by_rows
    from unisono.model.query import QueryOptions

    fitted = model_named(model, device, aliases)
    reading: Any = {"force": force, "layer": layer_in(layer), "round_counts": round_counts or None}
    if scheduler is not None or workers is not None:
        from unisono.cluster import connected
        from unisono.cluster import embed as together

        path = file_by_rows(query)
        with connected(scheduler, workers) as client:
            together(client, fitted, path, out, device=device, **reading)
        say(f"cells with obsm['X_unisono'] written to {out}")
        return
    cells = queried_cells_in(fitted, query)
    if isinstance(cells, Store):
        if out.suffix != ZARR_SUFFIX and cells.path.suffix != ".h5mu":
            what = f"would hold the counts of {len(cells):,} cells, which are copied from .h5mu alone."
            raise bad_input("E053", str(out), what, f"write obs and obsm alone: -o {out.with_suffix('.zarr')}")
        write_embedding_by_rows(fitted.fitted, cells, out, QueryOptions(**reading), force=force)
    else:
        write_embedding(fitted.embed(cells, **reading, source_name=label_of(query)), out, force=force)
    n_cells = len(cells) if isinstance(cells, Store) else cells.n_obs
    say(f"{n_cells:,} cells with obsm['X_unisono'] written to {out}")
