"""Models that come with the package, by name; reads their cards, never their weights."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unisono.inference.record import Record

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names by which models are loaded."""
    return tuple(sorted(place.parent.name for place in FOLDER.glob("*/manifest.json")))


def folder_of(name: str | Path) -> Path | None:
    """The folder of a model that comes with the package; None where none is called so."""
    return FOLDER / str(name) if str(name) in names() else None


def models() -> pd.DataFrame:
    """The models that come with the package, a row each: what `load` takes, and what they know.

    Returns:
        By name: title, modalities, cells and data sets of training, licence, and MB on disk.

    Examples:
        >>> import unisono as un
        >>> un.models().loc["human-blood-cite", "modalities"]
        'rna, adt'
    """
    rows = []
    for name in names():
        record = Record.model_validate_json((FOLDER / name / "record.json").read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in (FOLDER / name).iterdir()) / 1e6
        card = record.card
        rows.append(
            {
                "name": name,
                "title": card.title if card else "",
                "modalities": ", ".join(record.n_cells),
                "cells": max(record.n_cells.values()),
                "data sets": ", ".join(record.data_sets),
                "licence": card.licence if card else "",
                "MB": round(size, 1),
            }
        )
    columns = ["name", "title", "modalities", "cells", "data sets", "licence", "MB"]
    return pd.DataFrame(rows, columns=columns).set_index("name")
