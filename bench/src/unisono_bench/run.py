"""The benchmark from a data file to a report: folds, methods, one process for each run; prints nothing."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import unisono as un
import unisono_bench
from unisono_bench import ChoiceError
from unisono_bench.data import Dataset, Fold, Protocol, make_folds
from unisono_bench.methods import Method
from unisono_bench.outputs import Costs
from unisono_bench.records import Run, RunFolder, json_text, write_text
from unisono_bench.scores import Score, score
from unisono_bench.subprocesses import Failed, run_in_subprocess
from unisono_bench.tables import REFERENCE, Table, ablation_table, cost_table, markdown, overviews, score_tables
from unisono_bench.tasks import make_tasks

_LIBRARIES = ("unisono", "torch", "numpy", "scipy", "anndata", "mudata")
FORMAT = 2

Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What a benchmark found.

    Attributes:
        document: JSON-able: command, versions, data and all runs.
        runs: of the methods compared.
        ablations: of the reference without one part each, if asked for.
    """

    document: dict[str, Any]
    runs: tuple[Run, ...]
    ablations: tuple[Run, ...]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Report:
        """The report of a benchmark.json."""
        runs = [Run.model_validate(run) for run in document["runs"]]
        reduced = {run.method for run in runs if run.method.startswith(f"{REFERENCE}-")}
        return cls(
            document,
            tuple(run for run in runs if run.method not in reduced),
            tuple(run for run in runs if run.method in reduced),
        )

    @property
    def overviews(self) -> tuple[Table, ...]:
        return overviews(self.runs)

    @property
    def ablation(self) -> Table | None:
        """None where no ablation was asked for."""
        if not self.ablations:
            return None
        return ablation_table([*(run for run in self.runs if run.method == REFERENCE), *self.ablations])

    @property
    def markdown(self) -> str:
        """The whole report as text."""
        data = self.document["data"]
        head = (
            f"# Benchmark: {data['file']}\n\n`{self.document['command']}`\n\n"
            f"{data['n_cells']:,} cells ({', '.join(data['modalities'])}), fingerprint {data['fingerprint'][:12]}, "
            f"unisono {self.document['versions']['unisono']}, {self.document['cores']} cores. A figure is the median "
            f"(least–most) over runs; the best of a column is bold. A method of which a run failed is not ranked.\n\n"
        )
        sources = sorted({run.source_hash for run in (*self.runs, *self.ablations)})
        if len(sources) > 1:
            head += f"These runs come from {len(sources)} states of the source files: {', '.join(sources)}.\n\n"
        ablation = [] if self.ablation is None else [self.ablation]
        tables = [*self.overviews, *ablation, *score_tables(self.runs), cost_table(self.runs)]
        return head + markdown(tables) + self._notes

    @property
    def _notes(self) -> str:
        noted = dict.fromkeys(f"- {run.method}: {note}" for run in self.runs for note in run.notes)
        return "\n".join(["", "## Notes", "", *noted, ""]) if noted else ""


def benchmark(
    out: Path,
    dataset: Dataset,
    methods: Sequence[Method],
    protocol: Protocol,
    *,
    ablations: Sequence[Method] = (),
    command: Sequence[str] = ("unisono-bench", "run"),
    force: bool = False,
    say: Say,
) -> Report:
    """Run every method through every fold, one run at a time, and write benchmark.json and benchmark.md.

    Args:
        out: folder; a benchmark that is there is resumed, runs that ended well are not repeated where method, cells,
            split, seed and version of the package are the same.
        dataset: the cells.
        methods: rows of the tables; of the same name only one.
        protocol: splits and seeds.
        ablations: rows of a table of their own.
        command: how the benchmark was called, for the record.
        force: repeat all runs, and write into a folder that holds other things.
        say: told what is going on, a line at a time.

    Raises:
        ChoiceError: the folder holds other things, or see `make_folds`.
        un.BadInput: the data cannot be read or split so.
    """
    _refuse_foreign(out, force)
    plan = _plan(dataset, protocol)
    folder = RunFolder(out / "runs")
    found: dict[str, list[Run]] = {}
    total = len(plan.folds) * (len(methods) + len(ablations))
    number = 0
    for fold in plan.folds:
        for method in (*methods, *ablations):
            number += 1
            run = _run(method, dataset, fold, plan, folder, force, partial(_say_numbered, say, number, total))
            found.setdefault(method.name, []).append(run)
    document = {
        "format": FORMAT,
        "command": shlex.join(command),
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "data": {"file": dataset.path.name, **plan.data},
        "runs": [run.model_dump(mode="json") for runs in found.values() for run in runs],
    }
    report = Report(document, _of(methods, found), _of(ablations, found))
    write_text(out / "benchmark.json", json_text(document))
    write_text(out / "benchmark.md", report.markdown)
    return report


