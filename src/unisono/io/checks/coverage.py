"""Coverage: how far a query holds what a model reads, and what was taken for what; compares names, reads no count."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.features.gene_names import count_renamed
from unisono.features.spelling import describe_cut
from unisono.io.checks.names import is_turned, turned
from unisono.messages import BadInput, Finding, typed
from unisono.modalities import Known, spec_of
from unisono.preprocessing.align import Alignment, align
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.types import Modality, View

Names = NDArray[np.str_]

MIN_SIGNAL = 0.1
"""Below this share of the model's signal a query is refused (E036) by default."""

_ENSEMBL = re.compile(r"ENS(?P<species>[A-Z]*)G\d{6,}")
_SPECIES = {"": "human", "MUS": "mouse", "RNO": "rat", "DAR": "zebrafish", "MMU": "macaque"}
_REWRITES: dict[str, Callable[[str], str]] = {
    "upper and lower case are ignored": str.casefold,
    "what follows the last dot is dropped": lambda name: re.sub(r"\.\d+$", "", name),
    "separators and 'chr' are ignored": lambda name: re.sub(r"^chr|[-_:.\s]", "", name.casefold()),
}


@dataclass(frozen=True, eq=False)
class Coverage:
    """How much of a model's input of one modality a query has.

    Attributes:
        wanted: features of the model.
        by_name: of these found under the very same name.
        otherwise: found under another name, or by overlap.
        signal: share of the variance of the model's codes that the found features carry, 0 to 1.
        mapped: model's name → query's name, of those found otherwise.
    """

    modality: Modality
    wanted: int
    by_name: int
    otherwise: int
    signal: float
    mapped: dict[str, str]

    @property
    def found(self) -> int:
        return self.by_name + self.otherwise


def coverage_of(preprocessor: Preprocessor, view: View, source_name: str) -> tuple[Coverage, list[Finding]]:
    """Compare a view's features with a model's: I035, W036, I036, I038, I039, and E036, E037, E039, E040, E083."""
    known = preprocessor.projection.known
    if is_turned(pd.Index(view.features), pd.Index(view.cells), pd.Index(known.names)):
        remedy = "transpose it: adata = adata.T.copy(), then write it again"
        found = turned(source_name, str(view.cells[0]), str(view.features[0]), remedy)
        return Coverage(view.modality, len(known.names), 0, 0, 0.0, {}), [found]
    return coverage_of_names(view.modality, known, preprocessor.signal, view.features, view.ids, source_name)


def coverage_of_names(
    modality: Modality,
    known: Known,
    signal: NDArray[np.float64],
    found: Names,
    found_ids: Names | None,
    source_name: str,
) -> tuple[Coverage, list[Finding]]:
    """As `coverage_of`, from names alone; `signal` is the share that each of the known features carries."""
    nothing = Coverage(modality, len(known.names), 0, 0, 0.0, {})
    try:
        alignment = align(modality, known, found, found_ids, source_name=source_name)
    except BadInput as error:
        return nothing, list(error.findings)
    model, query = pd.Index(known.names), pd.Index(found)
    if not alignment.is_present.any():
        return nothing, [_no_match(modality, model, query, source_name)]
    coverage = _coverage(modality, known.names, found, alignment, signal)
    findings = [
        *_mapped(coverage, alignment, source_name),
        *_missing(coverage, model[~alignment.is_present], source_name),
    ]
    places = alignment.columns[alignment.is_present]
    if alignment.weights is None and np.any(np.diff(places) < 0):
        findings.append(
            Finding("I035", source_name, "features are in another order than the model's; matched by name.")
        )
    if alignment.n_unknown:
        what = f"{alignment.n_unknown} of {len(query)} features are unknown to the model"
        findings.append(Finding("I036", source_name, f"{what}{_first_unknown(alignment, query)}; ignored."))
    return coverage, findings


def tolerated(findings: list[Finding]) -> list[Finding]:
    """The same findings where too little coverage is no reason to stop: E036 as W036."""
    return [
        Finding("W036", each.where, each.what, "give the query all measured features, or take the result with caution")
        if each.code == "E036"
        else each
        for each in findings
    ]


def _coverage(
    modality: Modality, wanted: Names, found: Names, alignment: Alignment, signal: NDArray[np.float64]
) -> Coverage:
    is_otherwise = alignment.is_present & ~alignment.is_exact
    mapped = {str(wanted[i]): str(found[alignment.columns[i]]) for i in np.flatnonzero(is_otherwise)}
    share = float(signal[alignment.is_present].sum())
    return Coverage(modality, len(wanted), int(alignment.is_exact.sum()), len(mapped), share, mapped)


def _mapped(coverage: Coverage, alignment: Alignment, source_name: str) -> list[Finding]:
    if not coverage.mapped:
        return []
    first = "; ".join(f"{ours} ← {theirs}" for ours, theirs in list(coverage.mapped.items())[:3])
    if alignment.weights is not None:
        what = (
            f"{coverage.by_name} of {coverage.wanted} peaks found by name, {coverage.otherwise} by overlap "
            f"(first: {first})."
        )
        return [Finding("I039", source_name, what)]
    what = f"{coverage.otherwise} of {coverage.wanted} features found under another name"
    n_renamed = count_renamed(coverage.mapped) if spec_of(coverage.modality).features == "genes" else 0
    if n_renamed:
        what += f", {n_renamed} of them by an earlier or later name of the gene"
    what += f" (first: {first})."
    findings = [Finding("I038", source_name, what)]
    cut = describe_cut(coverage.mapped)
    if cut is not None:
        remedy = "rename var_names to avoid this warning, or if these are other features"
        findings.append(Finding("W037", source_name, f"{cut}, to find features of the model (first: {first}).", remedy))
    return findings


def _missing(coverage: Coverage, names: pd.Index, source_name: str) -> list[Finding]:
    if not len(names):
        return []
    first = ", ".join(names[:3])
    what = (
        f"{len(names)} of {coverage.wanted} features of the model are missing (first: {first}), and with them "
        f"{1 - coverage.signal:.0%} of its signal"
    )
    if coverage.signal < MIN_SIGNAL:
        what += f"; {coverage.signal:.1%} is left, at least {MIN_SIGNAL:.0%} is needed."
        remedy = (
            f"give all measured features, fit on the shared ones, or continue with {typed('force=True', '--force')}"
        )
        return [Finding("E036", source_name, what, remedy)]
    return [
        Finding(
            "W036", source_name, f"{what}; treated as not measured.", "give the query all measured features, unfiltered"
        )
    ]


def _first_unknown(alignment: Alignment, query: pd.Index) -> str:
    if alignment.weights is not None:
        is_known = np.diff(alignment.weights.indptr) > 0
    else:
        is_known = np.isin(np.arange(len(query)), alignment.columns)
    return f" (first: {query[~is_known][0]})"


def _no_match(modality: Modality, model: pd.Index, query: pd.Index, source_name: str) -> Finding:
    what = f"0 % of {modality} features match; yours look like {_style(query)}, the model uses {_style(model)}"
    for condition, rewrite in _REWRITES.items():
        n_met = len(set(map(rewrite, model)) & set(map(rewrite, query)))
        if n_met:
            what += f"; {n_met} of {len(model)} would match if {condition}"
            break
    return Finding(
        "E037", source_name, f"{what}.", "rename var_names to the model's kind of name; nothing is matched by place"
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
