"""Whether another process still lives, by its number; never sends it a signal that it would notice."""

from __future__ import annotations

import os


def is_alive(process: int) -> bool:
    """Whether there is a process of this number, ours to signal or not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
