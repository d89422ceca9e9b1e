"""Which state of this package's own files made a figure, for a version may stand for several while it is worked on."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def source_mark(package: Path = _PACKAGE) -> str:
    """SHA-256 of the names and texts of all Python files of a package, in 12 characters."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()};".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
