"""Command line: the words that were typed, as a record may hold them that others will read; parses none."""

from __future__ import annotations

import sys
from pathlib import Path


def command_line() -> list[str]:
    """The program and its arguments, paths without the folders of this machine."""
    return ["unisono", *map(_without_folder, sys.argv[1:])]


def _without_folder(word: str) -> str:
    """The last part of an absolute path; any other word as it is."""
    return Path(word).name if Path(word).is_absolute() else word
