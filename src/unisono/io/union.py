"""Several data sets as one: their cells over the union of their features; what one did not measure is masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.features.peaks import check_same_genome, genome_of, merged_peaks, parse_peaks
from unisono.io.read import Inspection, ReadOptions, inspect, obs_columns
from unisono.messages import Finding, bad_input
from unisono.modalities import Known, in_order, spec_of
from unisono.preprocessing.align import align
from unisono.types import ONE_BATCH, Cells, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

Names = NDArray[np.str_]

DATA_SETS = "data_sets"
"""Column of var: the data sets that measured a feature, joined by a comma."""

_FEW_SHARED = 0.1
"""Share of the features of the smaller of two sets below which they hardly meet."""


@dataclass(frozen=True, eq=False)
class Union:
    """The features of one modality over several data sets.

    Attributes:
        features: unique names; where data sets spell one feature differently, as the first of them does.
        ids: second names, '' where there is none; None where none has.
        column_of: by data set, the place in `features` of each feature of its view.
    """

    features: Names
    ids: Names | None
    column_of: Mapping[str, NDArray[np.intp]]

    def has(self, name: str, is_measured: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Which features a data set has, or measured by those of its own that it did."""
        columns = self.column_of[name]
        found = np.zeros(len(self.features), dtype=bool)
        found[columns if is_measured is None else columns[is_measured]] = True
        return found


def inspect_all(
    mdata: MuData | AnnData | Sequence[MuData | AnnData],
    options: ReadOptions,
    names: Sequence[str] | None,
    source_name: str,
) -> tuple[Inspection, tuple[str, ...]]:
    """What is there of one data set, or of several as one; with the names of several.

    Raises:
        BadInput: E029, no data set of several has the column of the batch; E053 the names do not name them; what
            `united` raises.
    """
    if not isinstance(mdata, Sequence):
        return inspect(mdata, options, source_name), ()
    called = data_set_names(names, len(mdata))
    with_key = [options.batch_key in obs_columns(each) for each in mdata]
    if options.batch_key is not None and not any(with_key):
        what = f"no obs column {options.batch_key!r} in any of {len(called)} data sets."
        raise bad_input("E029", source_name, what, "name a column that some of them have")
    found = {
        name: inspect(each, options if has_key else replace(options, batch_key=None), name)
        for name, each, has_key in zip(called, mdata, with_key, strict=True)
    }
    return united(found), tuple(called)


def united(inspections: Mapping[str, Inspection]) -> Inspection:
    """One inspection of the cells of several data sets, whose names come before those of cells and of batches.

    Features meet by name as those of a query do; antibodies of one panel to one protein are added up, overlapping peaks
    merged. A feature that a data set lacks is one that its batches did not measure.

    Raises:
        BadInput: a data set cannot be read; E069 two data sets share hardly any feature of any modality; E039, E040
            peaks cannot be compared.
    """
    cells = {name: inspection.cells for name, inspection in inspections.items()}
    findings = [finding for inspection in inspections.values() for finding in inspection.findings]
    views: dict[Modality, View] = {}
    var: dict[Modality, pd.DataFrame] = {}
    for modality in in_order({m for each in cells.values() for m in each.modalities}):
        parts = {name: each.views[modality] for name, each in cells.items() if modality in each.views}
        union, noticed = union_of(modality, parts)
        findings += noticed
        views[modality] = _joined(modality, parts, union)
        var[modality] = _var({name: inspections[name].var[modality] for name in parts}, union)
    places = {m: place for each in reversed(list(inspections.values())) for m, place in each.places.items()}
    return Inspection(views, (*findings, *_strangers(cells, views)), places, var)


def union_of(modality: Modality, views: Mapping[str, View]) -> tuple[Union, list[Finding]]:
    """The features of a modality in several data sets, and what was merged to bring them together."""
    spec = spec_of(modality)
    names = [view.features for view in views.values()]
    if spec.are_intervals and any(not np.array_equal(a, b) for a, b in pairwise(names)):
        return _merged_intervals(views), []
    features: Names = np.empty(0, dtype=str)
    ids: Names = np.empty(0, dtype=str)
    column_of: dict[str, NDArray[np.intp]] = {}
    findings = []
    for name, view in views.items():
        own, own_ids, group, noticed = _without_repeats(view, name)
        findings += noticed
        columns = np.full(len(own), -1, dtype=np.intp)
        if len(features):
            found = align(modality, Known(features, ids), own, own_ids, source_name=f"{name}, {modality}").columns
            columns[found[found >= 0]] = np.flatnonzero(found >= 0)
        new = np.flatnonzero(columns < 0)
        columns[new] = len(features) + np.arange(len(new))
        features = np.concatenate([features, _unlike(own[new], features)])
        ids = np.concatenate([ids, np.full(len(new), "") if own_ids is None else own_ids[new]])
        if own_ids is not None:
            ids[columns] = np.where(ids[columns] == "", own_ids, ids[columns])
        column_of[name] = columns[group]
    return Union(features, ids if (ids != "").any() else None, column_of), findings


