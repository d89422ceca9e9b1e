"""What `unisono check` shows: a row per modality, the findings, and how far a query covers a model; raises nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unisono.io.checks.coverage import Coverage, coverage_of
from unisono.io.checks.unmeasured import mark_query
from unisono.io.read import Inspection, ReadOptions, inspect
from unisono.messages import Finding, Severity
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.types import Cells, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@dataclass(frozen=True)
class ModalityRow:
    """One modality in numbers: `density` is the share of entries that are not 0, `median_depth` counts per cell."""

    modality: Modality
    cells: int
    features: int
    median_depth: float
    density: float
    batches: int


@dataclass(frozen=True, repr=False)
class CheckReport:
    """What a pass over the data found; findings are those that reading for use would raise or return."""

    modalities: tuple[ModalityRow, ...]
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...] = ()

    @property
    def is_usable(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    def __repr__(self) -> str:
        rows = ["  ".join(row) for row in self.rows]
        return "\n".join([self.verdict, *rows, *map(str, self.findings)])

    @property
    def verdict(self) -> str:
        """Whether the data can be used, and how many findings of each severity there are."""
        counted = Counter(finding.severity for finding in self.findings)
        parts = [f"{n} {noun}{'s' if n > 1 else ''}" for kind, noun in _NOUNS.items() if (n := counted[kind])]
        return f"{'usable' if self.is_usable else 'not usable'}: {', '.join(parts) or 'nothing to say'}"

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table for display, its header first; the last three columns are there where a model was given.

        They say how many of the model's features were found, how many of these under another name or by overlap, and
        what share of the model's signal they carry.
        """
        header: tuple[str, ...] = ("modality", "cells", "features", "median depth", "density", "batches")
        if not self.coverage:
            return [header, *map(_display, self.modalities)]
        found = {
            item.modality: (f"{item.found} of {item.wanted}", str(item.otherwise), f"{item.signal:.0%}")
            for item in self.coverage
        }
        rows = [(*_display(row), *found.get(row.modality, ("", "", ""))) for row in self.modalities]
        return [(*header, "of the model's", "renamed", "signal"), *rows]

    @property
    def mapped(self) -> list[tuple[str, str, str]]:
        """Modality, the model's name and the query's, of every feature found under another name or by overlap."""
        return [(item.modality, *pair) for item in self.coverage for pair in item.mapped.items()]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain lists, dictionaries, numbers and strings."""
        return {
            "usable": self.is_usable,
            "modalities": [asdict(row) for row in self.modalities],
            "findings": [asdict(finding) | {"severity": finding.severity} for finding in self.findings],
            "coverage": [asdict(item) | {"found": item.found} for item in self.coverage],
        }


_NOUNS: Mapping[Severity, str] = {"error": "error", "warning": "warning", "information": "note"}


def check(
    data: MuData | AnnData,
    options: ReadOptions,
    source_name: str = "data",
    *,
    preprocessors: Mapping[Modality, Preprocessor] | None = None,
    further: Callable[[Cells], list[Finding]] | None = None,
) -> CheckReport:
    """Look at data as fit would, or, given `preprocessors`, as predict and match would; errors are listed.

    A modality that cannot be read has findings and no row. `further` says what a fit, or a model, finds in cells that
    can be read.
    """
    found = inspect(data, options, source_name)
    coverage, findings = ((), []) if preprocessors is None else _coverages(found, preprocessors, source_name)
    report = CheckReport(tuple(map(_row, found.views.values())), (*found.findings, *findings), coverage)
    if report.is_usable and further is not None:
        report = replace(report, findings=(*report.findings, *further(Cells(found.views))))
    return report


def _coverages(
    found: Inspection, preprocessors: Mapping[Modality, Preprocessor], source_name: str
) -> tuple[tuple[Coverage, ...], list[Finding]]:
    shared = [modality for modality in found.views if modality in preprocessors]
    if found.views and not shared:
        what = f"this model knows {', '.join(preprocessors)}; the data have {', '.join(found.views)}."
        return (), [Finding("E043", source_name, what, "use a model of these modalities")]
    compared = [_compared(preprocessors[m], found.views[m], f"{source_name}, {m}") for m in shared]
    return tuple(coverage for coverage, _ in compared), [finding for _, group in compared for finding in group]


def _compared(preprocessor: Preprocessor, view: View, source_name: str) -> tuple[Coverage, list[Finding]]:
    """The coverage, and with its findings what batches of the view did not measure, if features can be compared."""
    coverage, findings = coverage_of(preprocessor, view, source_name)
    if coverage.found:
        findings = [*findings, *mark_query(view, preprocessor.projection, source_name)[1]]
    return coverage, findings


def _row(view: View) -> ModalityRow:
    n_cells, n_features = view.counts.shape
    return ModalityRow(
        modality=view.modality,
        cells=n_cells,
        features=n_features,
        median_depth=float(np.median(view.depth)),
        density=view.counts.nnz / (n_cells * n_features),
        batches=len(np.unique(view.batch)),
    )


def _display(row: ModalityRow) -> tuple[str, ...]:
    numbers = (
        f"{row.cells:,}",
        f"{row.features:,}",
        f"{row.median_depth:,.0f}",
        f"{row.density:.1%}",
        str(row.batches),
    )
    return (row.modality, *numbers)
