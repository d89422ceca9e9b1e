"""Matching of very many cells: cost of the soft match probabilities of made contents, and how right they are."""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from unisono_bench.studies.report import Row, Settings, Study
from unisono_bench.studies.scale import SIZES, soft_match, vectors
from unisono_bench.subprocesses import Failed, run_in_subprocess

_LOOKED_AT = 5000
"""Left cells whose answers are looked at."""


def measure(settings: Settings) -> dict[str, list[Row]]:
    """Every size, in a process of its own."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in settings.data:
            found = partial(of_size, SIZES[name], Path(folder))
            rows += settings.kept.rows(f"{name} x {name} matched", [], lambda f=found: list(f()))  # type: ignore[misc]
    return {"rows": rows}


def of_size(n_cells: int, folder: Path) -> Iterator[Row]:
    """The cost of so many cells on either side, and what became of those looked at."""
    for work in (partial(_make, n_cells, folder), partial(matched, folder)):
        done = run_in_subprocess(work, folder / "log")
        if isinstance(done, Failed):
            raise ChildProcessError(f"{n_cells:,} cells: {done.reason}")
    yield {"n_cells": n_cells, **done}  # type: ignore[dict-item]


def _make(n_cells: int, folder: Path) -> None:
    """Write contents of partners; what this process holds is not charged to the matching."""
    for name, side in zip(("left", "right"), vectors(n_cells), strict=True):
        np.save(folder / f"{name}.npy", side)


def matched(folder: Path) -> dict[str, float]:
    """Cost of the soft match of the contents in a folder, row i of both being one cell, and how right it is."""
    left, right = (np.load(folder / f"{name}.npy") for name in ("left", "right"))
    found, cost = soft_match(left, right)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    looked_at = np.linspace(0, len(left) - 1, min(_LOOKED_AT, len(left))).astype(int)
    rows = found.probabilities[looked_at]
    of_partner = np.asarray(rows[np.arange(len(looked_at)), looked_at]).ravel()
    best = np.asarray(rows.argmax(axis=1)).ravel()
    return {name: round(value, 1) for name, value in cost.items()} | {
        "peak_gb": round(peak, 3),
        "stated": round(float(np.asarray(found.confidence)[looked_at].mean()), 4),
        "right": round(float((best == looked_at).mean()), 4),
        "is_listed": round(float((of_partner > 0).mean()), 4),
    }


def tell(results: Mapping[str, list[Row]], settings: Settings) -> str:
    """A table of cost and of answers."""
    lines = [
        "| cells a side | CPU | wall | peak memory | partner among the 50 | first is right | stated of the first |",
        "|" + " --- |" * 7,
    ]
    lines += [
        f"| {row['n_cells']:,} | {row['cpu_seconds']:,.0f} s | {row['seconds']:,.0f} s | {row['peak_gb']:.2f} GiB "
        f"| {row['is_listed']:.3f} | {row['right']:.3f} | {row['stated']:.3f} |"
        for row in results["rows"]
    ]
    return f"{_TEXT}\n\n" + "\n".join(lines) + "\n"


_TEXT = """\
Soft match probabilities of made contents of 64 dimensions, 50 of a row, Sinkhorn included, on one thread; contents are
those of the [table of candidates](scale.md), and the temperature is fitted to 4,000 pairs of them. Up to 100,000 cells
candidates are exact; beyond, they are found in inverted lists of faiss, 60 from either side at a million."""

STUDY = Study("Very many cells matched", ("10k", "100k", "1M"), "fast", measure, tell)
