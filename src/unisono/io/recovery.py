"""Recovery of a folder that was being replaced when its process was killed; loads nothing of what it holds."""

from __future__ import annotations

import os
from pathlib import Path

from unisono.io.manifest import verify_manifest
from unisono.io.write import left_by_the_dead
from unisono.messages import BadInput, Finding, warn


def recovered(path: str | Path) -> Path:
    """The absolute path of a folder with a manifest, once one that was renamed aside is back in its place, if any is.

    Where names cannot change places in one step, a folder is renamed aside before the new one takes its name. What lies
    there is put back (W079) if nothing has the name, its process is no more, and all of its files are as written.
    """
    target = Path(os.path.abspath(path))
    if os.path.lexists(target) or not target.parent.is_dir():
        return target
    for aside in left_by_the_dead(target, "old"):
        if _is_whole(aside):
            os.rename(aside, target)
            what = f"was being replaced when process {aside.name.rpartition('-')[2]} was killed; the old one is back."
            warn([Finding("W079", str(target), what, "nothing is lost of it; run the command that was killed again")])
            break
    return target


def _is_whole(folder: Path) -> bool:
    try:
        verify_manifest(folder)
    except BadInput:
        return False
    return True
