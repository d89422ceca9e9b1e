"""From a MuData or AnnData to Cells, with all findings of one pass; the argument is never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.io.checks.batches import Batches, find_batches
from unisono.io.checks.counts import CountsRead, read_counts
from unisono.io.checks.heavy_cells import heavy_cells
from unisono.io.checks.left_out import controls, few_features, hardly_counted, of_other_types, without_repeated
from unisono.io.checks.names import name_findings, transposed
from unisono.io.checks.pairing import disagreeing_samples, paired_names, pairing_findings
from unisono.io.checks.peaks import peak_findings
from unisono.io.checks.unmeasured import mark_training
from unisono.io.naming import Source, sources
from unisono.io.open import taken_apart
from unisono.io.places import RAW, CountsAt, Layer, together, unknown_modalities
from unisono.messages import Finding, refuse
from unisono.modalities import registered, spec_of
from unisono.types import Cells, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@dataclass(frozen=True)
class ReadOptions:
    """How a user says that data are to be read.

    Attributes:
        batch_key: obs column of the technical batch, looked up in `mdata.obs` and in each modality's obs; None puts
            all cells into one batch.
        modalities: name in the MuData -> kind (rna, adt, atac) of those to use; None takes those with known names.
        counts: where the raw counts are.
        keeps_controls: whether isotype controls and sample tags among proteins are used.
        is_training: whether they are learned from: of two modalities or more, which are paired by cell name.
        tells_controls: whether controls of a query are told, too, and not those of training alone.
    """

    batch_key: str | None = None
    modalities: Mapping[str, str] | None = None
    counts: CountsAt = field(default_factory=CountsAt)
    keeps_controls: bool = False
    is_training: bool = False
    tells_controls: bool = False


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a pass over the data found.

    Attributes:
        views: those that could be read.
        findings: everything that was noticed on the way.
        places: where the counts of each view were: X, .raw or the name of a layer.
        var: what the data say of the features of each view.
    """

    views: Mapping[Modality, View]
    findings: tuple[Finding, ...]
    places: Mapping[Modality, str]
    var: Mapping[Modality, pd.DataFrame]

    @property
    def cells(self) -> Cells:
        """The views as cells.

        Raises:
            BadInput: every error found in one pass, see the table of codes.
        """
        refuse(self.findings)
        return Cells(self.views)


def cells_from_mudata(
    mdata: MuData | AnnData,
    *,
    batch_key: str | None,
    modalities: Mapping[str, str] | None = None,
    layer: Layer | None = None,
    source_name: str = "data",
    is_training: bool = False,
) -> tuple[Cells, list[Finding]]:
    """Raw counts of a MuData as Cells, and the findings that do not forbid their use; arguments as `ReadOptions`.

    Raises:
        BadInput: every error found in one pass, see the table of codes.
    """
    options = ReadOptions(batch_key, modalities, CountsAt(layer), is_training=is_training)
    inspection = inspect(mdata, options, source_name)
    return inspection.cells, list(inspection.findings)


def inspect(data: MuData | AnnData, options: ReadOptions, source_name: str = "data") -> Inspection:
    """What can be read of the data, without raising: views of the modalities that can be used."""
    mdata, findings = taken_apart(data, source_name)
    found, noticed = sources(mdata, options.modalities, source_name, is_training=options.is_training)
    others = [] if options.is_training else [*mdata.mod, *registered()]  # one modality of a query is read at a time
    findings += noticed + unknown_modalities(options.counts.layer, found, source_name, others)
    findings += transposed(found)
    if any(finding.severity == "error" for finding in findings):
        return Inspection({}, tuple(findings), {}, {})
    if options.is_training:
        found, noticed = _paired(found, source_name)
        findings += noticed
    batches, batch_findings = find_batches(
        mdata, found, options.batch_key, source_name, is_training=options.is_training
    )
    views: dict[Modality, View] = {}
    places: dict[Modality, str] = {}
    for source in found:
        view, reading, noticed = _view(source, options, batches)
        findings += noticed
        places[source.kind] = reading.place
        if view is not None:
            views[source.kind] = view
    findings += batch_findings + _between(found, source_name, options)
    if options.is_training:
        views, noticed = _compared(views, found, source_name)
        findings += noticed
    if any(finding.code in _OF_PLACES for finding in findings):
        findings = together(findings, found, options.counts)
    tables = {source.kind: source.adata for source in found}
    var = {m: _var_of(tables[m], view, places[m]) for m, view in views.items()}
    return Inspection(views, tuple(findings), places, var)


def obs_columns(data: MuData | AnnData) -> set[str]:
    """The columns of all obs tables of the data."""
    parts = data.mod.values() if hasattr(data, "mod") else ()
    return {str(column) for table in (data.obs, *(part.obs for part in parts)) for column in table}


def _compared(
    views: Mapping[Modality, View], found: list[Source], source_name: str
) -> tuple[dict[Modality, View], list[Finding]]:
    """Training views as they are in the light of each other, and of their own batches (W024, W068)."""
    kept, findings = without_repeated(views, source_name)
    for source in found:
        if source.kind in kept:
            kept[source.kind], noticed = mark_training(kept[source.kind], source.source_name)
            findings += noticed
    return kept, findings


_OF_PLACES = ("E010", "W010", "E011", "E012", "W012", "E013", "E014")


