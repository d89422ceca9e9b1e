"""Where a fit spends its CPU time: a table of stages and of the dearest functions, of one file or several.

OMP_NUM_THREADS=1 python tools/profile_fit.py FOLDER pbmc10k_cite snareseq_cortex:batch > bench/results/profile.md
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
import warnings
from pathlib import Path

import unisono as un

STAGES = {
    "read and check": ("held.py", "read_training_cells"),
    "choose codings": ("codings.py", "with_chosen_codings"),
    "preprocess": ("fit.py", "fit_views"),
    "closed form": ("fit.py", "start_of"),
    "train: mini-batches": ("mini_batches.py", "epoch"),
    "train: objective": ("objective.py", "terms"),
    "train: gradient": ("__init__.py", "backward"),
    "train: weights": ("loop.py", "_step"),
    "train: scores of validation cells": ("loop.py", "_scores"),
    "select": ("selection.py", "select"),
    "intervals": ("selection.py", "fit_intervals"),
    "refit": ("fit.py", "_refitted"),
    "anchors": ("fit.py", "fit_anchors"),
}
N_FUNCTIONS = 12


def profile(path: Path, batch_key: str | None) -> tuple[float, pstats.Stats]:
    """CPU seconds of a fit by the default preset, and what they went into."""
    cells, profiler = un.read(path), cProfile.Profile(time.process_time)
    began = time.process_time()
    profiler.runcall(un.fit, cells, batch_key=batch_key, progress=False)
    return time.process_time() - began, pstats.Stats(profiler)


def tables(name: str, seconds: float, stats: pstats.Stats) -> str:
    """Markdown: a row for each stage, and for each of the functions that most time went into by themselves."""
    found = stats.stats  # type: ignore[attr-defined]
    lines = [
        f"## {name}",
        "",
        f"{seconds:.0f} CPU seconds under the profiler.",
        "",
        "| stage | CPU s |",
        "| --- | --- |",
    ]
    for stage, (file, function) in STAGES.items():
        own = [row[3] for (path, _, called), row in found.items() if Path(path).name == file and called == function]
        if own:
            lines.append(f"| {stage} | {max(own):.1f} |")
    lines += ["", "| function | calls | CPU s in itself |", "| --- | --- | --- |"]
    dearest = sorted(found.items(), key=lambda item: -item[1][2])[:N_FUNCTIONS]
    for (path, _, called), row in dearest:
        place = "" if path == "~" else f"{Path(path).parent.name}/{Path(path).name}: "
        lines.append(f"| `{place}{called.strip('<>')}` | {row[0]:,} | {row[2]:.1f} |")
    return "\n".join(lines) + "\n"


def main(folder: Path, names: list[str]) -> None:
    """Print the page."""
    warnings.simplefilter("ignore")
    command = f"python tools/profile_fit.py DATA {' '.join(names)}"
    print(f"# Where a fit spends its time\n\n`{command}`, preset default, one thread, stages in the order of a fit.\n")
    for name in names:
        file, _, batch_key = name.partition(":")
        print(tables(file, *profile(folder / f"{file}.h5mu", batch_key or None)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
