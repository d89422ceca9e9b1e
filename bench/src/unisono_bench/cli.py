"""The command unisono-bench: `run` compares methods on a data set, `study` repeats a study of this repository."""

from __future__ import annotations

import sys
import tomllib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unisono_bench import ChoiceError

if TYPE_CHECKING:
    import unisono as un
    from unisono_bench.tables import Table

_PIPED_WIDTH = 180
"""Columns of a table where the output is no terminal."""

_INTERRUPTED = 130
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the parser raises for a wrong command line, under one name in every version of typer."""

app = typer.Typer(
    name="unisono-bench",
    help="Compare Unisono with baselines and published methods on the same cells.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(
    data: Annotated[Path, typer.Argument(metavar="DATA.h5mu", help="Raw counts: .h5mu, or MuData written as zarr.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the report; a benchmark there is resumed.")],
    split: Annotated[
        str, typer.Option(help="random, leave-one-batch-out, leave-one-donor-out, or batches (named below).")
    ] = "random",
    batch_key: Annotated[str | None, typer.Option(help="obs column of the technical batch.")] = None,
    donor_key: Annotated[str | None, typer.Option(help="obs column of the donor.")] = None,
    train_batches: Annotated[str | None, typer.Option(metavar="A,B,...", help="Batches to learn from.")] = None,
    test_batches: Annotated[str | None, typer.Option(metavar="C,...", help="Batches to test on.")] = None,
    train_cells: Annotated[
        int | None, typer.Option(help="Learn from this many of the training cells only, drawn by the seed.", min=1)
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(metavar="NAME=KIND,...", help="Names in the file, as gex=rna,ab=adt.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Layer of the raw counts; X by default.")] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of each split.", min=1)] = 3,
    methods: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="unisono and all baselines by default.")
    ] = None,
    peers: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Published methods, each installed on its own.")
    ] = None,
    genes: Annotated[
        Path | None, typer.Option(metavar="GENES.tsv", help="Gene positions, for methods that link peaks to genes.")
    ] = None,
    ablation: Annotated[bool, typer.Option("--ablation", help="Also Unisono without one part each.")] = False,
    preset: Annotated[str, typer.Option("--preset", help="fast, default or best.")] = "default",
    config: Annotated[Path | None, typer.Option(metavar="F.toml", help="Fields of FitConfig, over the preset.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Repeat runs that are there already.")] = False,
) -> None:
    """Compare methods on the same cells; writes tables, JSON and pictures."""
    from unisono_bench.data import Dataset, Protocol
    from unisono_bench.plots import draw_benchmark
    from unisono_bench.run import benchmark
    from unisono_bench.selection import select_methods

    chosen = select_methods(
        config_of(preset, config), device, names_in(methods), names_in(peers), genes=genes, ablation=ablation
    )
    is_named = train_batches is not None or test_batches is not None
    protocol = Protocol(
        "batches" if is_named else split,
        seeds,
        donor_key,
        names_in(train_batches),
        names_in(test_batches),
        train_cells,
    )
    report = benchmark(
        out,
        Dataset(data, batch_key, mapping_in(modalities), layer),
        chosen.methods,
        protocol,
        ablations=chosen.ablations,
        command=command_line(),
        force=force,
        say=say,
    )
    pictures = draw_benchmark(report.runs, out)
    for table in (*report.overviews, *([report.ablation] if report.ablation else [])):
        print_table(table)
    say(f"written to {out}: {', '.join(['benchmark.json', 'benchmark.md', *(path.name for path in pictures)])}")


@app.command()
def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See bench/README.md; a wrong name lists all.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Folder for the report; none by default.")] = None,
    data: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Data sets; those of the study by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ...", min=1)] = 3,
    preset: Annotated[str | None, typer.Option(help="That of the study by default.")] = None,
) -> None:
    """Repeat a study; data sets are read from the folder UNISONO_DATA."""
    from unisono_bench.studies import STUDIES
    from unisono_bench.studies.report import run_study

    if name not in STUDIES:
        raise ChoiceError(f"no study is called {name!r}; choose {', '.join(STUDIES)}")
    run_study(name, STUDIES[name], out, names_in(data), seeds, preset, command_line())


@app.command()
def overview(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.png", help="The picture of the README.")],
) -> None:
    """Draw the picture of the README; pbmc10k_cite is read from the folder UNISONO_DATA."""
    from unisono_bench.studies.overview import draw

    draw(out)


def main() -> None:
    """Entry point: 0 done, 2 bad input with one line on stderr, 1 unexpected, 130 interrupted."""
    import unisono as un

    warnings.simplefilter("ignore", FutureWarning)
    warnings.showwarning = _show_warning
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except (ChoiceError, un.BadInput) as error:
        say(str(error))
        sys.exit(2)
    except _UsageError as error:
        message = getattr(error, "format_message", error.__str__)()
        say(f"{' '.join(str(message).split())} See unisono-bench --help")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        say("interrupted; a benchmark is resumed when started again")
    sys.exit(code)


def config_of(preset: str, path: Path | None) -> un.FitConfig:
    """The config of a preset, with the fields of a TOML file over them, if one is given.

    Raises:
        ChoiceError: an unknown preset, a file that cannot be read, an unknown field or a value out of range.
    """
    import unisono as un

    try:
        changes: dict[str, Any] = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
        return un.FitConfig.preset(preset, **changes)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        raise ChoiceError(f"--preset {preset}{'' if path is None else f' --config {path}'}: {error}") from error


def names_in(text: str | None) -> tuple[str, ...] | None:
    """`a, b` as names, each once; None where nothing was given."""
    if text is None:
        return None
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def mapping_in(text: str | None) -> dict[str, str] | None:
    """`gex=rna,ab=adt` as a dictionary.

    Raises:
        ChoiceError: the text has another form.
    """
    if text is None:
        return None
    pairs = [part.split("=") for part in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise ChoiceError(f"--modalities {text!r} is not NAME=KIND,...; as in --modalities gex=rna,ab=adt")
    return {name.strip(): kind.strip() for name, kind in pairs}


def command_line() -> list[str]:
    """The command that was typed, paths without the folders of this machine."""
    return ["unisono-bench", *(Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])]


def say(line: str) -> None:
    """Print a line for the user, on stderr."""
    print(line, file=sys.stderr)


def print_table(table: Table) -> None:
    """Print a table on stdout, the best of each column bold."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Printed

    printed = Printed(*table.columns, box=SIMPLE_HEAD, title=table.title)
    for row in table.rows:
        printed.add_row(*(f"[bold]{escape(cell.text)}[/bold]" if cell.is_best else escape(cell.text) for cell in row))
    console = Console()
    (console if console.is_terminal else Console(width=_PIPED_WIDTH)).print(printed)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    say(str(message))
