"""How a query's features correspond to a model's: by name, by synonym or by overlap; never by position."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.features.peaks import overlap_weights, places_of
from unisono.features.spelling import without_affixes
from unisono.modalities import Known, ModalitySpec, spec_of
from unisono.types import MeasuredFeatures, Modality, View

Names = NDArray[np.str_]

_SAME_SET = 0.95
"""Fraction of the query's intervals, or of the model's, known by name above which both are taken to be one set."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """The column of the query that corresponds to each feature of the model.

    Attributes:
        columns: column of the query, -1 where the feature is missing; of several that overlap the one that counts most.
        is_exact: whether the two names are equal.
        weights: query feature x model feature, how counts are divided where intervals overlap; None where each feature
            has one column.
        n_unknown: features of the query that correspond to none of the model's.
    """

    columns: NDArray[np.intp]
    is_exact: NDArray[np.bool_]
    weights: sparse.csr_matrix | None
    n_unknown: int

    @property
    def is_present(self) -> NDArray[np.bool_]:
        return self.columns >= 0

    @property
    def n_missing(self) -> int:
        return int((~self.is_present).sum())


def align(
    modality: Modality,
    known: Known,
    view_names: Names,
    view_ids: Names | None = None,
    *,
    source_name: str = "query",
    expected: NDArray[np.float64] | None = None,
) -> Alignment:
    """Match a model's features with a query's, unique names on both sides.

    By name if that finds all of them, else as the modality does: genes by symbol or id (`unisono.features.genes`),
    proteins by any spelling of the same antigen (`unisono.features.proteins`). Intervals such as peaks go by name where
    both are one set, by overlap where they are not (`unisono.features.peaks`). `source_name` is what messages call the
    query; `expected` is how the model's training counts fall on its intervals, by which counts of one that overlaps
    several are divided.

    Raises:
        BadInput: E039 or E040, the intervals cannot be compared.
    """
    found = _renamed(view_names, known.aliases)
    exact = pd.Index(found).get_indexer(pd.Index(known.names))
    spec = spec_of(modality)
    if spec.are_intervals and not _is_one_set(exact, found, known.names):
        return _overlapping(known.names, found, source_name, expected)
    columns = exact
    if (exact < 0).any():
        names = known.names, known.ids, found, view_ids, sorted(known.aliases.items())
        columns = _by_spelling(_Question(_digest(*names), spec, known, found, view_ids)).copy()
    return Alignment(columns, (exact >= 0) & (columns == exact), None, len(found) - int((columns >= 0).sum()))


@dataclass(frozen=True)
class _Question:
    """Names to be found in others, told apart by a digest of both."""

    digest: bytes
    spec: ModalitySpec
    known: Known = field(compare=False)
    found: Names = field(compare=False)
    ids: Names | None = field(compare=False)


def _digest(*names: object) -> bytes:
    digest = hashlib.blake2b()
    for each in names:
        if isinstance(each, np.ndarray):
            digest.update(f"{each.dtype} {len(each)};".encode() + np.ascontiguousarray(each).tobytes())
        else:
            digest.update(f"{each};".encode())
    return digest.digest()


@lru_cache(maxsize=8)
def _by_spelling(question: _Question) -> NDArray[np.intp]:
    """Columns as the modality finds them; where more are found without what stands before or behind all names, so.

    Kept, as the same query is aligned when it is checked and when it is read.
    """
    spec, known, found, ids = question.spec, question.known, question.found, question.ids
    columns = spec.match_names(known, found, ids)
    cut, known_cut = without_affixes(found), without_affixes(known.names)
    if cut is None and known_cut is None:
        return columns
    bare = known if known_cut is None else replace(known, names=known_cut)
    others = spec.match_names(bare, found if cut is None else cut, ids)
    return others if (others >= 0).sum() > (columns >= 0).sum() else columns


def aligned_counts(view: View, alignment: Alignment) -> sparse.csr_matrix:
    """The view's counts over the model's features, in the model's order; a missing feature is an empty column."""
    columns = alignment.columns
    if alignment.weights is not None:
        divided = sparse.csr_matrix(view.counts.astype(np.float32) @ alignment.weights)
        divided.sort_indices()
        return divided
    if np.array_equal(columns, np.arange(len(view.features))):
        return view.counts
    position = np.full(len(view.features), -1, dtype=np.int64)
    position[columns[columns >= 0]] = np.flatnonzero(columns >= 0)
    new_columns = position[view.counts.indices]
    keep = new_columns >= 0
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    aligned = sparse.csr_matrix(
        (view.counts.data[keep], new_columns[keep], kept_before[view.counts.indptr]), shape=(view.n_cells, len(columns))
    )
    aligned.sort_indices()
    return aligned


def aligned_measured(measured: MeasuredFeatures, alignment: Alignment) -> MeasuredFeatures:
    """Which of the model's features were measured in which cells of a view; a missing one in none."""
    present = np.flatnonzero(alignment.is_present)
    rows = np.zeros((len(measured.rows), len(alignment.columns)), dtype=bool)
    if alignment.weights is not None:
        rows[:, present] = (measured.rows.astype(np.float32) @ alignment.weights > 0)[:, present]
    else:
        rows[:, present] = measured.rows[:, alignment.columns[present]]
    return replace(measured, rows=rows)


def _renamed(names: Names, aliases: Mapping[str, str]) -> Names:
    """Names after the user's aliases, unless two features would then have one name."""
    if not aliases:
        return names
    renamed = np.array([aliases.get(str(name), str(name)) for name in names])
    return renamed if pd.Index(renamed).is_unique else names


def _is_one_set(exact: NDArray[np.intp], found: Names, known: Names) -> bool:
    """Whether names suffice: nearly all are known, or some are and not all names are intervals."""
    n_shared = int((exact >= 0).sum())
    if n_shared > _SAME_SET * min(len(known), len(found)):
        return True
    return n_shared > 0 and any(len(places_of(names)) < len(names) for names in (found, known))


def _overlapping(known: Names, found: Names, source_name: str, expected: NDArray[np.float64] | None) -> Alignment:
    weights = overlap_weights(known, found, source_name, expected)
    by_model = sparse.csc_matrix(weights)
    is_present = np.diff(by_model.indptr) > 0
    columns = np.full(len(known), -1, dtype=np.intp)
    columns[is_present] = np.asarray(by_model.argmax(axis=0)).ravel()[is_present]
    is_exact = is_present & (found[columns] == known)
    return Alignment(columns, is_exact, weights, int((np.diff(weights.indptr) == 0).sum()))
