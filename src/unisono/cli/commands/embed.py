"""Embed: cells of every modality in one shared space, written as .h5mu; the query is left as it is."""

from __future__ import annotations

from unisono.cli.console import say
from unisono.cli.options import Aliases, Device, ForceAll, Model, Out, Query
from unisono.cli.values import known_as


def embed(
    model: Model,
    query: Query,
    out: Out,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Place cells of every modality in one shared space, obsm["X_unisono"]; writes .h5mu."""
    from unisono.io.write import refuse_existing, write_atomically

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata

    mdata = known_as(load(model, device=device), aliases).embed(read_mudata(query), force=force)
    write_atomically(out, lambda place: mdata.write_h5mu(place, compression="gzip"), force=force)
    say(f"{mdata.n_obs:,} cells with obsm['X_unisono'] written to {out}")
