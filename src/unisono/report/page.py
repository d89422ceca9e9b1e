"""The page: an evaluation report rendered as one HTML file that loads nothing from the network; scores nothing."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from unisono import palette
from unisono.evaluation.report_data import EvaluationReport
from unisono.io.write import write_atomically
from unisono.messages import Finding
from unisono.modalities import spec_of
from unisono.report import figures, tables, verdicts, words
from unisono.report.payload import MAX_FEATURES, payload, plane, shades

_NEEDED = {"jinja2": "jinja2", "plotly": "plotly", "umap": "umap-learn"}


@dataclass(frozen=True)
class Script:
    """Code that the page runs, and the hash that lets it and nothing else run."""

    code: str

    @classmethod
    def of(cls, text: str) -> Script:
        """Code whose letters cannot end the element that it stands in."""
        return cls(text.replace("\r\n", "\n").replace("</script", "<\\/script"))

    @property
    def allowed(self) -> str:
        digest = base64.b64encode(hashlib.sha256(self.code.encode()).digest()).decode()
        return f"'sha256-{digest}'"


def missing() -> Finding | None:
    """W063 with what to install, where the page cannot be made; None where it can."""
    absent = [name for module, name in _NEEDED.items() if find_spec(module) is None]
    if not absent:
        return None
    verb = "is" if len(absent) == 1 else "are"
    what = f"not written: {words.listed(absent)} {verb} not installed."
    return Finding("W063", "report.html", what, f"pip install {' '.join(absent)}")


def write_report(
    path: Path,
    report: EvaluationReport,
    *,
    command: Sequence[str] = (),
    probes: Sequence[tables.Row] = (),
    force: bool = False,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: such as `report.html`.
        report: of `evaluation_report`.
        command: words of the command line that asked for it.
        probes: rows of a further table, such as how well depth can be told from the shared space.
        force: replace what is there.

    Raises:
        BadInput: E055, E056, see `refuse_existing`.
    """
    page = render(report, command=command, probes=probes)
    write_atomically(path, lambda place: _write(place, page), force=force)


def render(report: EvaluationReport, *, command: Sequence[str] = (), probes: Sequence[tables.Row] = ()) -> str:
    """The page as text; arguments as of `write_report`."""
    from jinja2 import Environment, StrictUndefined
    from jinja2.utils import htmlsafe_json_dumps
    from plotly.offline import get_plotlyjs

    here = files(__package__)
    scripts = [Script.of(get_plotlyjs()), Script.of((here / "page.js").read_text(encoding="utf-8"))]
    content_alone = [each for each in report.pairings if each.is_content_alone]
    drawings = [figures.reliability(report.pairings), figures.abstention(report.pairings)]
    has_intervals = any(each.coverage is not None for each in report.directions)
    if has_intervals:
        drawings.append(figures.coverage(report.directions))
    document = {
        **payload(report, plane(report.space.vectors)),
        "palette": {"light": palette.CLASSES, "dark": palette.CLASSES_ON_DARK},
        "modalities": {spec_of(m).label: shades(m) for m in report.n_cells},
        "drawings": {drawing.name: {**drawing.document, "texts": _unbroken(drawing.texts)} for drawing in drawings},
    }
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["unbroken"] = words.unbroken
    template = environment.from_string((here / "page.html.jinja").read_text(encoding="utf-8"))
    return template.render(
        report=report,
        style=(here / "page.css").read_text(encoding="utf-8"),
        scripts=scripts,
        data=htmlsafe_json_dumps(document, separators=(",", ":"), allow_nan=False),
        headline=tables.headline(report),
        prediction_tables=tables.prediction_tables(report),
        matching_tables=tables.matching_tables(report),
        verdicts={
            "space": [verdicts.space(report)],
            "prediction": verdicts.prediction(report),
            "intervals": [verdicts.intervals(report.directions)],
            "matching": verdicts.matching(report),
            "probabilities": verdicts.probabilities(report),
            "content": verdicts.content(probes),
            "data": [verdicts.data(report)],
        },
        texts={drawing.name: next(iter(drawing.texts.values()), "") for drawing in drawings},
        settings=list(dict.fromkeys(words.setting(each.within, each.depth) for each in report.pairings)),
        extremes=[tables.extremes(each, list(each.accuracy)[-1]) for each in report.directions],
        curve_tables={kind: tables.curve_table(content_alone, kind) for kind in ("reliability", "abstention")},
        coverage_table=tables.coverage_table(report.directions) if has_intervals else None,
        probes=tables.probe_table(probes) if probes else None,
        provenance=tables.provenance(report),
        choices=tables.choices(report.config.model_dump(mode="json")),
        command=shlex.join(command),
        modalities=[spec_of(m).label for m in report.n_cells],
        words=words,
        most_features=MAX_FEATURES,
    )


def _unbroken(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: words.unbroken(text) for name, text in texts.items()}


def _write(place: Path, page: str) -> None:
    place.write_text(page, encoding="utf-8", newline="\n")
