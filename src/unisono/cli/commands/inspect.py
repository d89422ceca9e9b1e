"""Check, feature-effects and evaluate: the commands that show what data and models are like."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unisono.cli.console import PIPED_WIDTH, print_scores, print_table, say
from unisono.cli.options import (
    Aliases,
    BatchKey,
    Data,
    Device,
    Force,
    ForceAll,
    KeepControls,
    LabelKey,
    Layer,
    Modalities,
    Model,
    QueryLayer,
    RoundCounts,
    files_in,
    kind_named,
    label_of,
    layer_in,
    mapping_in,
    model_and_cells,
    model_named,
    paths_in,
)
from unisono.io.write import refuse_existing, refuse_inputs, require_name, write_atomically
from unisono.messages import BadInput

if TYPE_CHECKING:
    from unisono.io.checks.report import CheckReport

_MAX_MAPPED = 250


def check(
    data: Data,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Also compare the features with this model's.")
    ] = None,
    batch_key: BatchKey = None,
    modalities: Modalities = None,
    layer: Layer = None,
    round_counts: RoundCounts = False,
    keep_controls: KeepControls = False,
    aliases: Aliases = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")] = False,
) -> None:
    """Look at a file as fit, or with --model as predict and match would, and say all that was noticed."""
    from unisono.io.checks.report import CheckReport
    from unisono.io.open import open_data
    from unisono.reading import check as look

    known = None if model is None else model_named(model, "cpu", aliases)
    try:
        mdata, noticed = open_data(files_in(data))
    except BadInput as refused:
        if len(refused.findings) == 1 or as_json:
            raise
        report = CheckReport((), refused.findings)
        _say_findings(report, label_of(data))
        raise typer.Exit(2) from refused
    report = look(
        mdata,
        known,
        batch_key=batch_key,
        modalities=mapping_in(modalities),
        layer=layer_in(layer),
        round_counts=round_counts or None,
        keep_controls=keep_controls,
        source_name=label_of(data),
    )
    report = replace(report, findings=(*noticed, *report.findings))
    if as_json:
        print(json.dumps(report.to_json(), indent=1))  # noqa: T201
    else:
        print_table(report.rows, width=PIPED_WIDTH)
        if report.mapped:
            shown = report.mapped[:_MAX_MAPPED]
            print_table([("modality", "the model's name", "the query's name"), *shown])
            if len(report.mapped) > len(shown):
                say(f"{len(report.mapped) - len(shown)} more are mapped; --json lists all")
        _say_findings(report, label_of(data))
    if not report.is_usable and as_json:
        raise BadInput(report.findings)
    if not report.is_usable:
        raise typer.Exit(2)


def _say_findings(report: CheckReport, source_name: str) -> None:
    """A line for each finding, and one for all of them."""
    for finding in report.findings:
        say(str(finding))
    say(f"{source_name}: {report.verdict}")


def info(model: Model) -> None:
    """Say what a model knows, how it was fitted, and what is to be read with its predictions."""
    print(model_named(model, "cpu"))  # noqa: T201


def feature_effects(
    model: Model,
    cells: Annotated[list[str], typer.Argument(metavar="CELLS", help="Raw counts to average over, as of training.")],
    source: Annotated[str, typer.Option("--from", help="Modality whose features act: rna, atac or adt.")],
    target: Annotated[str, typer.Option("--to", help="Modality whose features respond.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="TABLE.tsv", help="Where to write the table.")],
    top: Annotated[int, typer.Option(help="Strongest source features of each target feature.", min=1)] = 10,
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """List the features of one modality that move those of another in the model; writes a table."""
    refuse_inputs(out, paths_in(model, cells))
    refuse_existing(out, force)
    sides = kind_named(source), kind_named(target)
    fitted, mdata = model_and_cells(model, cells, device, modality=sides[0])
    options: dict[str, Any] = {"layer": layer_in(layer), "round_counts": round_counts or None}
    options["source_name"] = label_of(cells)
    table = fitted.feature_effects(mdata, *sides, **options).table(top)
    write_atomically(out, lambda place: table.to_csv(place, sep="\t", index=False, float_format="%.6g"), force=force)
    say(f"{len(table):,} pairs written to {out}")


def evaluate(
    model: Model,
    test: Annotated[list[str], typer.Argument(metavar="TEST", help="Cells with known partners, unseen in training.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for metrics.json and report.html.")],
    layer: QueryLayer = None,
    round_counts: RoundCounts = False,
    aliases: Aliases = None,
    label_key: LabelKey = None,
    no_report: Annotated[bool, typer.Option("--no-report", metavar="", help="Leave out report.html.")] = False,
    device: Device = "auto",
    force: ForceAll = False,
) -> None:
    """Score both tasks on cells that the model has not seen; writes metrics.json and a page that shows how."""
    from unisono.cli.evaluation import METRICS, PAGE, evaluate_into
    from unisono.model.query import QueryOptions
    from unisono.report.page import missing

    require_name(out.name)
    for name in (METRICS, PAGE):
        refuse_inputs(out / name, paths_in(model, test, aliases))
    if out.is_dir():
        refuse_existing(out / METRICS, force)
        if not no_report and missing() is None:
            refuse_existing(out / PAGE, force)
    else:
        refuse_existing(out, force=False)
    fitted, mdata = model_and_cells(model, test, device, aliases)
    scores = evaluate_into(
        out,
        fitted,
        mdata,
        label_of(test),
        label_key=label_key,
        with_page=not no_report,
        options=QueryOptions(force, layer_in(layer), round_counts or None),
    )
    print_scores(scores)
