"""All cells of a source that is too large to be held: read once, block by block, as those that are held were read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unisono.io.checks.batches import as_text
from unisono.io.fingerprint import fingerprint
from unisono.io.read import Inspection, ReadOptions, inspect
from unisono.io.store import CellSource, Rows, allotted, blocks
from unisono.messages import refuse
from unisono.preprocessing.row_hashes import row_hashes
from unisono.types import Cells, Modality, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_SEED = 23
_MIN_OF_BATCH = 100
"""Cells of a batch that are held at least, or all of them."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found in all cells.

    Attributes:
        inspection: of the held cells, in the light of all: no batch lacks a feature that a cell of it has counts of.
        rows: of the source, the cells that have counts in some modality.
        n_cells: with counts, by modality.
        seen: sorted numbers of the cells, by which they are known again.
        fingerprint: SHA-256 over those of the blocks.
    """

    inspection: Inspection
    rows: Rows
    n_cells: Mapping[Modality, int]
    seen: Mapping[Modality, NDArray[np.uint64]]
    fingerprint: str


def held_rows(source: CellSource, batch_key: str | None, at_most: int, seed: int) -> Rows:
    """Rows of the cells that are held, in order: drawn at random, of each batch its share, and no fewer than some.

    Of cells that have other modalities than others, as `allotted` says.
    """
    n_cells = len(source.names)
    values = None if batch_key is None else source.column(batch_key)
    batch = np.zeros(n_cells) if values is None else as_text(values).fillna("").to_numpy(dtype=str)
    rng = np.random.default_rng([seed, _SEED])
    held = []
    for group, n_of_group in allotted(source.pattern, at_most):
        for name in np.unique(batch[group]):
            own = group[batch[group] == name]
            n = min(len(own), max(_MIN_OF_BATCH, int(n_of_group * len(own) / len(group))))
            held.append(rng.permutation(own)[:n])
    return np.sort(np.concatenate(held))


def survey(source: CellSource, held: Inspection, options: ReadOptions, source_name: str) -> Survey:
    """Read all cells once.

    Raises:
        BadInput: some cells cannot be used, as those that are held can.
    """
    kept, numbers = [], {m: [np.empty(0, dtype=np.uint64)] for m in held.views}
    counted: dict[Modality, dict[str, NDArray[np.bool_]]] = {m: {} for m in held.views}
    digest = hashlib.sha256()
    without = {m: view.unmeasured for m, view in held.views.items()}
    held = replace(held, views={m: replace(view, unmeasured={}) for m, view in held.views.items()})
    for rows in blocks(len(source.names)):
        cells = read_like(source.take(rows), held, options, source_name)
        digest.update(fingerprint(cells).encode())
        kept.append(rows[np.isin(source.names[rows].to_numpy(dtype=str), cells.names)])
        for modality, view in cells.views.items():
            numbers[modality].append(row_hashes(view.counts, view.features))
            for name in set(view.batch) & set(without[modality]):
                there = np.asarray(view.counts[view.batch == name].sum(axis=0)).ravel() > 0
                counted[modality][name] = there | counted[modality].get(name, np.zeros_like(there))
    views = {m: replace(view, unmeasured=_still(without[m], counted[m])) for m, view in held.views.items()}
    seen = {m: np.sort(np.concatenate(found)) for m, found in numbers.items()}
    return Survey(
        inspection=replace(held, views=views),
        rows=np.concatenate(kept),
        n_cells={m: len(found) for m, found in seen.items()},
        seen=seen,
        fingerprint=digest.hexdigest(),
    )


Masks = Mapping[str, NDArray[np.bool_]]


def _still(unmeasured: Masks, counted: Masks) -> dict[str, NDArray[np.bool_]]:
    """The features that batches lack, without those that some of their cells have counts of."""
    masks = {name: mask & ~counted.get(name, np.zeros_like(mask)) for name, mask in unmeasured.items()}
    return {name: mask for name, mask in masks.items() if mask.any()}


def read_like(data: MuData | AnnData, held: Inspection, options: ReadOptions, source_name: str) -> Cells:
    """Some cells, read as those that are held: same features, same place of counts, the same features unmeasured.

    Raises:
        BadInput: they cannot be used.
    """
    counts = replace(options.counts, layer=dict(held.places))
    found = inspect(data, replace(options, counts=counts, is_training=False), source_name)
    refuse([finding for finding in found.findings if finding.code not in _OF_NO_COUNTS])
    return Cells({m: _like(found.views.get(m), view) for m, view in held.views.items()})


_OF_NO_COUNTS = ("E009",)
"""Cells of one block may all lack counts in a modality."""


def _like(view: View | None, held: View) -> View:
    if view is None:
        nothing = np.empty(0, dtype=np.intp)
        return held.take(nothing)
    if not np.array_equal(view.features, held.features):
        place = {name: column for column, name in enumerate(view.features)}
        columns = np.array([place[name] for name in held.features], dtype=np.intp)
        view = replace(view, counts=view.counts[:, columns], features=held.features, ids=held.ids)
    unmeasured = {name: mask for name, mask in held.unmeasured.items() if (view.batch == name).any()}
    return replace(view, ids=held.ids, unmeasured=unmeasured)
