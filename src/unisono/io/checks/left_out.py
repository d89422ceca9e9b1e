"""Features that a modality holds and that are not of it: of another type, controls, or another modality's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.assays import feature_kinds
from unisono.io.naming import Source
from unisono.messages import Finding, typed
from unisono.modalities import spec_of
from unisono.types import Cells, Modality, View

_MIN_VARIED = 10
"""Cells with another value than the commonest that two columns need, so that their being equal says something."""
_SEED = 53


def of_other_types(source: Source) -> tuple[NDArray[np.bool_], list[Finding]]:
    """Which features are of the modality by `var["feature_types"]`, and W024 where some are of another one."""
    kinds = feature_kinds(source.adata.var)
    if kinds is None or (kinds == source.kind).all() or not (kinds == source.kind).any():
        return np.ones(source.adata.n_vars, dtype=bool), _contradiction(source, kinds)
    is_other = kinds != source.kind
    types = sorted({kind or "no modality" for kind in kinds[is_other]})
    what = f"{_some(source.adata.var_names[is_other])} are features of {', '.join(types)} by their type: left out."
    return ~is_other, [Finding("W024", source.source_name, what, "take them out of this modality")]


def controls(source: Source, *, is_kept: bool) -> tuple[NDArray[np.bool_], list[Finding]]:
    """Which features are no controls and no sample tags, and W045 where there are some, left out or kept."""
    everything = np.ones(source.adata.n_vars, dtype=bool)
    is_control = spec_of(source.kind).is_control
    if is_control is None:
        return everything, []
    is_one = np.array([is_control(str(name)) for name in source.adata.var_names], dtype=bool)
    if not is_one.any():
        return everything, []
    names = _some(source.adata.var_names[is_one])
    if is_one.all():
        what = f"all {names} look like controls or sample tags: kept, as there is nothing else."
        return everything, [Finding("W045", source.source_name, what, "give the features that were to be measured")]
    what = f"{names} look like controls or sample tags: "
    remedy = "drop them, if they are" if is_kept else f"to keep them: {typed('keep_controls=True', '--keep-controls')}"
    finding = Finding("W045", source.source_name, f"{what}{'kept' if is_kept else 'left out'}.", remedy)
    return everything if is_kept else ~is_one, [finding]


def hardly_counted(source: Source, view: View) -> list[Finding]:
    """W045 for features that are 0 in more than nine of ten cells, of a modality that uses all, such as a panel."""
    if spec_of(source.kind).score is not None:
        return []
    seen = np.bincount(view.counts.indices, minlength=len(view.features)) / view.n_cells
    is_rare = (seen < 0.1) & (seen > 0)
    if not is_rare.any():
        return []
    what = f"{_some(view.features[is_rare])} are 0 in more than 90 % of cells: little can be learnt of them."
    return [Finding("W045", source.source_name, what, "make sure that the panel was stained with them")]


def few_features(source: Source, view: View) -> list[Finding]:
    """W046 for features so few that a scale relative to each other says little."""
    spec, n_features = spec_of(source.kind), len(view.features)
    if not 1 < n_features < spec.min_features:
        return []
    what = (
        f"{n_features} {spec.features}: {spec.unit} of so few says how they compare with each other, not how much of "
    )
    return [Finding("W046", source.source_name, f"{what}each there is.", "read their predictions as ratios")]


def without_repeated(views: Mapping[Modality, View], source_name: str) -> tuple[dict[Modality, View], list[Finding]]:
    """The views without columns that hold the very counts of a column of another modality, and W024 for these.

    Such a column would be predicted from itself. It is left out of the modality with more features.
    """
    result, findings = dict(views), []
    for a, b in combinations(views, 2):
        cells = Cells({a: result[a], b: result[b]})
        rows = dict(zip((a, b), cells.paired(a, b), strict=True))
        large, small = sorted((a, b), key=lambda m: -len(result[m].features))
        shared = {m: result[m].take(rows[m]) for m in (large, small)}
        is_same = np.isin(_signatures(shared[large]), _signatures(shared[small]))
        is_same[is_same] = _is_varied(shared[large].counts[:, is_same])
        if not is_same.any():
            continue
        names, place = _some(result[large].features[is_same]), f"{source_name}, {large}"
        what, remedy = f"{names} hold the very counts of features of {small}", f"take the {spec_of(small).features} out"
        if is_same.all():
            findings.append(Finding("W024", place, f"all {what}: one is predicted from itself.", "give what it holds"))
            continue
        findings.append(Finding("W024", place, f"{what}: left out of {large}.", f"{remedy} of {large}"))
        result[large] = take_features(result[large], ~is_same)
    return result, findings


def take_features(view: View, is_chosen: NDArray[np.bool_]) -> View:
    """The same view of some of its features."""
    ids = None if view.ids is None else view.ids[is_chosen]
    unmeasured = {name: mask[is_chosen] for name, mask in view.unmeasured.items()}
    features = view.features[is_chosen]
    return replace(view, counts=view.counts[:, is_chosen], features=features, ids=ids, unmeasured=unmeasured)


def _signatures(view: View) -> NDArray[np.int64]:
    """A number of each column that only equal columns share."""
    weights = np.random.default_rng(_SEED).integers(1, 2**40, size=view.n_cells)
    return np.asarray(view.counts.T.astype(np.int64) @ weights).ravel()


def _is_varied(counts: sparse.csr_matrix) -> NDArray[np.bool_]:
    """Whether enough cells of a column have another value than its commonest one, 0 or not."""
    n_cells, n_features = counts.shape
    pairs = np.column_stack([counts.indices, counts.data])
    filled, n_of = np.unique(pairs, axis=0, return_counts=True)
    n_common = n_cells - np.bincount(counts.indices, minlength=n_features)
    np.maximum.at(n_common, filled[:, 0], n_of)
    return np.asarray(n_cells - n_common >= _MIN_VARIED)


def _contradiction(source: Source, kinds: NDArray[np.object_] | None) -> list[Finding]:
    """W024 where every feature type contradicts the modality."""
    if kinds is None or (kinds == source.kind).any():
        return []
    types = ", ".join(sorted({kind for kind in kinds if kind}))
    what = f"by their type all {len(kinds)} features are those of {types}, and are read as {source.kind}."
    return [Finding("W024", source.source_name, what, "name the modality by what it holds")]


def _some(names: NDArray[np.str_]) -> str:
    shown = ", ".join(str(name) for name in names[:4])
    return f"{len(names)} ({shown}{', ...' if len(names) > 4 else ''})"
