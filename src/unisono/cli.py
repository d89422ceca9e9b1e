"""The command line: parses, calls the Python API, prints; computes nothing itself."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unisono.findings import BadInput, InputWarning, refuse

if TYPE_CHECKING:
    from mudata import MuData

    from unisono.config import FitConfig
    from unisono.fitted.disentanglement import Disentanglement
    from unisono.fitted.unisono import Unisono
    from unisono.train.loop import Epoch

app = typer.Typer(
    name="unisono",
    help="Predict one omics of a cell from another, and match cells across omics, with one fitted model.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

_UsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What the parser raises for a wrong command line, under one name in every version of typer."""

_INTERRUPTED = 130
_PIPED_WIDTH = 180
_MOST_MAPPED = 250

Data = Annotated[Path, typer.Argument(metavar="DATA.h5mu", help="Raw counts: .h5mu, or MuData written as zarr.")]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder written by unisono fit.")]
Query = Annotated[Path, typer.Argument(metavar="QUERY.h5mu", help="Raw counts of the cells asked about.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where to write the result.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
ForceAll = Annotated[
    bool, typer.Option("--force", help="Replace what is there, and go on where the query covers little of the model.")
]
Aliases = Annotated[
    Path | None, typer.Option(metavar="F.tsv", help="Two columns: a name in the query, the name it stands for.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
BatchKey = Annotated[str | None, typer.Option(help="obs column of the technical batch.")]
Modalities = Annotated[str | None, typer.Option(metavar="NAME=KIND,...", help="Names in the file, as gex=rna,ab=adt.")]
Layer = Annotated[str | None, typer.Option(help="Layer of the raw counts; X unless told.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal models on one CPU.")]
PresetName = Annotated[str, typer.Option("--preset", help="fast, default or best.")]


@app.command()
def check(
    data: Data,
    model: Annotated[Path | None, typer.Option(help="Also compare the features with this model's.")] = None,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    layer: Layer = None,
    aliases: Aliases = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at a file as fit, or with --model as predict and match would, and say all that was noticed."""
    from unisono.io.check import check as look
    from unisono.io.read import read_mudata

    known = None
    if model is not None:
        from unisono.api import load

        known = _known_as(load(model, device="cpu"), aliases).voices
    report = look(
        read_mudata(data),
        batch_key=batch_key,
        modalities=_mapping(modalities),
        layer=layer,
        where=data.name,
        voices=known,
    )
    if as_json:
        print(json.dumps(report.to_json(), indent=1))  # noqa: T201
    else:
        _table(report.rows, width=_PIPED_WIDTH)
        if report.mapped:
            shown = report.mapped[:_MOST_MAPPED]
            _table([("modality", "the model's name", "the query's name"), *shown])
            if len(report.mapped) > len(shown):
                _say(f"{len(report.mapped) - len(shown)} more are mapped; --json lists all")
        for finding in report.findings:
            _say(str(finding))
    if not report.is_usable and as_json:
        raise BadInput(report.findings)
    if not report.is_usable:
        raise typer.Exit(2)


@app.command()
def fit(
    data: Data,
    out: Out,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    layer: Layer = None,
    preset: PresetName = "default",
    config: Annotated[Path | None, typer.Option(metavar="F.toml", help="Fields of FitConfig, over the preset.")] = None,
    also: Annotated[
        Path | None, typer.Option(metavar="QUERY.h5mu", help="Cells without labels to learn from too (transductive).")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted fit to -o was.")] = False,
    force: Force = False,
) -> None:
    """Learn from cells measured in two or three omics; writes a model folder."""
    from unisono.io.write import refuse_existing_folder

    refuse_existing_folder(out, force)
    chosen = _config(preset, seed, config)
    checkpoint = out.parent / f"{out.name}.checkpoint"

    from unisono.api import fit as learn
    from unisono.fitted.checkpoint import discard_checkpoint
    from unisono.io.read import read_mudata

    mdata = read_mudata(data)
    with _progress(chosen.max_epochs, device) as on_epoch:
        model = learn(
            mdata,
            batch_key=batch_key,
            modalities=_mapping(modalities),
            layer=layer,
            config=chosen,
            device=device,
            on_epoch=on_epoch,
            checkpoint=checkpoint,
            resume=resume,
            where=data.name,
            also=None if also is None else read_mudata(also),
        )
    model.save(out, force=force)
    discard_checkpoint(checkpoint)
    best = [epoch for epoch in model.record.curve if epoch.is_best]
    if best:
        _say(
            f"held-out cells: prediction correlation {best[-1].correlation:.3f}, matching rank {best[-1].rank:.3f} "
            f"(0.5 at chance), epoch {best[-1].epoch}"
        )
    _say(f"model written to {out} after {model.record.seconds:.0f} s")


@app.command()
def predict(
    model: Model,
    query: Query,
    source: Annotated[str, typer.Option("--from", help="Modality to predict from: rna, atac or adt.")],
    target: Annotated[str, typer.Option("--to", help="Modality to predict.")],
    out: Out,
    style: Annotated[
        str, typer.Option(metavar="average|BATCH|FILE.h5mu", help="Whose voice the prediction is in.")
    ] = "average",
    interval: Annotated[
        float | None, typer.Option(help="Coverage of intervals in layers['lower'] and layers['upper'], such as 0.9.")
    ] = None,
    via: Annotated[str | None, typer.Option(help="A third modality to pass through, as atac via rna to adt.")] = None,
    draws: Annotated[int, typer.Option(help="Posterior draws behind layers['spread']; 32 with --via.", min=0)] = 0,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Predict one omics of each query cell from another; writes .h5ad."""
    from unisono.io.write import refuse_existing

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata
    from unisono.io.tables import write_prediction

    fitted = _known_as(load(model, device=device), aliases)
    chosen: Any = read_mudata(style) if style.endswith((".h5mu", ".zarr")) else style
    prediction = fitted.prediction(
        read_mudata(query),
        _kind(source),
        _kind(target),
        style=chosen,
        interval=interval,
        via=None if via is None else _kind(via),
        n_draws=draws,
        force=force,
        where=query.name,
    )
    write_prediction(prediction, out, force=force)
    _say(f"{prediction.shape[0]:,} cells x {prediction.shape[1]:,} {target} features written to {out}")


@app.command()
def match(
    model: Model,
    query: Query,
    between: Annotated[str, typer.Option(metavar="LEFT,RIGHT", help="Modalities, as rna,adt.")],
    out: Out,
    within: Annotated[str | None, typer.Option(help="obs column; cells are matched inside its groups.")] = None,
    rule: Annotated[str, typer.Option(help="soft, argmax or one-to-one.")] = "soft",
    depth: Annotated[
        bool, typer.Option("--depth", help="Also use total counts: only if both sides are the same physical cells.")
    ] = False,
    top: Annotated[int, typer.Option(help="Most partners a cell, at most 1000.", min=1, max=1000)] = 100,
    unmatched: Annotated[
        float, typer.Option(help="Share of cells thought to lack a partner, before looking; 0 if none does.")
    ] = 0.02,
    min_probability: Annotated[
        float, typer.Option(help="obs['is_answered'] is False where an answer is less likely to be right.")
    ] = 0.0,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Say which cell of one omics is which cell of another; writes .h5ad, left cells x right cells."""
    from unisono.io.write import refuse_existing

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata
    from unisono.match import RULES

    sides = [_kind(name.strip()) for name in between.split(",")]
    if len(sides) != 2 or sides[0] == sides[1]:
        raise refuse("E053", "--between", f"{between!r} does not name two modalities.", "as in --between rna,adt")
    if rule not in RULES:
        raise refuse("E053", "--rule", f"{rule!r} is unknown.", f"one of {', '.join(RULES)}")
    fitted = _known_as(load(model, device=device), aliases)
    mdata = read_mudata(query)
    found = fitted.match(
        mdata,
        mdata,
        within=within,
        rule=rule,
        depth=depth,
        top=top,
        between=(sides[0], sides[1]),
        unmatched=unmatched,
        min_probability=min_probability,
        force=force,
    )
    found.write(out, force=force)
    _say(f"{len(found.left):,} {sides[0]} cells matched to {len(found.right):,} {sides[1]} cells in {out}")


@app.command()
def embed(
    model: Model,
    query: Query,
    out: Out,
    aliases: Aliases = None,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Place cells of every omics in one shared space, obsm["X_unisono"]; writes .h5mu."""
    from unisono.io.write import refuse_existing, write_atomically

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata

    mdata = _known_as(load(model, device=device), aliases).embed(read_mudata(query), force=force)
    write_atomically(out, lambda place: mdata.write_h5mu(place, compression="gzip"), force=force)
    _say(f"{mdata.n_obs:,} cells with obsm['X_unisono'] written to {out}")


@app.command()
def adapt(
    model: Model,
    query: Query,
    out: Out,
    batch_key: BatchKey = None,
    epochs: Annotated[int, typer.Option(help="Passes over the cells.", min=1)] = 20,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Learn the style of new batches, content untouched; writes a model folder that knows them by name."""
    from unisono.io.write import refuse_existing_folder

    refuse_existing_folder(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata

    fitted = load(model, device=device)
    known = set(fitted.batches)
    found = fitted.adapt(read_mudata(query), batch_key=batch_key, n_epochs=epochs, seed=seed)
    found.save(out, force=force)
    _say(f"model that also knows {', '.join(sorted(set(found.batches) - known))} written to {out}")


@app.command()
def drivers(
    model: Model,
    cells: Annotated[Path, typer.Argument(metavar="CELLS.h5mu", help="Raw counts to average over, as of training.")],
    source: Annotated[str, typer.Option("--from", help="Modality whose features drive: rna, atac or adt.")],
    target: Annotated[str, typer.Option("--to", help="Modality whose features are driven.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="TABLE.tsv", help="Where to write the table.")],
    top: Annotated[int, typer.Option(help="Strongest drivers of each target feature.", min=1)] = 10,
    genes: Annotated[
        Path | None, typer.Option(metavar="GENES.tsv", help="Gene starts (gene, chrom, tss): enrichment within 100 kb.")
    ] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Say which features of one omics drive which of another in the model; writes a table."""
    from unisono.io.write import refuse_existing, write_atomically

    refuse_existing(out, force)
    from unisono.api import load
    from unisono.io.read import read_mudata

    if genes is not None and not genes.is_file():
        raise refuse("E001", str(genes), "no such file.", "check the path")
    if genes is not None and {_kind(source), _kind(target)} != {"rna", "atac"}:
        raise refuse("E053", "--genes", f"{source} to {target} has no genes and peaks.", "use it with rna and atac")
    found = load(model, device=device).drivers(read_mudata(cells), _kind(source), _kind(target))
    table = found.table(top)
    write_atomically(out, lambda place: table.to_csv(place, sep="\t", index=False, float_format="%.6g"), force=force)
    _say(f"{len(table):,} pairs written to {out}")
    if genes is not None:
        import pandas as pd

        near = found.enrichment(pd.read_csv(genes, sep="\t"))
        _table([("pairs within 100 kb", "figure"), *((name, f"{value:.4g}") for name, value in vars(near).items())])


@app.command()
def evaluate(
    model: Model,
    test: Annotated[Path, typer.Argument(metavar="TEST.h5mu", help="Cells with known partners, unseen in training.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for metrics.json and report.html.")],
    aliases: Aliases = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Leave out report.html.")] = False,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Score both tasks on cells that the model has not seen; writes metrics.json and a page that shows how."""
    from unisono.io.write import refuse_existing
    from unisono.report.page import missing, write_report

    lacking = None if no_report else missing()
    page = None if no_report or lacking else out / "report.html"
    if out.is_dir():
        refuse_existing(out / "metrics.json", force)
    else:
        refuse_existing(out, force=False)
    if page is not None and out.is_dir():
        refuse_existing(page, force)
    from unisono.api import load
    from unisono.fitted.collect import collect
    from unisono.fitted.scores import evaluate as score
    from unisono.io.read import read_mudata

    fitted, mdata = _known_as(load(model, device=device), aliases), read_mudata(test)
    evidence = None if page is None else collect(fitted, mdata, where=test.name, force=force)
    scores = score(fitted, mdata, where=test.name, force=force) if evidence is None else evidence.scores
    document = {"scores": dict(scores), "test": test.name, "model": fitted.record.model_dump(mode="json")}
    apart = _disentanglement(fitted, mdata, test.name, force)
    _write_scores(out, document | ({} if apart is None else {"disentanglement": apart.as_document()}))
    _table([("task", "figure"), *((task, f"{figure:.4f}") for task, figure in scores.items())])
    if page is not None and evidence is not None:
        command = ["unisono", *map(_without_folder, sys.argv[1:])]
        write_report(page, evidence, command=command, probes=() if apart is None else apart.overview(), force=force)
        _say(f"{page} shows how these figures come about")
    if lacking is not None:
        _say(str(lacking))


@app.command()
def benchmark(
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the report; one that is there is gone on with.")],
    split: Annotated[
        str, typer.Option(help="random, leave-one-batch-out, leave-one-donor-out, or batches (named below).")
    ] = "random",
    batch_key: BatchKey = None,
    donor_key: Annotated[str | None, typer.Option(help="obs column of the donor.")] = None,
    train_batches: Annotated[str | None, typer.Option(metavar="A,B,...", help="Batches to learn from.")] = None,
    test_batches: Annotated[str | None, typer.Option(metavar="C,...", help="Batches to be judged by.")] = None,
    train_cells: Annotated[
        int | None, typer.Option(help="Learn from this many of the training cells only, drawn by the seed.", min=1)
    ] = None,
    modalities: Modalities = None,
    layer: Layer = None,
    seeds: Annotated[int, typer.Option(help="Seeds 0, 1, ... of each split.", min=1)] = 3,
    methods: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="unisono and all baselines unless told.")
    ] = None,
    peers: Annotated[str | None, typer.Option(metavar="NAME,...", help="Methods of others, installed apart.")] = None,
    genes: Annotated[
        Path | None, typer.Option(metavar="GENES.tsv", help="Gene positions, for peers that link peaks to genes.")
    ] = None,
    ablation: Annotated[bool, typer.Option("--ablation", help="Also Unisono without one part each.")] = False,
    preset: PresetName = "default",
    config: Annotated[Path | None, typer.Option(metavar="F.toml", help="Fields of FitConfig, over the preset.")] = None,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Repeat runs that are there already.")] = False,
) -> None:
    """Compare Unisono with baselines and methods of others on the same cells; writes tables, JSON and pictures."""
    from unisono.pl.benchmark import draw_benchmark
    from unisono.pl.canvas import require_matplotlib

    require_matplotlib()
    from unisono.benchmarking.line_up import line_up
    from unisono.benchmarking.run import Protocol
    from unisono.benchmarking.run import benchmark as compare

    chosen = _config(preset, 0, config)
    names = line_up(chosen, device, _names(methods), _names(peers), genes=genes, ablation=ablation)
    is_named = train_batches is not None or test_batches is not None
    protocol = Protocol(
        "batches" if is_named else split,
        seeds,
        donor_key,
        _names(train_batches),
        _names(test_batches),
        train_cells,
    )

    from unisono.benchmarking.dataset import Dataset

    report = compare(
        out,
        Dataset(data, batch_key, _mapping(modalities), layer),
        names.contenders,
        protocol,
        ablations=names.ablations,
        command=["unisono", *map(_without_folder, sys.argv[1:])],
        force=force,
        say=_say,
    )
    pictures = draw_benchmark(report.runs, out)
    for table in (*report.overviews, *([report.ablation] if report.ablation else [])):
        rows = [tuple(_styled(*cell) for cell in row) for row in table.rows]
        _table([table.columns, *rows], title=table.title, width=_PIPED_WIDTH)
    _say(f"written to {out}: {', '.join(['benchmark.json', 'benchmark.md', *(path.name for path in pictures)])}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the results.")] = Path("unisono-demo"),
    data: Annotated[Path | None, typer.Option(metavar="FILE.h5mu", help="Run on this file.")] = None,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    preset: PresetName = "fast",
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """The whole main job in one go: simulate (or read) cells, fit on four fifths, predict and match the rest."""
    from unisono.demo import run

    chosen = _config(preset, seed, None)
    with _progress(chosen.max_epochs, device) as on_epoch:
        result = run(
            out,
            data=data,
            batch_key=batch_key,
            modalities=_mapping(modalities),
            config=chosen,
            device=device,
            force=force,
            on_epoch=on_epoch,
            say=_say,
        )
    _table([("task", "figure"), *((task, f"{figure:.4f}") for task, figure in result.items())])


def main() -> None:
    """Entry point: 0 done, 2 bad input with one line on stderr, 1 unexpected, 130 interrupted."""
    warnings.showwarning = _show_warning
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("always", InputWarning)
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
    except BadInput as error:
        _say(str(error))
        sys.exit(2)
    except _UsageError as error:
        _say(f"E053 command line: {_one_line(error)} Fix: see unisono --help")
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        _say("interrupted; a fit goes on from its last checkpoint with --resume, a benchmark when started again")
    sys.exit(code)


def _one_line(error: Exception) -> str:
    message = getattr(error, "format_message", error.__str__)()
    return " ".join(str(message).split())


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    _say(str(message) if issubclass(category, InputWarning) else f"{category.__name__}: {message}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201


def _table(rows: list[tuple[str, ...]], title: str | None = None, width: int | None = None) -> None:
    """Print rows under the first as head; `width` is for an output that is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=SIMPLE_HEAD, title=title)
    for row in rows[1:]:
        table.add_row(*row)
    console = Console()
    if width is not None and not console.is_terminal:
        console = Console(width=width)
    console.print(table)


def _styled(text: str, is_best: bool) -> str:
    from rich.markup import escape

    return f"[bold]{escape(text)}[/bold]" if is_best else escape(text)


def _names(text: str | None) -> tuple[str, ...] | None:
    """`a, b` as names, each once; None where nothing was given."""
    if text is None:
        return None
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _mapping(text: str | None) -> dict[str, str] | None:
    """`gex=rna,ab=adt` as a dictionary."""
    if text is None:
        return None
    pairs = [part.split("=") for part in text.split(",")]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise refuse("E053", "--modalities", f"{text!r} is not NAME=KIND,...", "as in --modalities gex=rna,ab=adt")
    return {name.strip(): kind.strip() for name, kind in pairs}


def _known_as(model: Any, path: Path | None) -> Any:
    """The model with the aliases of a file, if one is given."""
    if path is None:
        return model
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refuse("E001", str(path), f"cannot be read ({type(error).__name__}).", "check the path") from error
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    wrong = [row for row in rows if len(row) != 2 or not all(row)]
    if wrong:
        what = f"{len(wrong)} of {len(rows)} lines are not two names with a tab between (first: {wrong[0][0]!r})."
        raise refuse("E053", path.name, what, "write name, tab, name it stands for")
    return model.with_aliases(dict(rows))


def _kind(name: str) -> Any:
    """A modality as the user calls it: rna, atac, adt or a known alias."""
    from unisono.io.naming import kind_of

    kind = kind_of(name)
    if kind is None:
        raise refuse("E007", "command line", f"modality {name!r} is unknown.", "say rna, atac or adt")
    return kind


def _config(preset: str, seed: int, path: Path | None) -> FitConfig:
    from pydantic import ValidationError

    from unisono.config import FitConfig

    changes: dict[str, Any] = {}
    where = "config"
    if path is not None:
        import tomllib

        where = path.name
        try:
            changes = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise refuse("E001", str(path), "no such file.", "check the path") from error
        except IsADirectoryError as error:
            raise refuse("E053", where, "is a folder, wanted a TOML file.", "check the path") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise refuse("E053", where, f"is not TOML: {error}.", "correct the line") from error
    try:
        return FitConfig.preset(preset, **{"seed": seed, **changes})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        what = f"{field}: {first['msg']} (given {first['input']!r})."
        raise refuse("E053", where, what, "see unisono.FitConfig for the fields and their ranges") from error
    except ValueError as error:
        raise refuse("E053", where, f"{error}.", "choose another") from error


def _without_folder(word: str) -> str:
    """A path without the folders of this machine, for a record that others will read; any other word as it is."""
    return Path(word).name if Path(word).is_absolute() else word


def _disentanglement(model: Unisono, test: MuData, where: str, force: bool) -> Disentanglement | None:
    """None, with a warning, where scikit-learn is missing."""
    from unisono.evaluation.probes import has_probes
    from unisono.findings import Finding, InputWarning
    from unisono.fitted.disentanglement import disentanglement

    if not has_probes():
        what = "content and style were not probed, scikit-learn is not installed."
        warnings.warn(str(Finding("W066", where, what, "pip install scikit-learn")), InputWarning, stacklevel=2)
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # what is said of the test cells has been said for the scores
        return disentanglement(model, test, where=where, force=force)


def _write_scores(folder: Path, document: dict[str, Any]) -> None:
    from unisono.io.write import write_json

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", document)


@contextmanager
def _progress(max_epochs: int, device: str) -> Iterator[Any]:
    """A bar on stderr with the two numbers that a user understands; it appears, with the device, at the first epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("epoch {task.completed:>3.0f}/{task.total:.0f}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("held-out correlation {task.fields[correlation]} · matching rank {task.fields[rank]}"),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("fit", total=max_epochs, correlation="–", rank="–")

    def on_epoch(epoch: Epoch) -> None:
        if not bar.live.is_started:
            from unisono.device import choose_device

            _say(f"device: {choose_device(device)}{' (chosen by auto)' if device == 'auto' else ''}")
            bar.start()
        bar.update(task, completed=epoch.number)
        if epoch.figures:
            figures = epoch.figures
            bar.update(task, correlation=f"{figures.correlation:.3f}", rank=f"{figures.rank:.3f}")

    try:
        yield on_epoch
    finally:
        if bar.live.is_started:
            bar.stop()


if __name__ == "__main__":
    main()
