"""Features that batches of a query did not measure, judged by what a projection keeps of its training cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unisono.preprocessing.align import Alignment, aligned_counts
from unisono.preprocessing.projection import Projection
from unisono.preprocessing.unmeasured import may_lack, pessimistic_ratio, unmeasured
from unisono.types import View

Mask = NDArray[np.bool_]


def unmeasured_in_query(projection: Projection, view: View) -> dict[str, Mask]:
    """Batch → features of a view, known to the model, that it did not measure, of the batches that lack some.

    All cells of the batch have 0 there, and chance would hardly leave that; or a training batch of that name did not
    measure them either. Only of views whose features correspond to the model's one by one.
    """
    alignment = projection.align(view)
    if alignment.weights is not None or not alignment.is_present.any():
        return {}
    found: dict[str, Mask] = {}
    for name in np.unique(view.batch):
        mask = _of_batch(projection, view.take(np.flatnonzero(view.batch == name)), str(name), alignment)
        if mask.any():
            found[str(name)] = np.zeros(len(view.features), dtype=bool)
            found[str(name)][alignment.columns[mask]] = True
    return found


def with_unmeasured(projection: Projection, view: View) -> Projection:
    """The same projection, which knows of the batches of a view what the view says that they did not measure."""
    alignment = projection.align(view)
    known = {name: mask for name, mask in projection.unmeasured.items() if name not in view.batch}
    if alignment.weights is None:
        present = np.flatnonzero(alignment.is_present)
        for name, mask in view.unmeasured.items():
            known[name] = np.zeros(len(projection.features), dtype=bool)
            known[name][present] = mask[alignment.columns[present]]
    return replace(projection, unmeasured=known)


def known_unmeasured(projection: Projection, view: View) -> dict[str, Mask]:
    """Batch → features of a view that it did not measure, as a projection knows of it, of the batches that lack some.

    The inverse of `with_unmeasured`: counts of the view are not looked at.
    """
    alignment = projection.align(view)
    names = [str(name) for name in np.unique(view.batch) if str(name) in projection.unmeasured]
    if alignment.weights is not None:
        return {}
    found = {}
    for name in names:
        mask = np.zeros(len(view.features), dtype=bool)
        mask[alignment.columns[projection.unmeasured[name] & alignment.is_present]] = True
        if mask.any():
            found[name] = mask
    return found


def _of_batch(projection: Projection, view: View, name: str, alignment: Alignment) -> Mask:
    """The model's features that cells of one batch, which has them all as columns, did not measure."""
    counts, present = aligned_counts(view, alignment), alignment.is_present
    n_seen = np.bincount(counts.indices[counts.data > 0], minlength=len(present)).astype(np.float64)
    reference = replace(projection.reference, n_seen=np.where(present, projection.reference.n_seen, 0.0))
    stored = projection.unmeasured.get(name, np.zeros(len(present), dtype=bool)) & present & (n_seen == 0)
    if not may_lack(n_seen, view.n_cells, reference):
        return np.asarray(stored)
    ratio = _matched_ratio(projection, view, (n_seen == 0) & (reference.n_seen > 0), alignment)
    return np.asarray(stored | unmeasured(n_seen, view.n_cells, reference, ratio))


def _matched_ratio(projection: Projection, view: View, candidate: Mask, alignment: Alignment) -> NDArray[np.float64]:
    """How often training cells whose mean code is that of these cells have each feature, relative to all; at most 1.

    By the loadings; codes are of the features that are no candidates.
    """
    own = np.zeros(len(view.features), dtype=bool)
    own[alignment.columns[candidate]] = True
    without = replace(view, batch=np.full(view.n_cells, ""), unmeasured={"": own})
    mean_code = projection.codes(projection.counts(without)).mean(axis=0)
    rise = projection.loadings @ (mean_code - projection.mean_code)
    level = projection.intercept + projection.loadings @ projection.mean_code
    ratio = 1.0 + np.divide(rise, level, out=np.zeros_like(level), where=level > 0)
    plain = view.n_cells * projection.reference.rate
    return pessimistic_ratio(np.maximum(ratio, 0.0) * plain, plain, 1.0)
