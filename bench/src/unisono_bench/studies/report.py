"""What a study is, the page and the JSON that it leaves, and a table of figures over seeds; measures nothing."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from unisono_bench import ChoiceError
from unisono_bench.records import json_text, write_text
from unisono_bench.studies.kept import KeptRows
from unisono_bench.studies.kept import Row as Row

FORMAT = 3
KEPT = "parts"
"""Folder, in that of a report, of what a long study has found so far."""

_LIBRARIES = ("unisono", "torch", "numpy", "scipy", "scikit-learn")

Preset = Literal["fast", "default", "best"]


@dataclass(frozen=True)
class Settings:
    """What a study is repeated with.

    Attributes:
        data: names of data sets, read from the folder UNISONO_DATA.
        n_seeds: seeds 0, 1, ...
        preset: of Unisono.
        kept: where a long study keeps what it has found so far.
    """

    data: tuple[str, ...]
    n_seeds: int
    preset: Preset
    kept: KeptRows = field(default_factory=lambda: KeptRows(None, _say), compare=False)

    @property
    def as_json(self) -> dict[str, Any]:
        """What the figures depend on."""
        return {"data": list(self.data), "n_seeds": self.n_seeds, "preset": self.preset}

    @property
    def said(self) -> str:
        """For the text of a page."""
        return f"{self.n_seeds} seed{'' if self.n_seeds == 1 else 's'}, mean (min–max)."


@dataclass(frozen=True)
class Study:
    """A study and how it is told.

    Attributes:
        title: of its page; {data} stands for the data sets.
        data: data sets it knows; none for a study of simulations.
        preset: by default.
        measure: from settings to tables of rows, by name.
        tell: from these tables to the text of the page.
        is_apart: one page for each data set, called after it.
        draw: from tables and settings to pictures in a folder.
    """

    title: str
    data: tuple[str, ...]
    preset: Preset
    measure: Callable[[Settings], dict[str, list[Row]]]
    tell: Callable[[Mapping[str, list[Row]], Settings], str]
    is_apart: bool = False
    draw: Callable[[Mapping[str, list[Row]], Settings, Path], None] | None = None

    def page(self, document: Mapping[str, Any]) -> str:
        """The page of a document, as Markdown."""
        settings = Settings(**document["settings"] | {"data": tuple(document["settings"]["data"])})
        title = self.title.format(data=", ".join(settings.data))
        results = {name: rows_of(table) for name, table in document["results"].items()}
        return f"# {title}\n\n`{document['command']}`\n\n{self.tell(results, settings)}"


def run_study(
    name: str,
    study: Study,
    out: Path | None,
    data: Sequence[str] | None,
    n_seeds: int,
    preset: str | None,
    command: Sequence[str],
) -> None:
    """Measure, print the page, and under `out` write it with its rows as NAME.md and NAME.json.

    Args:
        name: of the study.
        study: which one.
        out: folder of the pages; None for none.
        data: data sets, all that the study knows by default.
        n_seeds: seeds 0, 1, ...
        preset: that of the study by default.
        command: how the study was called, for the record.

    Raises:
        ChoiceError: the study does not know a data set, or there is no such preset.
    """
    chosen = tuple(study.data if data is None else data)
    unknown = [one for one in chosen if one not in study.data]
    if unknown:
        known = ", ".join(study.data) or "none, it simulates its own"
        raise ChoiceError(f"study {name} does not know the data set {unknown[0]!r}; it knows {known}")
    presets = {one: one for one in get_args(Preset)}
    if preset is not None and preset not in presets:
        raise ChoiceError(f"--preset {preset!r} is unknown; choose {', '.join(presets)}")
    for part in [(one,) for one in chosen] if study.is_apart else [chosen]:
        kept = KeptRows(None if out is None else out / KEPT, _say)
        settings = Settings(part, n_seeds, presets.get(preset or "", study.preset), kept)
        results = study.measure(settings)
        document = {
            "format": FORMAT,
            "study": name,
            "command": shlex.join(command),
            "settings": settings.as_json,
            "versions": {library: version(library) for library in _LIBRARIES},
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "results": {name: table_of(rows) for name, rows in results.items()},
        }
        page = study.page(document)
        print(page)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            file = part[0] if study.is_apart else name
            write_text(out / f"{file}.json", json_text(document))
            write_text(out / f"{file}.md", page)
            if study.draw is not None:
                study.draw(results, settings, out)


def table_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Rows with the names of their columns told once; what a row lacks is None."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "rows": [[row.get(name) for name in columns] for row in rows]}


def rows_of(table: Mapping[str, list[Any]]) -> list[Row]:
    """Rows of a table as a document holds it."""
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def figure_table(rows: Iterable[Row], by: tuple[str, ...], across: str = "figure", digits: int = 4) -> str:
    """Markdown: a line for each combination of `by`, a column for each value of `across`, mean (min–max) of `value`."""
    rows = list(rows)
    columns = list(dict.fromkeys(row[across] for row in rows))
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for row in rows:
        line = found.setdefault(tuple(str(row[name]) for name in by), {})
        line.setdefault(row[across], []).append(float(row["value"]))
    lines = [f"| {' | '.join([*by, *columns])} |", "|" + " --- |" * (len(by) + len(columns))]
    for key, line in found.items():
        cells = [*key, *(spread(line.get(name, []), digits) for name in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], digits: int) -> str:
    """Mean (min–max), the value alone where there is one, nothing where there is none."""
    if not values:
        return ""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def grouped(rows: Iterable[Row], key: Callable[[Row], tuple[str, ...]]) -> dict[tuple[str, ...], list[Row]]:
    """Rows by a key, in the order of first appearance."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found
