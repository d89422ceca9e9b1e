"""Application: the commands in the order in which help lists them, and how a run ends."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from unisono.cli.commands.answers import embed, match, pair, predict
from unisono.cli.commands.files import convert
from unisono.cli.commands.inspect import check, evaluate, feature_effects, info
from unisono.cli.commands.models import adapt, calibrate, demo, fit
from unisono.cli.commands.search import index, search
from unisono.cli.console import say, show_warning
from unisono.interruption import INTERRUPTED, exit_code
from unisono.messages import BadInput, InputWarning, RankError, bad_input

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


_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the parser raises for a wrong command line, under one name in every version of typer."""

_INTERRUPTED = 130
"""What the parser makes of a KeyboardInterrupt."""


def main() -> None:
    """Entry point: 0 done, 2 bad input with one line on stderr, 1 unexpected, 128 + n ended by signal n."""
    warnings.showwarning = show_warning
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("always", InputWarning)
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except BadInput as error:
        say(str(error))
        sys.exit(2)
    except _UsageError as error:
        say(str(bad_input("E053", "command line", _one_line(error), "see unisono --help")))
        sys.exit(2)
    except RankError as error:
        say(str(error))
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        say(INTERRUPTED)
        code = exit_code()
    sys.exit(code)


def _one_line(error: Exception) -> str:
    message = getattr(error, "format_message", error.__str__)()
    return " ".join(str(message).split())