def _without_repeats(view: View, name: str) -> tuple[Names, Names | None, NDArray[np.intp], list[Finding]]:
    """Names and ids of features, those of one protein once; the place of each feature among them; what was merged."""
    one_of = spec_of(view.modality).one_of
    if one_of is None:
        return view.features, view.ids, np.arange(len(view.features)), []
    stands_for = one_of(view.features)
    _, first, group, n_names = np.unique(stands_for, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(first, kind="stable")
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    is_merged = n_names[order] > 1
    kept = np.where(is_merged, stands_for[first[order]], view.features[first[order]])
    ids = None if view.ids is None else view.ids[first[order]]
    if not is_merged.any():
        return kept, ids, place[group], []
    example = kept[is_merged][0]
    several = ", ".join(view.features[stands_for == example])
    what = f"{int(is_merged.sum())} proteins have several antibodies (first: {several}): their counts are added up."
    return kept, ids, place[group], [Finding("I069", f"{name}, {view.modality}", what)]


def _unlike(names: Names, known: Names) -> Names:
    """New names, with an apostrophe where one is known already for another feature."""
    taken = set(known.tolist())
    return np.array([f"{name}'" if name in taken else name for name in names], dtype=str)


def _merged_intervals(views: Mapping[str, View]) -> Union:
    """Peaks that overlap, within a data set or between two, are one."""
    peaks = {name: parse_peaks(view.features, f"{name}, {view.modality}") for name, view in views.items()}
    genomes = {name: genome_of(table, name) for name, table in peaks.items()}
    first = next(iter(genomes))
    for name in list(genomes)[1:]:
        check_same_genome(genomes[name], genomes[first], f"{name}, compared with {first}")
    merged = merged_peaks(list(peaks.values()))
    column_of = dict(zip(peaks, merged.row_of, strict=True))
    return Union(merged.names, None, column_of)


def _joined(modality: Modality, views: Mapping[str, View], union: Union) -> View:
    """The cells of all data sets over the union."""
    unmeasured: dict[str, NDArray[np.bool_]] = {}
    for name, view in views.items():
        lacking = ~union.has(name)
        for batch in np.unique(view.batch):
            own = view.unmeasured.get(str(batch))
            mask = lacking if own is None else ~union.has(name, ~own)
            if mask.any():
                unmeasured[batch_named(name, str(batch))] = mask
    n_features = len(union.features)
    return View(
        modality=modality,
        counts=sparse.vstack([_over(view.counts, union.column_of[n], n_features) for n, view in views.items()], "csr"),
        cells=np.concatenate([[f"{name}/{cell}" for cell in view.cells] for name, view in views.items()]),
        features=union.features,
        batch=np.concatenate([[batch_named(name, str(b)) for b in view.batch] for name, view in views.items()]),
        ids=union.ids,
        unmeasured=unmeasured,
    )


def batch_named(name: str, batch: str) -> str:
    """What a batch of a data set is called in a model of several."""
    return name if batch == ONE_BATCH else f"{name}/{batch}"


def _over(counts: sparse.csr_matrix, columns: NDArray[np.intp], n_features: int) -> sparse.csr_matrix:
    """Counts over other columns; those that share one are added up."""
    parts = counts.data.copy(), columns[counts.indices], counts.indptr.copy()  # sorted in place below
    moved = sparse.csr_matrix(parts, (counts.shape[0], n_features))
    moved.sum_duplicates()
    return moved


def _var(tables: Mapping[str, pd.DataFrame], union: Union) -> pd.DataFrame:
    """What the first data set that has a feature says of it, and which data sets have it."""
    frames = [table.set_axis(union.features[union.column_of[name]], axis=0) for name, table in tables.items()]
    told = pd.concat([frame[~frame.index.duplicated()] for frame in frames])
    kept = told[~told.index.duplicated()].reindex(union.features)
    has = {name: union.has(name) for name in tables}
    kept[DATA_SETS] = [",".join(name for name in has if has[name][i]) for i in range(len(union.features))]
    return kept


def _strangers(cells: Mapping[str, Cells], views: Mapping[Modality, View]) -> list[Finding]:
    """E069 for a data set that shares hardly any feature with the others, in any of its modalities."""
    findings = []
    for name, each in cells.items() if len(cells) > 1 else ():
        shares = []
        for modality in each.modalities:
            measured = views[modality].measured
            is_own = np.char.startswith(views[modality].cells, f"{name}/")
            rows = [np.unique(measured.row_of[part]) for part in (is_own, ~is_own)]
            own, others = (measured.rows[part].any(axis=0) for part in rows)
            if others.any():
                shares.append(float((own & others).sum() / min(own.sum(), others.sum())))
        if not shares or max(shares) < _FEW_SHARED:
            what = f"shares {max(shares, default=0.0):.0%} of its features with the other data sets, in any modality."
            remedy = "leave it out, or give its features the names of the others"
            findings.append(Finding("E069", name, what, remedy))
    return findings


def data_set_names(names: Sequence[str] | None, n_data_sets: int) -> list[str]:
    """The names of data sets as they were given, or 'data 1', 'data 2' and so on.

    Raises:
        BadInput: E053, they are too few, too many, or one occurs twice or has a slash, which ends it in names of cells.
    """
    given = [f"data {i + 1}" for i in range(n_data_sets)] if names is None else [str(name) for name in names]
    if len(given) != n_data_sets or len(set(given)) < len(given) or not all(given):
        what = f"{len(given)} names ({', '.join(given[:5])}) for {n_data_sets} data sets."
        raise bad_input("E053", "names", what, "give each data set a name of its own")
    if with_slash := [name for name in given if "/" in name]:
        what = f"the name {with_slash[0]!r} has a slash, which stands between data set and cell."
        raise bad_input("E053", "names", what, "give the data set a name without one")
    return given
