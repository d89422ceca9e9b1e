"""Rows of a study as they are found, one file for each part, so that a study goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

from unisono_bench.records import write_text
from unisono_bench.run import source_hash

Row = dict[str, Any]


@dataclass(frozen=True)
class KeptRows:
    """A folder of rows; of a part that is there, nothing is measured again.

    Attributes:
        folder: where they are; None keeps nothing.
        say: told what is going on, a line at a time.
    """

    folder: Path | None
    say: Callable[[str], None]

    def rows(self, part: str, depends_on: Sequence[Any], measure: Callable[[], Iterable[Row]]) -> list[Row]:
        """The rows of a part, measured unless they are there.

        Args:
            part: what was measured, for people.
            depends_on: all that the rows depend on besides the source files, JSON-able.
            measure: gives the rows.
        """
        path = None if self.folder is None else self.folder / _file_name(part, depends_on)
        if path is not None and path.exists():
            head, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
            is_same = head["source_hash"] == source_hash()
            remark = "" if is_same else f", made by other source files; remove {path} to repeat it"
            self.say(f"{part}: there already{remark}")
            return rows
        started = process_time()
        found = list(measure())
        self.say(f"{part}: {process_time() - started:.0f} CPU seconds")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = [{"part": part, "source_hash": source_hash()}, *found]
            write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        return found


def _file_name(part: str, depends_on: Sequence[Any]) -> str:
    """Of lines of JSON; other settings or another version give another name."""
    text = json.dumps([part, *depends_on, version("unisono"), version("unisono-bench")], sort_keys=True)
    return f"{re.sub(r'[^A-Za-z0-9._+-]+', '_', part)[:100]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.jsonl"
