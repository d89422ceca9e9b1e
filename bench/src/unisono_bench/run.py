"""The benchmark from a data file to a report: rounds, contenders, one process a run; prints nothing."""

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

import numpy as np
from numpy.typing import NDArray

from unisono_bench.apart import Failed, apart
from unisono_bench.dataset import Dataset
from unisono_bench.runs import Runs
from unisono_bench.source import source_mark
from unisono_bench.ablation import ablation_table
from unisono_bench.contenders import Contender
from unisono_bench.costs import Costs
from unisono_bench.exam import exam
from unisono_bench.judge import Figures, figures
from unisono_bench.markdown import markdown
from unisono_bench.record import Run
from unisono_bench.rounds import Round, rounds
from unisono_bench.table import REFERENCE, Table, cost_table, overviews, task_tables
from unisono.messages import bad_input, warn
from unisono.io.fingerprint import fingerprint
from unisono.io.write import write_atomically, write_json
from unisono.types import Cells

_LIBRARIES = ("unisono", "torch", "numpy", "scipy", "anndata", "mudata")
FORMAT = 1

Say = Callable[[str], None]


@dataclass(frozen=True)
class Protocol:
    """Which cells are test: see `unisono_bench.rounds`."""

    split: str = "random"
    n_seeds: int = 3
    donor_key: str | None = None
    training_batches: tuple[str, ...] | None = None
    test_batches: tuple[str, ...] | None = None
    n_training: int | None = None


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
        sources = sorted({run.source for run in (*self.runs, *self.ablations)})
        if len(sources) > 1:
            head += f"These runs come from {len(sources)} states of the package's files: {', '.join(sources)}.\n\n"
        ablation = [] if self.ablation is None else [self.ablation]
        return (
            head + markdown([*self.overviews, *ablation, *task_tables(self.runs), cost_table(self.runs)]) + self._notes
        )

    @property
    def _notes(self) -> str:
        noted = dict.fromkeys(f"- {run.method}: {note}" for run in self.runs for note in run.notes)
        return "\n".join(["", "## Notes", "", *noted, ""]) if noted else ""


def benchmark(
    out: Path,
    dataset: Dataset,
    contenders: Sequence[Contender],
    protocol: Protocol,
    *,
    ablations: Sequence[Contender] = (),
    command: Sequence[str] = ("unisono", "benchmark"),
    force: bool = False,
    say: Say,
) -> Report:
    """Run every contender through every round, one run at a time, and write benchmark.json and benchmark.md.

    Args:
        out: folder; a benchmark that is there is taken up again, runs that ended well are not repeated where method,
            cells, split, seed and version of the package are the same.
        dataset: the cells.
        contenders: rows of the tables; of the same name only one.
        protocol: splits and seeds.
        ablations: rows of a table of their own.
        command: how the benchmark was called, for the record.
        force: repeat all runs, and write into a folder that holds other things.
        say: told what is going on, a line at a time.

    Raises:
        BadInput: the data cannot be read or split so, or the folder holds other things.
    """
    _refuse_foreign(out, force)
    plan = _plan(dataset, protocol)
    store = Runs(out / "runs")
    found: dict[str, list[Run]] = {}
    total = len(plan.rounds) * (len(contenders) + len(ablations))
    number = 0
    for turn in plan.rounds:
        for contender in (*contenders, *ablations):
            number += 1
            run = _run(contender, dataset, turn, plan, store, force, partial(_say_numbered, say, number, total))
            found.setdefault(contender.name, []).append(run)
    document = {
        "format": FORMAT,
        "command": shlex.join(command),
        "versions": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "data": {"file": dataset.path.name, **plan.data},
        "runs": [run.model_dump(mode="json") for runs in found.values() for run in runs],
    }
    report = Report(document, _of(contenders, found), _of(ablations, found))
    write_json(out / "benchmark.json", document)
    _write_text(out / "benchmark.md", report.markdown)
    return report


class _Plan(NamedTuple):
    """All that is to be known of the data once they are put away again."""

    rounds: tuple[Round, ...]
    marks: dict[str, str]
    data: dict[str, Any]


