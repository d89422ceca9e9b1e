"""What the scripts here share: where the data are, a table of figures over seeds, and a report on disk."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(os.environ.get("UNISONO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

Row = Mapping[str, Any]


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
        cells = [*key, *(_spread(line.get(name, []), digits) for name in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_report(out: Path | None, name: str, title: str, text: str, results: object) -> None:
    """Print the text; under `out` also write it as NAME.md, with the command, beside the figures as NAME.json."""
    print(text)
    if out is None:
        return
    command = f"python {Path(sys.argv[0]).parent.name}/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}"
    document = {
        "command": command,
        "versions": {library: version(library) for library in ("unisono", "torch", "numpy", "scipy")},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "results": results,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(f"# {title}\n\n`{command}`\n\n{text}", encoding="utf-8")


def _spread(values: list[float], digits: int) -> str:
    if not values:
        return ""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f}–{max(values):.{digits}f})"
