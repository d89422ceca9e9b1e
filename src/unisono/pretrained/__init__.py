"""Models that come with the package, by name; reads their cards, never their weights."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unisono.inference.record import Record
from unisono.io.recovery import recovered
from unisono.messages import bad_input

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The names by which models are loaded."""
    return tuple(sorted(place.parent.name for place in FOLDER.glob("*/manifest.json")))


def folder_of(path: str | Path) -> Path:
    """The folder that is there, or else that of the model which comes with the package and is called so.

    Raises:
        BadInput: E001, neither.
    """
    recovered(path)
    if Path(path).exists():
        return Path(path)
    if str(path) in names():
        return FOLDER / str(path)
    remedy = f"check the path, or name a model that comes with the package: {', '.join(names())}"
    raise bad_input("E001", str(path), "no such folder.", remedy)


def models() -> pd.DataFrame:
    """The models that come with the package, a row each: what `load` takes, and what they know.

    Returns:
        A row a name, with title, modalities, cells and data sets of training, licence, and MB on disk.

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
