"""Work in a process of its own, one at a time; whatever goes wrong there comes back as one line."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_MAX_CHARACTERS = 300
_SECONDS_TO_END = 10.0


@dataclass(frozen=True)
class Failed:
    """Why there is no result, in one line."""

    reason: str


def run_in_subprocess(work: Callable[[], T], log: Path) -> T | Failed:
    """The result of some work in a fresh process, which shares nothing with this one.

    Args:
        work: a function of a module, or a partial of one, whose arguments and result another process can be handed.
        log: gets all that the process prints; removed if the work was done.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, work, log))
    process.start()
    sender.close()
    try:
        outcome: T | Failed = receiver.recv()
    except EOFError:
        process.join()
        return Failed(_ending(process.exitcode))
    finally:
        process.join(_SECONDS_TO_END)
        if process.is_alive():
            process.kill()
            process.join()
    if not isinstance(outcome, Failed):
        log.unlink(missing_ok=True)
    return outcome


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks; its kind too where it is none that we raise on purpose."""
    text = " ".join(str(error).split())
    is_plain = isinstance(error, ValueError | ChildProcessError) and bool(text)
    said = text if is_plain else f"{type(error).__name__}: {text}".removesuffix(": ")
    return said if len(said) <= _MAX_CHARACTERS else f"{said[: _MAX_CHARACTERS - 1]}…"


def _child(sender: Connection, work: Callable[[], object], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    try:
        outcome = work()
    except Exception as error:
        traceback.print_exc()
        outcome = Failed(one_line(error))
    sender.send(outcome)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"killed by {name}{', perhaps for want of memory' if name == 'SIGKILL' else ''}"
    return f"ended with exit code {code} without a result"
