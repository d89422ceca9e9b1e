"""One run of a benchmark as it is kept, and its file, written when it ends so that a benchmark can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from unisono_bench.outputs import Costs
from unisono_bench.scores import Question, Score


class Run(BaseModel):
    """A method on one fold.

    Attributes:
        method: its name.
        split: name of the fold: `random`, or the batch or donor left out.
        seed: of the method, and of a random split.
        fingerprint: SHA-256 of all that the scores depend on; a run with the same one need not be repeated.
        source_hash: SHA-256 of the source files when it began, in 12 characters; not part of the fingerprint.
        n_training: training cells.
        n_test: test cells.
        scores: one row for each metric of each task; empty where the run failed.
        costs: None where the run failed.
        failure: why it failed, in one line.
        notes: what the reader of a table should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    split: str
    seed: int
    fingerprint: str
    source_hash: str
    n_training: int
    n_test: int
    scores: tuple[Score, ...] = ()
    costs: Costs | None = None
    failure: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def fold(self) -> tuple[str, int]:
        """Split and seed, which runs of other methods share."""
        return self.split, self.seed

    def value(self, question: Question, metric: str) -> float | None:
        """A score; None where there is none."""
        return next((row.value for row in self.scores if row.metric == metric and row.question == question), None)


def questions(runs: Sequence[Run]) -> tuple[Question, ...]:
    """What the scores of all runs answer: predictions, then matchings, the headline before its settings."""
    found = dict.fromkeys(row.question for run in runs for row in run.scores)
    return tuple(sorted(found, key=lambda question: question.task == "matching"))


def metrics_of(runs: Sequence[Run], question: Question) -> tuple[str, ...]:
    """The metrics of a question, in the order in which they were found."""
    return tuple(dict.fromkeys(row.metric for run in runs for row in run.scores if row.question == question))


@dataclass(frozen=True)
class RunFolder:
    """The folder of the runs of a benchmark, one JSON file each."""

    folder: Path

    def path(self, method: str, split: str, seed: int) -> Path:
        """The file of a run."""
        return self.folder / f"{_slug(method)}-{_slug(split)}-{seed}.json"

    def find(self, method: str, split: str, seed: int, fingerprint: str) -> Run | None:
        """A run that ended well and has this fingerprint; a failed one is to be tried again."""
        try:
            run = Run.model_validate_json(self.path(method, split, seed).read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return None
        return run if run.fingerprint == fingerprint and run.failure is None else None

    def keep(self, run: Run) -> None:
        """Write a run, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.path(run.method, run.split, run.seed), json_text(run.model_dump(mode="json")))


def json_text(document: object) -> str:
    """Indented JSON with each row, an object or a list of plain values, on a line of its own."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return re.sub(r"([{\[])\n([^{}\[\]]*)\n\s*([}\]])", lambda row: f"{row[1]}{_joined(row[2])}{row[3]}", text) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name first: whole or not at all."""
    unfinished = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _joined(lines: str) -> str:
    return " ".join(line.strip() for line in lines.split("\n"))


def _slug(name: str) -> str:
    """A name fit for a file; two names never become one."""
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", name)[:60]
    return plain if plain == name else f"{plain}~{hashlib.sha256(name.encode()).hexdigest()[:6]}"
