"""Fits that take long: one process for an output, what becomes of a checkpoint, and the line that resumes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unisono.cli.console import say
from unisono.interruption import exit_code
from unisono.messages import bad_input
from unisono.training.processes import process_in


@contextmanager
def writing(out: Path, force: bool) -> Iterator[None]:
    """Hold the lock of a model that is going to be written, once it is clear that it may be.

    Raises:
        BadInput: E055, E056, E076.
    """
    from unisono.io.lock import locked
    from unisono.io.recovery import recovered
    from unisono.io.write import clean, refuse_existing_folder

    with locked(out):
        clean(refuse_existing_folder(recovered(out), force))
        yield


@contextmanager
def resumable(out: Path, *, resume: bool, force: bool) -> Iterator[Path]:
    """The folder of a fit's checkpoint, which is not lost unasked, while the lock of its model is held.

    Of several ranks, the process that started them holds it, or else the first one. An interruption ends the process,
    after the line that resumes.

    Raises:
        BadInput: E055, E056, E076, E077 a checkpoint is there and it was not said what is to become of it.
    """
    from unisono.io.recovery import recovered
    from unisono.io.write import CHECKPOINT, clean, refuse_existing_folder

    checkpoint = out.parent / f"{out.name}.checkpoint"
    process = process_in(os.environ)
    if process is not None and (process.launcher is not None or not process.is_first):
        try:
            yield checkpoint
        except KeyboardInterrupt:  # of which another process tells
            sys.exit(exit_code())
        return
    with writing(out, force):
        clean(refuse_existing_folder(recovered(checkpoint), True, CHECKPOINT))
        _refuse_unasked(checkpoint, resume, force)
        try:
            yield checkpoint
        except KeyboardInterrupt:
            say(_how_to_resume(checkpoint))
            sys.exit(exit_code())
        except SystemExit as ended:
            if isinstance(ended.code, int) and ended.code > 128:  # of ranks that were interrupted
                say(_how_to_resume(checkpoint))
            raise


def _refuse_unasked(checkpoint: Path, resume: bool, force: bool) -> None:
    """Make sure that a checkpoint is not lost unasked, and say from where a fit is resumed."""
    from unisono.training.saved_state import latest, place_of, read_state

    found = latest(checkpoint)
    if found is None:
        return
    if resume:
        say(f"resumes from {read_state(found).place}, saved in {found}")
    elif not force:
        what = f"a checkpoint of {place_of(found)} is there."
        raise bad_input("E077", str(found), what, "--resume continues it, --force begins anew")


def _how_to_resume(checkpoint: Path) -> str:
    from unisono.training.saved_state import latest, place_of

    found = latest(checkpoint)
    if found is None:
        return "interrupted before there was a checkpoint; nothing was changed"
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return f"interrupted; saved at {place_of(found)}; {shlex.join(['unisono', *words, '--resume'])} continues"
