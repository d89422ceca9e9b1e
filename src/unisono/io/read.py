"""From a path to a MuData and from a MuData to Cells, with all findings of one pass; the argument is never changed."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.batches import Batches, find_batches
from unisono.io.container import COMBINE, existing, is_zarr, require_mudata_hdf5, require_sound_zarr, standardised
from unisono.io.counts import read_counts
from unisono.io.naming import Source, sources
from unisono.io.unmeasured import mark_training
from unisono.messages import Finding, refuse
from unisono.modalities import spec_of
from unisono.types import Cells, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

Rewrite = Callable[[str], str]
_REWRITES: dict[str, Rewrite] = {
    "as they are": lambda name: name,
    "without the last part": lambda name: re.sub(r"[-_.:#][^-_.:#]*$", "", name),
    "without the first part": lambda name: re.sub(r"^[^-_.:#]*[-_.:#]", "", name),
    "in upper case": str.upper,
}
_SAMPLED = 2000


def pairing_findings(cells: Mapping[str, pd.Index], source_name: str) -> list[Finding]:
    """E027, E028, I025 and W026 for modalities that are to be trained on together."""
    default = [name for name, index in cells.items() if _is_default(index)]
    if len(default) > 1:
        what = f"{' and '.join(default)} have default cell names 0..n, which say nothing about who is whose partner."
        remedy = "set real names: mdata[modality].obs_names = barcodes, equal for the same cell"
        return [Finding("E028", source_name, what, remedy)]
    pairs = list(itertools.combinations(cells, 2))
    n_shared = {(a, b): len(cells[a].intersection(cells[b])) for a, b in pairs}
    alone = [name for name in cells if not any(n for pair, n in n_shared.items() if name in pair)]
    if alone:
        return [_no_overlap(alone[0], next(name for name in cells if name != alone[0]), cells, source_name)]
    findings = [_order_or_overlap(a, b, cells, n_shared[a, b], source_name) for a, b in pairs if n_shared[a, b]]
    return [finding for finding in findings if finding]


def _is_default(index: pd.Index) -> bool:
    return len(index) > 0 and np.array_equal(index.astype(str), np.arange(len(index)).astype(str))


def _order_or_overlap(a: str, b: str, cells: Mapping[str, pd.Index], n_shared: int, source_name: str) -> Finding | None:
    left, right, place = cells[a], cells[b], f"{source_name}, {a} and {b}"
    n_all = len(left.union(right))
    if n_shared < n_all:
        what = f"{n_shared} of {n_all} cells paired; {n_all - n_shared} used as unpaired (in {a} only: "
        what += f"{len(left) - n_shared}, in {b} only: {len(right) - n_shared})."
        return Finding("W026", place, what)
    if not left.equals(right):
        return Finding("I025", place, f"{b} is in another order than {a}; joined by name ({n_shared} cells).")
    return None


def _no_overlap(a: str, b: str, cells: Mapping[str, pd.Index], source_name: str) -> Finding:
    left, right = cells[a], cells[b]
    what = f"no shared cell names: {a} {left[0]!r}, {b} {right[0]!r}{_diagnosis(a, b, left, right)}."
    remedy = f"rename so that a cell has one name: mdata[{b!r}].obs_names = ..., then build the MuData again"
    return Finding("E027", f"{source_name}, {a} and {b}", what, remedy)


def _diagnosis(a: str, b: str, left: pd.Index, right: pd.Index) -> str:
    """Which simple change of the names would make them meet, and for how many of a sample."""
    rights = {rewrite: set(map(change, right)) for rewrite, change in _REWRITES.items()}
    best, n_best = "", 0
    for (on_left, change), on_right in itertools.product(_REWRITES.items(), rights):
        n_met = len({change(name) for name in left[:_SAMPLED]} & rights[on_right])
        if n_met > n_best:
            best, n_best = (
                f"; {a} {on_left} and {b} {on_right} would share {n_met} of {min(len(left), _SAMPLED)}",
                n_met,
            )
    return best


@dataclass(frozen=True, eq=False)
class Inspection:
    """The views that could be read from a MuData, and everything that was noticed on the way."""

    views: Mapping[Modality, View]
    findings: tuple[Finding, ...]


def read_mudata(path: str | Path) -> MuData:
    """Read a .h5mu file, or a folder of MuData written as zarr, into memory.

    Raises:
        BadInput: E001 missing, E002 neither HDF5 nor zarr, E003 damaged, E004 chunks missing, E005 half written,
            E006 not a MuData, E047 pickled values.
    """
    place = existing(Path(path))
    check, name = (require_sound_zarr, "read_zarr") if is_zarr(place) else (require_mudata_hdf5, "read_h5mu")
    check(place)
    import mudata

    with standardised(place), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        return getattr(mudata, name)(place)


def cells_from_mudata(
    mdata: MuData | AnnData,
    *,
    batch_key: str | None,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    source_name: str = "data",
    need: int = 1,
) -> tuple[Cells, list[Finding]]:
    """Raw counts of a MuData as Cells, and the findings that do not forbid their use.

    Args:
        batch_key: obs column of the technical batch, looked up in `mdata.obs` and in each modality's obs; None puts
            all cells into one batch.
        modalities: name in the MuData -> kind (rna, adt, atac) of those to use; None takes those with known names.
        layer: where the raw counts are, None for X.
        source_name: what messages call the data, usually a file name.
        need: 2 for training, which pairs modalities by cell name; 1 for a query, which does not.

    Raises:
        BadInput: every error found in one pass, see the table of codes.
    """
    inspection = inspect(
        mdata, batch_key=batch_key, modalities=modalities, layer=layer, source_name=source_name, need=need
    )
    refuse(inspection.findings)
    return Cells(inspection.views), list(inspection.findings)


def inspect(
    mdata: MuData | AnnData,
    *,
    batch_key: str | None,
    modalities: Mapping[str, str] | None,
    layer: str | None,
    source_name: str,
    need: int,
) -> Inspection:
    """What `cells_from_mudata` sees, without raising: views of the modalities that can be used."""
    from mudata import MuData

    if not isinstance(mdata, MuData):
        held = f"one {type(mdata).__name__}, not a MuData."
        return Inspection({}, (Finding("E006", source_name, held, COMBINE.split(".write")[0]),))
    found, findings = sources(mdata, modalities, source_name, need)
    if any(finding.severity == "error" for finding in findings):
        return Inspection({}, tuple(findings))
    batches, batch_findings = find_batches(mdata, found, batch_key, source_name, need)
    views: dict[Modality, View] = {}
    for source in found:
        view, noticed = _view(source, layer, batches)
        findings += noticed
        if view is not None:
            views[source.kind], lacking = mark_training(view, source.source_name) if need > 1 else (view, [])
            findings += lacking
    findings += batch_findings + _between(found, source_name, need)
    return Inspection(views, tuple(findings))


def _view(source: Source, layer: str | None, batches: Batches) -> tuple[View | None, list[Finding]]:
    counts, findings = read_counts(source, layer)
    findings = _name_findings(source) + findings
    if counts is None:
        return None, findings
    is_filled = np.diff(counts.indptr) > 0
    findings += _empty_cells(source, is_filled) + _empty_features(source, counts)
    if source.kind not in batches or any(finding.severity == "error" for finding in findings):
        return None, findings
    rows = np.flatnonzero(is_filled)
    cells = source.adata.obs_names.to_numpy(dtype=str)[rows]
    features = source.adata.var_names.to_numpy(dtype=str)
    kept = counts if len(rows) == counts.shape[0] else counts[rows]
    return View(source.kind, kept, cells, features, batches[source.kind][rows], _second_names(source)), findings


def _second_names(source: Source) -> NDArray[np.str_] | None:
    """Another name of each feature, from the first of the usual columns of var that says more than var_names do."""
    for column in spec_of(source.kind).id_columns:
        if column in source.adata.var:
            values = source.adata.var[column]
            names = values.astype(object).where(values.notna(), "").to_numpy(dtype=str)
            if not np.array_equal(names, source.adata.var_names.to_numpy(dtype=str)):
                return np.asarray(names)
    return None


def _name_findings(source: Source) -> list[Finding]:
    findings = []
    features, cells = source.adata.var_names, source.adata.obs_names
    if not features.is_unique:
        remedy = f"mdata[{source.name!r}].var_names_make_unique() before building the MuData"
        findings.append(Finding("E022", source.source_name, f"var_names: {_repeated(features, 'feature')}.", remedy))
    if not cells.is_unique:
        what = f"obs_names: {_repeated(cells, 'cell')}: pairing is impossible."
        findings.append(Finding("E023", source.source_name, what, "name each cell once, such as by sample and barcode"))
    return findings


def _repeated(names: pd.Index, noun: str) -> str:
    sizes = names.value_counts(sort=False)
    sizes = sizes[sizes > 1]
    return f"{len(names)} {noun}s, {names.nunique()} unique names (first repeated: {sizes.index[0]!r} x{sizes.iloc[0]})"


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


def _empty_features(source: Source, counts: sparse.csr_matrix) -> list[Finding]:
    is_empty = np.bincount(counts.indices, minlength=counts.shape[1]) == 0
    if not is_empty.any() or is_empty.all():
        return []
    first = ", ".join(source.adata.var_names[is_empty][:3])
    what = f"{is_empty.sum()} of {len(is_empty)} features are 0 in every cell (first: {first})."
    return [Finding("I021", source.source_name, what)]


def _between(found: list[Source], source_name: str, need: int) -> list[Finding]:
    findings = []
    for i, left in enumerate(found):
        for right in found[i + 1 :]:
            shared = left.adata.var_names.intersection(right.adata.var_names)
            if len(shared):
                what = f"{len(shared)} feature names in both (first: {shared[0]}); kept apart by modality."
                findings.append(Finding("I024", f"{source_name}, {left.name} and {right.name}", what))
    if need > 1 and all(source.adata.obs_names.is_unique and source.adata.n_obs for source in found):
        findings += pairing_findings({source.name: source.adata.obs_names for source in found}, source_name)
    return findings
