"""Where the raw counts of a modality are: X, .raw or a layer, as the user, the model's record or the file says."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.naming import Source, kind_of
from unisono.messages import Finding, typed
from unisono.types import Modality

X, RAW = "X", ".raw"
"""Names of the two places of counts that are no layer."""

SAMPLED_ROWS = 100
LARGEST_COUNT = 2**53

Layer = str | Mapping[str, str]
"""A layer, "X" or ".raw", for all modalities or by modality."""


@dataclass(frozen=True)
class CountsAt:
    """Where the raw counts of a data set are.

    Attributes:
        layer: as the user says it; None for X, or for what `remembered` says.
        remembered: place by modality, as a model was fitted; where a modality lacks it, X is read if it holds counts.
        is_rounded: whether fractions are rounded to whole numbers.
    """

    layer: Layer | None = None
    remembered: Mapping[Modality, str] | None = None
    is_rounded: bool = False

    def place(self, source: Source) -> tuple[str, list[Finding]]:
        """Where the counts of a modality are, and W010 where that is not where the model's were."""
        if self.layer is not None:
            return self._named(source), []
        place = (self.remembered or {}).get(source.kind, X)
        if place == X or has_place(source, place) or source.adata.X is None or not looks_raw(source.adata.X):
            return place, []
        what = f"{place_name(place)}, where the model's training counts were, is not there; X holds whole numbers."
        return X, [Finding("W010", source.source_name, f"{what} X is read.", options(source, X))]

    def _named(self, source: Source) -> str:
        if isinstance(self.layer, str):
            return self.layer
        named = {kind_of(name) or name: place for name, place in (self.layer or {}).items()}
        return named.get(source.name, named.get(source.kind, X))


def unknown_modalities(
    layer: Layer | None, found: list[Source], source_name: str, others: Iterable[str] = ()
) -> list[Finding]:
    """E007 for a modality that is named in `layer` and neither there nor among `others`."""
    if layer is None or isinstance(layer, str):
        return []
    known = {name for source in found for name in (source.name, source.kind)} | set(others)
    wrong = [name for name in layer if name not in known and kind_of(name) not in known]
    what = f"layer names {', '.join(wrong)}; there are {', '.join(source.name for source in found)}."
    return [Finding("E007", source_name, what, "name modalities that are there")] if wrong else []


def has_place(source: Source, place: str) -> bool:
    """Whether a modality has something at X, at .raw or in a layer."""
    if place == X:
        return source.adata.X is not None
    return source.adata.raw is not None if place == RAW else place in source.adata.layers


def of_raw(source: Source) -> Source:
    """The modality as `.raw` has it, with more features than X."""
    from anndata import AnnData

    raw = source.adata.raw
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that are not unique: E022, E023
        return replace(source, adata=AnnData(in_memory(raw.X), obs=source.adata.obs.copy(), var=raw.var.copy()))


def matrix_at(source: Source, place: str) -> Any:
    """The matrix at X or in a layer; that of .raw is X of `of_raw`."""
    return source.adata.X if place in (X, RAW) else source.adata.layers[place]


def in_memory(matrix: Any) -> Any:
    """The same values as a scipy sparse matrix or numpy array: backed is read, dask is computed."""
    import h5py
    from anndata.abc import CSCDataset, CSRDataset

    match matrix:
        case CSRDataset() | CSCDataset():
            return matrix.to_memory()
        case h5py.Dataset():
            return matrix[()]
        case _ if type(matrix).__module__.startswith("dask."):
            return matrix.compute()
        case _ if is_sparse(matrix):
            return matrix
        case _:
            return np.asarray(matrix)


def is_sparse(matrix: Any) -> bool:
    """Whether a matrix is one of scipy's sparse ones."""
    return bool(sparse.issparse(matrix))


def absent(source: Source, place: str) -> Finding | None:
    """E010 or E011 where there is nothing at a place."""
    if has_place(source, place):
        return None
    layers = [name for name in source.adata.layers if name is not None]
    where = f"mdata[{source.name!r}]"
    if place == X:
        remedy = options(source, layers[0]) if layers else "put raw counts into X"
        return Finding("E011", source.source_name, f"{where}.X is None.", remedy)
    candidates = [name for name in raw_places(source) if name != place]
    there = f"{where} has no .raw" if place == RAW else f"layer {place!r} not in {where}.layers"
    what = f"{there} (has: {', '.join([X, *layers])})."
    remedy = options(source, candidates[0]) if candidates else raw_remedy(source, place)
    return Finding("E010", source.source_name, what, remedy)


def place_name(place: str) -> str:
    """X, .raw or layers['name']."""
    return place if place in (X, RAW) else f"layers[{place!r}]"


def options(source: Source, place: str) -> str:
    """What to say to read a modality's counts at a place."""
    return _said({source.name: place})


def together(findings: list[Finding], found: list[Source], at: CountsAt) -> list[Finding]:
    """The findings with remedies that name the place of every modality, as one option has to."""
    if len(found) < 2:
        return findings
    named = {source.name: _likeliest(source, at) for source in found}
    alone = {
        _said({source.name: place}): _said(named | {source.name: place})
        for source in found
        for place in {*raw_places(source), named[source.name]}
    }
    return [replace(each, remedy=_replaced(each.remedy, alone)) for each in findings]


def _likeliest(source: Source, at: CountsAt) -> str:
    """Where the counts of a modality seem to be: at the place that was said if they can be there."""
    there, said = raw_places(source), at.place(source)[0]
    return said if said in there or not there else there[0]


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def _said(places: Mapping[str, str]) -> str:
    pairs = ", ".join(f'"{name}": "{place}"' for name, place in places.items())
    return typed(f"layer={{{pairs}}}", f"--layer {','.join(f'{name}={place}' for name, place in places.items())}")


def raw_places(source: Source) -> list[str]:
    """Where a modality holds what looks like raw counts, the likeliest names first."""
    adata = source.adata
    places: dict[str, Any] = {name: adata.layers[name] for name in adata.layers if name is not None}
    if adata.X is not None:
        places[X] = adata.X
    if adata.raw is not None:
        places[RAW] = adata.raw.X
    return sorted((name for name, matrix in places.items() if looks_raw(matrix)), key=lambda name: not is_named(name))


def is_named(place: str) -> bool:
    """Whether a layer is called after counts."""
    return any(word in place.casefold() for word in ("count", "raw", "umi"))


def raw_remedy(source: Source, place: str) -> str:
    """What to say where the values at a place are no raw counts."""
    candidates = [name for name in raw_places(source) if name != place]
    if not candidates:
        return "give the raw counts; no layer and no .raw of this modality looks like counts"
    others = f" (or {', '.join(candidates[1:])})" if len(candidates) > 1 else ""
    return f"read the raw counts at {place_name(candidates[0])}{others}: {options(source, candidates[0])}"


def looks_raw(matrix: Any) -> bool:
    """Whether the first rows hold whole numbers, and some that are not 0."""
    sample: Any = in_memory(matrix[:SAMPLED_ROWS])
    values = sample.tocsr().data if is_sparse(sample) else sample.ravel()
    return values.dtype.kind in "iuf" and is_counts(values) and bool(values.any())


def is_counts(values: NDArray[Any]) -> bool:
    """Whether all values are whole numbers from 0 to 2^53."""
    is_whole = values.dtype.kind in "iu" or bool((values == np.rint(values)).all())
    return is_whole and (not len(values) or bool(values.min() >= 0 and float(values.max()) <= LARGEST_COUNT))
