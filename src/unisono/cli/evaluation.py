"""An evaluation as files: metrics.json and report.html in one folder, alike for evaluate and demo; scores nothing."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisono.cli.console import command_line, say
from unisono.io.write import write_json
from unisono.messages import Finding, InputWarning
from unisono.model.query import QueryOptions
from unisono.report.page import missing, write_report

if TYPE_CHECKING:
    from mudata import MuData

    from unisono.evaluation.disentanglement import Disentanglement
    from unisono.evaluation.score_table import Scores
    from unisono.model.unisono import Unisono

PAGE = "report.html"
METRICS = "metrics.json"


def evaluate_into(
    out: Path,
    model: Unisono,
    test: MuData,
    source_name: str,
    *,
    label_key: str | None = None,
    with_page: bool = True,
    options: QueryOptions | None = None,
) -> Scores:
    """Score the test cells and write what was found into the folder `out`; the page where its packages are there."""
    from unisono.evaluation.details import evaluation_report
    from unisono.evaluation.scores import evaluate

    options = options or QueryOptions()
    reading = {"force": options.force, "layer": options.layer, "round_counts": options.round_counts}
    asked: dict[str, Any] = {"source_name": source_name, **reading}
    lacking = missing() if with_page else None
    report = None
    if with_page and lacking is None:
        report = evaluation_report(model, test, label_key=label_key, **asked)
        scores = report.scores
    else:
        scores = evaluate(model, test, label_key=label_key, **asked)
    probed = _disentanglement(model, test, scores.label_key, asked)
    document = {"scores": scores.named(), "table": scores.to_dict()}
    document |= {"label_key": scores.label_key, "test": source_name}
    document["model"] = model.record.model_dump(mode="json")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / METRICS, document | ({} if probed is None else {"disentanglement": probed.as_document()}))
    if report is not None:
        probes = () if probed is None else probed.overview()
        write_report(out / PAGE, report, command=command_line(), probes=probes, force=options.force)
        say(f"{out / PAGE} shows how these scores come about")
    if lacking is not None:
        say(str(lacking))
    return scores


def _disentanglement(
    model: Unisono, test: MuData, label_key: str | None, asked: dict[str, Any]
) -> Disentanglement | None:
    """None, with a warning, where scikit-learn is missing."""
    from unisono.evaluation.disentanglement import disentanglement
    from unisono.evaluation.probes import has_probes

    if not has_probes():
        what = "content and style were not probed, scikit-learn is not installed."
        warnings.warn(
            str(Finding("W066", asked["source_name"], what, "pip install scikit-learn")), InputWarning, stacklevel=2
        )
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # those of the test cells have been given with the scores
        return disentanglement(model, test, label_key, **asked)