def _plan(dataset: Dataset, protocol: Protocol) -> _Plan:
    cells, findings = dataset.read()
    warn(findings)
    donor = None if protocol.donor_key is None else dataset.donors(protocol.donor_key)
    turns = rounds(
        cells,
        protocol.split,
        protocol.n_seeds,
        donor=donor,
        training=protocol.training_batches,
        test=protocol.test_batches,
        n_training=protocol.n_training,
    )
    mark = fingerprint(cells)
    data = {"fingerprint": mark, "n_cells": len(cells.names), "modalities": list(cells.modalities)}
    return _Plan(turns, {_label(turn): _mark(cells, turn, mark) for turn in turns}, data)


def _mark(cells: Cells, turn: Round, mark: str) -> str:
    """SHA-256 of the data and of which cells are training and test."""
    digest = hashlib.sha256(mark.encode())
    for rows in (turn.split.training, turn.split.test):
        digest.update(f"{len(rows)};".encode() + rows.astype("<i8").tobytes())
    return digest.hexdigest()


def _run(contender: Contender, dataset: Dataset, turn: Round, plan: _Plan, store: Runs, force: bool, say: Say) -> Run:
    """The run that is there already, or a new one, kept at once."""
    said = [contender.name, contender.settings, plan.marks[_label(turn)], turn.seed, version("unisono")]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    known = None if force else store.find(contender.name, turn.name, turn.seed, key)
    what = f"{contender.name}, {_label(turn)}"
    if known is not None:
        is_same = known.source == source_mark()
        say(f"{what}: there already{'' if is_same else ', made by other files of the package; --force repeats it'}")
        return known
    store.folder.mkdir(parents=True, exist_ok=True)
    log = store.place(contender.name, turn.name, turn.seed).with_suffix(".log")
    work = partial(answered, contender, dataset.cells, turn.split.training, turn.split.test, turn.seed)
    started = Run(
        method=contender.name,
        split=turn.name,
        seed=turn.seed,
        key=key,
        source=source_mark(),
        n_training=len(turn.split.training),
        n_test=len(turn.split.test),
    )
    outcome = apart(work, log)
    if isinstance(outcome, Failed):
        run = started.model_copy(update={"failure": outcome.reason})
        say(f"{what}: failed: {outcome.reason}")
    else:
        run = started.model_copy(update=outcome._asdict())
        say(f"{what}: {outcome.costs.total.seconds:.1f} s, {outcome.costs.peak_bytes / 2**30:.2f} GB")
    store.keep(run)
    return run


class Answered(NamedTuple):
    """What the process of a run sends back."""

    figures: Figures
    costs: Costs
    notes: tuple[str, ...]


def answered(
    contender: Contender,
    read: Callable[[], Cells],
    training: NDArray[np.intp],
    test: NDArray[np.intp],
    seed: int,
) -> Answered:
    """One run: read the cells, learn from some, answer about others, be judged."""
    cells = read()
    learning, asked = cells.take(training), exam(cells.take(test), seed)
    del cells
    with tempfile.TemporaryDirectory(prefix="unisono-run-") as folder:
        answers = contender.answers(learning, asked, seed, Path(folder))
        return Answered(figures(asked, answers), answers.costs, answers.notes)


def _refuse_foreign(out: Path, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise bad_input("E055", str(out), "is a file, wanted a folder.", "give another folder with -o")
    is_ours = (out / "runs").is_dir() or not out.exists() or not any(out.iterdir())
    if not is_ours and not force:
        what = "holds other things and no benchmark."
        raise bad_input("E055", str(out), what, "give --force to write into it, or another folder with -o")


def _of(contenders: Sequence[Contender], found: dict[str, list[Run]]) -> tuple[Run, ...]:
    return tuple(run for contender in contenders for run in found[contender.name])


def _label(turn: Round) -> str:
    return f"{turn.name}, seed {turn.seed}"


def _say_numbered(say: Say, number: int, total: int, line: str) -> None:
    say(f"[{number}/{total}] {line}")


def _write_text(path: Path, text: str) -> None:
    def write(place: Path) -> None:
        place.write_text(text, encoding="utf-8")

    write_atomically(path, write, force=True)