def _var_of(adata: AnnData, view: View, place: str) -> pd.DataFrame:
    """The rows of var of a view's features."""
    frame: pd.DataFrame = adata.raw.var if place == RAW else adata.var
    return frame if len(frame) == len(view.features) else frame.loc[list(view.features)]


def _paired(found: list[Source], source_name: str) -> tuple[list[Source], list[Finding]]:
    """The modalities with the names of cells by which they meet."""
    own = {source.name: source.adata.obs_names for source in found}
    names, findings = paired_names(own, source_name)
    changed = [names[source.name] if findings else None for source in found]
    return [replace(source, paired_names=new) for source, new in zip(found, changed, strict=True)], findings


def _view(source: Source, options: ReadOptions, batches: Batches) -> tuple[View | None, CountsRead, list[Finding]]:
    reading = read_counts(source, options.counts)
    source = replace(reading.source, paired_names=source.paired_names)
    is_chosen, noticed = _chosen_features(source, options)
    findings = [*name_findings(source, is_training=options.is_training), *reading.findings, *noticed]
    if reading.counts is None:
        return None, reading, findings
    counts = reading.counts if is_chosen.all() else reading.counts[:, is_chosen]
    is_filled = np.diff(counts.indptr) > 0
    findings += _empty_cells(source, is_filled)
    if source.kind not in batches or any(finding.severity == "error" for finding in findings):
        return None, reading, findings
    rows = np.flatnonzero(is_filled)
    cells = source.cells.to_numpy(dtype=str)[rows]
    features = source.adata.var_names.to_numpy(dtype=str)[is_chosen]
    ids = _second_names(source)
    kept = counts if len(rows) == counts.shape[0] else counts[rows]
    batch = batches[source.kind][rows]
    view = View(source.kind, kept, cells, features, batch, None if ids is None else ids[is_chosen])
    if options.is_training:
        findings += _constant_features(source, view) + hardly_counted(source, view) + few_features(source, view)
        findings += heavy_cells(source, view) + peak_findings(source, view)
    return view, reading, findings


def _chosen_features(source: Source, options: ReadOptions) -> tuple[NDArray[np.bool_], list[Finding]]:
    """Which features are used; a query's controls are left out in silence, as those of training were said to be."""
    of_type, type_findings = of_other_types(source)
    no_control, control_findings = controls(source, is_kept=options.keeps_controls)
    told = control_findings if options.is_training or options.tells_controls else []
    return of_type & no_control, type_findings + told


def _second_names(source: Source) -> NDArray[np.str_] | None:
    """Another name of each feature, from the first of the usual columns of var that says more than var_names do."""
    for column in spec_of(source.kind).id_columns:
        if column in source.adata.var:
            values = source.adata.var[column]
            names = values.astype(object).where(values.notna(), "").to_numpy(dtype=str)
            if not np.array_equal(names, source.adata.var_names.to_numpy(dtype=str)):
                return np.asarray(names)
    return None


def _empty_cells(source: Source, is_filled: NDArray[np.bool_]) -> list[Finding]:
    n_empty = int((~is_filled).sum())
    if not n_empty:
        return []
    if n_empty == len(is_filled):
        return [
            Finding("E009", source.source_name, f"none of {n_empty} cells has counts.", "check how the file was made")
        ]
    first = ", ".join(source.adata.obs_names[~is_filled][:3])
    what = f"{n_empty} of {len(is_filled)} cells have no counts in {source.kind} (first: {first}); left out of it."
    return [Finding("W020", source.source_name, what, "filter cells by counts to avoid this warning")]


def _constant_features(source: Source, view: View) -> list[Finding]:
    """W021 for features that have one value in every cell, 0 or another."""
    counts, n_cells = view.counts, view.n_cells
    n_seen = np.bincount(counts.indices, minlength=counts.shape[1])
    is_constant = n_seen == 0
    everywhere = np.flatnonzero(n_seen == n_cells)
    if len(everywhere):
        values = counts[:, everywhere].astype(np.float64)
        sums = np.asarray(values.sum(axis=0)).ravel()
        squares = np.asarray(values.power(2).sum(axis=0)).ravel()
        is_constant[everywhere] = squares * n_cells <= sums**2
    if not is_constant.any() or is_constant.all() or n_cells < 2:
        return []
    first = ", ".join(view.features[is_constant][:3])
    what = f"{is_constant.sum()} of {len(is_constant)} features have one value in every cell (first: {first}): "
    what += "predicted as constant, left out of correlations."
    return [Finding("W021", source.source_name, what, "drop them to avoid this warning")]


def _between(found: list[Source], source_name: str, options: ReadOptions) -> list[Finding]:
    findings = []
    for i, left in enumerate(found):
        for right in found[i + 1 :]:
            shared = left.adata.var_names.intersection(right.adata.var_names)
            if len(shared):
                what = f"{len(shared)} feature names in both (first: {shared[0]}); kept apart by modality."
                findings.append(Finding("I024", f"{source_name}, {left.name} and {right.name}", what))
    if options.is_training and all(source.cells.is_unique and source.adata.n_obs for source in found):
        names = {source.name: source.cells for source in found}
        findings += pairing_findings(names, source_name)
        findings += disagreeing_samples(found, names, source_name, options.batch_key)
    return findings
