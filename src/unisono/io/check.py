"""What `unisono check` shows: a row per modality, the findings, and how far a query covers a model; raises nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from unisono.findings import Finding
from unisono.io.read import Inspection, inspect
from unisono.types import MODALITIES, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

MIN_COVERAGE = 0.2
"""Below this share of the model's features a query is refused (E036)."""

_ENSEMBL = re.compile(r"ENS(?P<species>[A-Z]*)G\d{6,}")
_SPECIES = {"": "human", "MUS": "mouse", "RNO": "rat", "DAR": "zebrafish", "MMU": "macaque"}
_REWRITES: dict[str, Callable[[str], str]] = {
    "upper and lower case are ignored": str.casefold,
    "what follows the last dot is dropped": lambda name: re.sub(r"\.\d+$", "", name),
    "separators and 'chr' are ignored": lambda name: re.sub(r"^chr|[-_:.\s]", "", name.casefold()),
}


@dataclass(frozen=True)
class ModalityRow:
    """One modality in numbers: `density` is the share of entries that are not 0, `median_depth` counts a cell."""

    modality: Modality
    cells: int
    features: int
    median_depth: float
    density: float
    batches: int


@dataclass(frozen=True)
class Coverage:
    """How many of a model's features of one modality a query has; `share` is between 0 and 1."""

    modality: Modality
    wanted: int
    found: int
    share: float


@dataclass(frozen=True)
class CheckReport:
    """What a pass over the data found; findings are those that reading for use would raise or return."""

    modalities: tuple[ModalityRow, ...]
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...] = ()

    @property
    def is_usable(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The table for display, its header first; the last column is empty where no model was given."""
        shares = {item.modality: f"{item.found} of {item.wanted} ({item.share:.0%})" for item in self.coverage}
        header = ("modality", "cells", "features", "median depth", "density", "batches", "of the model's features")
        return [header, *(_display(row, shares.get(row.modality, "")) for row in self.modalities)]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain lists, dictionaries, numbers and strings."""
        return {
            "usable": self.is_usable,
            "modalities": [asdict(row) for row in self.modalities],
            "findings": [asdict(finding) | {"severity": finding.severity} for finding in self.findings],
            "coverage": [asdict(item) for item in self.coverage],
        }


def check(
    mdata: MuData | AnnData,
    *,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    where: str = "data",
    features: Mapping[Modality, Sequence[str]] | None = None,
) -> CheckReport:
    """Look at data as fit would, or, with the `features` of a model, as predict and match would; errors are listed.

    A modality that cannot be read has findings and no row.
    """
    need = 1 if features is not None else 2
    found = inspect(mdata, batch_key=batch_key, modalities=modalities, layer=layer, where=where, need=need)
    coverage, findings = _coverages(found, features, where) if features is not None else ((), [])
    rows = tuple(_row(found.views[modality]) for modality in MODALITIES if modality in found.views)
    return CheckReport(rows, (*found.findings, *findings), coverage)


def coverage_of(
    modality: Modality, wanted: Sequence[str], found: Sequence[str], where: str
) -> tuple[Coverage, list[Finding]]:
    """Compare a model's feature names with a query's: I035, W036, I036, and the refusals E036 and E037."""
    model, query = pd.Index(wanted), pd.Index(found)
    places = query.get_indexer(model)
    n_found = int((places >= 0).sum())
    coverage = Coverage(modality, len(model), n_found, n_found / len(model) if len(model) else 1.0)
    if n_found == 0 and len(model):
        return coverage, [_no_match(modality, model, query, where)]
    findings = _missing(coverage, model[places < 0], where)
    if np.any(np.diff(places[places >= 0]) < 0):
        findings.append(Finding("I035", where, "features are in another order than the model's; matched by name."))
    if n_found < len(query):
        first = query.difference(model, sort=False)[0]
        what = f"{len(query) - n_found} of {len(query)} features are unknown to the model (first: {first}); ignored."
        findings.append(Finding("I036", where, what))
    return coverage, findings


def _coverages(
    found: Inspection, features: Mapping[Modality, Sequence[str]], where: str
) -> tuple[tuple[Coverage, ...], list[Finding]]:
    shared = [modality for modality in MODALITIES if modality in found.views and modality in features]
    if found.views and not shared:
        what = f"this model knows {', '.join(features)}; the data have {', '.join(found.views)}."
        return (), [Finding("E043", where, what, "use a model of these modalities")]
    compared = [coverage_of(m, features[m], list(found.views[m].features), f"{where}, {m}") for m in shared]
    return tuple(coverage for coverage, _ in compared), [finding for _, group in compared for finding in group]


def _missing(coverage: Coverage, names: pd.Index, where: str) -> list[Finding]:
    if not len(names):
        return []
    first = ", ".join(names[:3])
    what = f"{len(names)} of {coverage.wanted} features of the model are missing (first: {first})"
    if coverage.share < MIN_COVERAGE:
        what += f": {coverage.share:.1%} are there, at least {MIN_COVERAGE:.0%} are needed."
        return [Finding("E036", where, what, "give the query all measured features, or fit on the shared ones")]
    return [Finding("W036", where, f"{what}; read as 0.", "give the query all measured features, unfiltered")]


def _no_match(modality: Modality, model: pd.Index, query: pd.Index, where: str) -> Finding:
    what = f"0 % of {modality} features match; yours look like {_style(query)}, the model uses {_style(model)}"
    for condition, rewrite in _REWRITES.items():
        n_met = len(set(map(rewrite, model)) & set(map(rewrite, query)))
        if n_met:
            what += f"; {n_met} of {len(model)} would match if {condition}"
            break
    return Finding(
        "E037", where, f"{what}.", "rename var_names to the model's kind of name; nothing is matched by place"
    )


def _style(names: pd.Index) -> str:
    """How names look, judged by the commonest look, with the first name as example."""
    example = f" ({str(names[0])!r})" if len(names) else ""
    ensembl = [match for match in map(_ENSEMBL.match, names) if match]
    if len(ensembl) > len(names) / 2:
        species = ensembl[0]["species"]
        return f"Ensembl {_SPECIES.get(species, species)} identifiers{example}"
    if sum(bool(re.match(r"(chr)?[\w.]+[:_-]\d+[-_]\d+$", name)) for name in names) > len(names) / 2:
        return f"genomic intervals{example}"
    if sum(name.isupper() for name in names) > len(names) / 2:
        return f"upper-case symbols, as in human{example}"
    if sum(name[:1].isupper() and name[1:].islower() for name in names) > len(names) / 2:
        return f"capitalised symbols, as in mouse{example}"
    return f"other names{example}"


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


def _display(row: ModalityRow, share: str) -> tuple[str, ...]:
    numbers = (
        f"{row.cells:,}",
        f"{row.features:,}",
        f"{row.median_depth:,.0f}",
        f"{row.density:.1%}",
        str(row.batches),
    )
    return (row.modality, *numbers, share)
