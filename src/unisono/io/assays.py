"""One AnnData taken apart into modalities: by feature types, by proteins in obsm, by its name; never by its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.io.naming import kind_of
from unisono.messages import Finding
from unisono.modalities import registered, spec_of
from unisono.types import Modality

if TYPE_CHECKING:
    from anndata import AnnData

TYPE_COLUMNS = ("feature_types", "feature_type")
"""Columns of var in which readers of 10x files say what a feature is."""


def assays_of(
    adata: AnnData, source_name: str, modality: str | None = None
) -> tuple[dict[Modality, AnnData], list[Finding]]:
    """The modalities of one AnnData by name, and what was decided (I007) or is wrong (E007).

    Args:
        adata: not changed; parts may share memory with it.
        source_name: what messages call it.
        modality: what the user calls it: names data of one kind, or picks the part of that kind.
    """
    parts, findings = _by_feature_type(adata, source_name)
    if parts and modality is not None:
        return _picked(parts, modality, source_name, findings)
    if not parts:
        name, noticed = _name_of(adata, modality, source_name)
        parts, findings = {name: adata}, findings + noticed
    for kind in registered():
        pattern = spec_of(kind).obsm_key
        if pattern is not None and kind not in parts:
            part, noticed = _in_obsm(adata, kind, [key for key in adata.obsm if pattern.fullmatch(key)], source_name)
            parts, findings = parts | part, findings + noticed
    return parts, findings


def feature_kinds(var: pd.DataFrame) -> NDArray[np.object_] | None:
    """The modality of each feature by a column of feature types, '' for a type that is none; None without a column.

    A feature without a type, as joining tables leaves it, is one of the others where they are of one modality.
    """
    column = next((name for name in TYPE_COLUMNS if name in var), None)
    if column is None:
        return None
    text = var[column].astype(str)
    kinds = {value: kind_of(value) or "" for value in text.unique()}
    named = {kind for kind in kinds.values() if kind}
    found = text.map(kinds).to_numpy(dtype=object)
    if len(named) == 1:
        found[var[column].isna().to_numpy()] = next(iter(named))
    return found if named else None


def _by_feature_type(adata: AnnData, source_name: str) -> tuple[dict[Modality, AnnData], list[Finding]]:
    kinds = feature_kinds(adata.var)
    if kinds is None:
        return {}, []
    there = [kind for kind in registered() if (kinds == kind).any()]
    other = kinds == ""
    findings = []
    if other.any():
        column = next(name for name in TYPE_COLUMNS if name in adata.var)
        types = ", ".join(sorted(set(adata.var[column].astype(str)[other])))
        findings.append(Finding("I007", source_name, f"{other.sum()} features of another type left out ({types})."))
    if len(there) == 1 and not other.any():
        return {there[0]: adata}, findings
    if len(there) > 1:
        sizes = ", ".join(f"{(kinds == kind).sum():,} {spec_of(kind).features} as {kind}" for kind in there)
        findings.append(Finding("I007", source_name, f"taken apart by feature type: {sizes}."))
    return {kind: _columns(adata, kinds == kind) for kind in there}, findings


def _columns(adata: AnnData, is_chosen: NDArray[np.bool_]) -> AnnData:
    """Some of the features, with what else is known of the cells; of `.raw` those of the same names and types."""
    part = adata[:, is_chosen].copy()
    part.raw = None if adata.raw is None else _raw_of(adata, set(adata.var_names[~is_chosen]))
    part.obsm.clear()
    return part


def _raw_of(adata: AnnData, others: set[str]) -> AnnData | None:
    """`.raw` without the features of other parts, by their types where `.raw` has these, else by their names."""
    raw = adata.raw.to_adata()
    kinds = feature_kinds(raw.var)
    own = next((name for name in adata.var_names if name not in others), None)
    if kinds is None or own is None or own not in raw.var_names:
        return raw[:, ~raw.var_names.isin(list(others))].copy()
    return raw[:, kinds == kinds[raw.var_names.get_loc(own)]].copy()


def _picked(
    parts: dict[Modality, AnnData], modality: str, source_name: str, findings: list[Finding]
) -> tuple[dict[Modality, AnnData], list[Finding]]:
    kind = kind_of(modality)
    if kind in parts:
        others = [name for name in parts if name != kind]
        if others:
            findings = [*findings, Finding("I007", source_name, f"only {kind} is used, not {', '.join(others)}.")]
        return {kind: parts[kind]}, findings
    what = f"is to be read as {modality}, but its feature types are those of {', '.join(parts)}."
    return parts, [*findings, Finding("E007", source_name, what, "name it by what it holds")]


def _name_of(adata: AnnData, modality: str | None, source_name: str) -> tuple[Modality, list[Finding]]:
    if modality is not None:
        return modality, []
    kind = looks_like(adata.var_names.to_numpy(dtype=str))
    first = f" (first: {adata.var_names[0]!r})" if adata.n_vars else ""
    what = f"read as {kind}, since its names look like {spec_of(kind).features}{first}; to name it: {kind}=FILE."
    return kind, [Finding("I007", source_name, what)]


def looks_like(names: NDArray[np.str_]) -> Modality:
    """The modality that names of features look like."""
    return max(registered(), key=lambda kind: spec_of(kind).likeness(names) if len(names) else 0.0)


def _in_obsm(
    adata: AnnData, kind: Modality, keys: list[str], source_name: str
) -> tuple[dict[Modality, AnnData], list[Finding]]:
    """A modality that stands in obsm next to another one, as scvi-tools and others keep proteins."""
    tables = {key: table for key in keys if (table := _table(adata, key, kind)) is not None}
    findings = [
        Finding("I007", source_name, f"obsm[{key!r}] is left out: it has no names, in a DataFrame or in uns.")
        for key in keys
        if key not in tables
    ]
    if not tables:
        return {}, findings
    chosen = max(tables, key=lambda key: _is_whole(tables[key]))
    others = f"; not {', '.join(f'obsm[{key!r}]' for key in tables if key != chosen)}" if len(tables) > 1 else ""
    what = f"{tables[chosen].shape[1]} {spec_of(kind).features} in obsm[{chosen!r}] read as {kind}{others}."
    return {kind: _as_anndata(adata, tables[chosen])}, [*findings, Finding("I007", source_name, what)]


def _table(adata: AnnData, key: str, kind: Modality) -> pd.DataFrame | None:
    """The values with their names; None where they have none."""
    values = adata.obsm[key]
    if isinstance(values, pd.DataFrame):
        return values
    singular = spec_of(kind).features.removesuffix("s")
    for candidate in (f"{key}_names", f"{key.split('_')[0]}_names", f"{singular}_names", f"{kind}_names"):
        names = adata.uns.get(candidate)
        if names is not None and np.ndim(names) == 1 and np.ndim(values) == 2 and len(names) == values.shape[1]:
            dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
            return pd.DataFrame(dense, index=adata.obs_names, columns=[str(name) for name in names])
    return None


def _is_whole(table: pd.DataFrame) -> bool:
    values = table.to_numpy()
    return values.dtype.kind in "iu" or (values.dtype.kind == "f" and bool((values == np.rint(values)).all()))


def _as_anndata(adata: AnnData, table: pd.DataFrame) -> AnnData:
    from anndata import AnnData
    from scipy import sparse

    values: Any = table.to_numpy()
    return AnnData(
        sparse.csr_matrix(values) if values.dtype.kind in "iuf" else values,
        obs=adata.obs.copy(),
        var=pd.DataFrame(index=table.columns.astype(str)),
    )
