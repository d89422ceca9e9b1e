"""Match: which cell of one modality is which cell of another, written as .h5ad."""

from __future__ import annotations

from typing import Annotated

import typer

from unisono.cli.console import say
from unisono.cli.options import Aliases, Device, ForceAll, Model, Out, Query
from unisono.cli.values import kind_named, known_as
from unisono.messages import bad_input


def match(
    model: Model,
    query: Query,
    between: Annotated[str, typer.Option(metavar="LEFT,RIGHT", help="Modalities, as rna,adt.")],
    out: Out,
    within: Annotated[str | None, typer.Option(help="obs column; cells are matched inside its groups.")] = None,
    rule: Annotated[str, typer.Option(help="soft, argmax or one-to-one.")] = "soft",
    depth: Annotated[
        bool, typer.Option("--depth", help="Also use total counts: only if both sides are the same physical cells.")
    ] = False,
    top: Annotated[int, typer.Option(help="Most partners per cell, at most 1000.", min=1, max=1000)] = 100,
    prior_unmatched: Annotated[
        float, typer.Option(help="Prior share of cells that lack a partner; 0 if none does.")
    ] = 0.02,
    min_probability: Annotated[
        float, typer.Option(help="obs['is_answered'] is False where an answer is less likely to be right.")
    ] = 0.0,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Find which cell of one modality is which cell of another; writes .h5ad, left cells x right cells."""
    from unisono.io.write import refuse_existing

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata
    from unisono.matching import RULES

    sides = [kind_named(name.strip()) for name in between.split(",")]
    if len(sides) != 2 or sides[0] == sides[1]:
        raise bad_input("E053", "--between", f"{between!r} does not name two modalities.", "as in --between rna,adt")
    if rule not in RULES:
        raise bad_input("E053", "--rule", f"{rule!r} is unknown.", f"one of {', '.join(RULES)}")
    fitted = known_as(load(model, device=device), aliases)
    mdata = read_mudata(query)
    found = fitted.match(
        mdata,
        mdata,
        within=within,
        rule=rule,
        depth=depth,
        top=top,
        between=(sides[0], sides[1]),
        prior_unmatched=prior_unmatched,
        min_probability=min_probability,
        force=force,
    )
    found.write(out, force=force)
    say(f"{len(found.left):,} {sides[0]} cells matched to {len(found.right):,} {sides[1]} cells in {out}")