class _Plan(NamedTuple):
    """All that has to be known of the data once they are put away again."""

    folds: tuple[Fold, ...]
    data: dict[str, Any]


def _plan(dataset: Dataset, protocol: Protocol) -> _Plan:
    mdata = dataset.read()
    cells = dataset.cells(mdata)
    data = {"fingerprint": un.fingerprint(cells), "n_cells": len(cells.names), "modalities": list(cells.modalities)}
    return _Plan(make_folds(mdata, dataset, protocol), data)


def _run(method: Method, dataset: Dataset, fold: Fold, plan: _Plan, folder: RunFolder, force: bool, say: Say) -> Run:
    """The run that is there already, or a new one, kept at once."""
    of_fold = fold.fingerprint(plan.data["fingerprint"])
    parts = [method.name, method.settings, of_fold, fold.seed, version("unisono"), version("unisono-bench")]
    fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    known = None if force else folder.find(method.name, fold.name, fold.seed, fingerprint)
    what = f"{method.name}, {fold.label}"
    if known is not None:
        is_same = known.source_hash == source_hash()
        say(f"{what}: there already{'' if is_same else ', made by other source files; --force repeats it'}")
        return known
    folder.folder.mkdir(parents=True, exist_ok=True)
    log = folder.path(method.name, fold.name, fold.seed).with_suffix(".log")
    started = Run(
        method=method.name,
        split=fold.name,
        seed=fold.seed,
        fingerprint=fingerprint,
        source_hash=source_hash(),
        n_training=len(fold.split.training),
        n_test=len(fold.split.test),
    )
    result = run_in_subprocess(partial(scored, method, dataset, fold), log)
    if isinstance(result, Failed):
        run = started.model_copy(update={"failure": result.reason})
        say(f"{what}: failed: {result.reason}")
    else:
        run = started.model_copy(update=result._asdict())
        say(f"{what}: {result.costs.total.seconds:.1f} s, {result.costs.peak_bytes / 2**30:.2f} GB")
    folder.keep(run)
    return run


class Scored(NamedTuple):
    """What the process of a run sends back."""

    scores: tuple[Score, ...]
    costs: Costs
    notes: tuple[str, ...]


def scored(method: Method, dataset: Dataset, fold: Fold) -> Scored:
    """One run: read the cells, learn from some, do the tasks of others, and be scored."""
    training, test = fold.take(dataset.cells())
    tasks = make_tasks(test, fold.seed)
    with tempfile.TemporaryDirectory(prefix="unisono-run-") as folder:
        outputs = method.outputs(training, tasks, fold.seed, Path(folder))
        return Scored(score(tasks, outputs), outputs.costs, outputs.notes)


def source_hash() -> str:
    """SHA-256 of the names and texts of the Python files of unisono and of the benchmark, in 12 characters.

    A version may stand for several states while the package is worked on.
    """
    digest = hashlib.sha256()
    for module in (un, unisono_bench):
        package = Path(str(module.__file__)).parent
        for path in sorted(package.rglob("*.py")):
            digest.update(f"{path.relative_to(package).as_posix()};".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _refuse_foreign(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ChoiceError(f"{out} is a file, expected a folder; pass another folder with -o")
    is_ours = (out / "runs").is_dir() or not out.exists() or not any(out.iterdir())
    if not is_ours and not force:
        raise ChoiceError(
            f"{out} holds other things and no benchmark; pass --force to write into it, or another folder with -o"
        )


def _of(methods: Sequence[Method], found: dict[str, list[Run]]) -> tuple[Run, ...]:
    return tuple(run for method in methods for run in found[method.name])


def _say_numbered(say: Say, number: int, total: int, line: str) -> None:
    say(f"[{number}/{total}] {line}")
