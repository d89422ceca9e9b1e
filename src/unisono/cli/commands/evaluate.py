"""Evaluate: scores of both tasks on unseen cells, written as JSON with a page that shows how."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unisono.cli.command_line import command_line
from unisono.cli.console import print_scores, say
from unisono.cli.options import Aliases, Device, ForceAll, Model
from unisono.cli.values import known_as
from unisono.messages import Finding, InputWarning

if TYPE_CHECKING:
    from mudata import MuData

    from unisono.evaluation.disentanglement import Disentanglement
    from unisono.model.unisono import Unisono


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
    from unisono.evaluation.details import evaluation_report
    from unisono.evaluation.scores import evaluate as score
    from unisono.io.read import read_mudata

    fitted, mdata = known_as(load(model, device=device), aliases), read_mudata(test)
    report = None if page is None else evaluation_report(fitted, mdata, source_name=test.name, force=force)
    scores = score(fitted, mdata, source_name=test.name, force=force) if report is None else report.scores
    document = {"scores": scores.to_dict(), "test": test.name, "model": fitted.record.model_dump(mode="json")}
    probed = _disentanglement(fitted, mdata, test.name, force)
    _write_scores(out, document | ({} if probed is None else {"disentanglement": probed.as_document()}))
    print_scores(scores)
    if page is not None and report is not None:
        probes = () if probed is None else probed.overview()
        write_report(page, report, command=command_line(), probes=probes, force=force)
        say(f"{page} shows how these scores come about")
    if lacking is not None:
        say(str(lacking))


def _disentanglement(model: Unisono, test: MuData, source_name: str, force: bool) -> Disentanglement | None:
    """None, with a warning, where scikit-learn is missing."""
    from unisono.evaluation.disentanglement import disentanglement
    from unisono.evaluation.probes import has_probes

    if not has_probes():
        what = "content and style were not probed, scikit-learn is not installed."
        warnings.warn(str(Finding("W066", source_name, what, "pip install scikit-learn")), InputWarning, stacklevel=2)
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # those of the test cells have been given with the scores
        return disentanglement(model, test, source_name=source_name, force=force)


def _write_scores(folder: Path, document: dict[str, Any]) -> None:
    from unisono.io.write import write_json

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", document)
