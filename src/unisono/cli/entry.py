"""Entry: runs the command that was typed, and ends with a line and a code where it cannot be done."""

from __future__ import annotations

import sys
import warnings

import typer

from unisono.cli.application import app
from unisono.cli.console import say, show_warning
from unisono.messages import BadInput, InputWarning

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the parser raises for a wrong command line, under one name in every version of typer."""

_INTERRUPTED = 130


def main() -> None:
    """Entry point: 0 done, 2 bad input with one line on stderr, 1 unexpected, 130 interrupted."""
    warnings.showwarning = show_warning
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("always", InputWarning)
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except BadInput as error:
        say(str(error))
        sys.exit(2)
    except _UsageError as error:
        say(f"E053 command line: {_one_line(error)} Fix: see unisono --help")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        say("interrupted; a fit goes on from its last checkpoint with --resume")
    sys.exit(code)


def _one_line(error: Exception) -> str:
    message = getattr(error, "format_message", error.__str__)()
    return " ".join(str(message).split())
