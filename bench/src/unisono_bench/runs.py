"""Runs on disk: one JSON file a run, written when it ends, so that an interrupted benchmark is taken up again."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from unisono_bench.record import Run
from unisono.io.write import write_json


@dataclass(frozen=True)
class Runs:
    """The folder of the runs of a benchmark."""

    folder: Path

    def place(self, method: str, split: str, seed: int) -> Path:
        """The file of a run."""
        return self.folder / f"{_slug(method)}-{_slug(split)}-{seed}.json"

    def find(self, method: str, split: str, seed: int, key: str) -> Run | None:
        """A run that ended well and has this key; a failed one is to be tried again."""
        try:
            run = Run.model_validate_json(self.place(method, split, seed).read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            return None
        return run if run.key == key and run.failure is None else None

    def keep(self, run: Run) -> None:
        """Write a run at once, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.place(run.method, run.split, run.seed), run.model_dump(mode="json"))


def _slug(name: str) -> str:
    """A name fit for a file; two names never become one."""
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", name)[:60]
    return plain if plain == name else f"{plain}~{hashlib.sha256(name.encode()).hexdigest()[:6]}"
