"""Application: the commands in the order in which help lists them, and how a run ends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Annotated

import typer

from unisono.cli.commands.answers import embed, match, pair, predict
from unisono.cli.commands.files import convert
from unisono.cli.commands.inspect import check, evaluate, feature_effects, info
from unisono.cli.commands.models import adapt, calibrate, demo, fit
from unisono.cli.commands.public import datasets
from unisono.cli.commands.search import index, search
from unisono.cli.console import one_line, say, warnings_said_once
from unisono.cli.endings import drop_unwritten, ending_of, show_traceback
from unisono.interruption import INTERRUPTED, exit_code
from unisono.messages import InputWarning, bad_input, typed_in_shell

app = typer.Typer(
    name="unisono",
    help="Predict one modality of a cell from another, and match cells across modalities, with one fitted model.",
    pretty_exceptions_enable=False,
)

for command in (
    check,
    convert,
    fit,
    info,
    predict,
    match,
    pair,
    embed,
    index,
    search,
    adapt,
    calibrate,
    feature_effects,
    evaluate,
    datasets,
    demo,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    is_version: Annotated[
        bool, typer.Option("--version", metavar="", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    if is_version:
        from importlib.metadata import version

        print(f"unisono {version('unisono')}")  # noqa: T201
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201


@cache
def _parser() -> Callable[..., int | None]:
    """What parses a command line and runs its command; to make it takes as long as a small prediction."""
    return typer.main.get_command(app)


_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the parser raises for a wrong command line, under one name in every version of typer."""

_INTERRUPTED = 130
"""What the parser makes of a KeyboardInterrupt."""


def main() -> None:
    """Entry point: 0 done, 2 bad input, 1 unexpected, both with one line on stderr, 128 + n ended by signal n."""
    warnings.showwarning = warnings_said_once()
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("always", InputWarning)
    words = sys.argv[1:] or ["--help"]
    try:
        with typed_in_shell():
            code = _parser()(words, standalone_mode=False) or 0
            if sys.stdout is not None:
                sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except _UsageError as error:
        say(str(bad_input("E053", "command line", _text(error), "see unisono --help")))
        code = 2
    except Exception as error:
        ending = ending_of(error, words)
        show_traceback(error)
        say(ending.line)
        code = ending.code
        drop_unwritten()
    if code == _INTERRUPTED:
        say(INTERRUPTED)
        code = exit_code()
    sys.exit(code)


def _text(error: Exception) -> str:
    """What the parser says, without its ends of lines."""
    return one_line(str(getattr(error, "format_message", error.__str__)()))
