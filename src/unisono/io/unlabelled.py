"""Training cells joined by cells without labels, whose pairing is not used; of counts it asks only which are 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.checks.unmeasured import mark_unlabelled
from unisono.messages import bad_input, warn
from unisono.modalities import Known
from unisono.preprocessing.align import align, aligned_counts
from unisono.types import Cells, MeasuredFeatures, Modality, View

_MIN_COVERED = 0.95
"""Share of the training features that cells without labels must have: a missing one would be learnt as a zero."""


_BATCH = "unlabelled"


def in_one_batch(unlabelled: Cells) -> Cells:
    """The same cells as of one batch that training does not have, where neither names any."""
    return Cells({m: view.in_one_batch(_BATCH) for m, view in unlabelled.views.items()})


def with_unlabelled(training: Cells, unlabelled: Cells, source_name: str) -> Cells:
    """Training cells, and each unlabelled view as cells that have one modality alone, whatever their names say.

    Features of the unlabelled cells are found as those of a query are; those that training does not have are left out.

    Raises:
        BadInput: E036 a modality lacks more than a twentieth of the training features, E043 none is of training.
    """
    shared = [m for m in training.modalities if m in unlabelled.views]
    if not shared:
        what = f"holds {', '.join(unlabelled.modalities)}, training {', '.join(training.modalities)}."
        raise bad_input("E043", source_name, what, "give cells of a modality of the training data")
    views = dict(training.views)
    for modality in shared:
        views[modality] = _joined(views[modality], unlabelled.views[modality], modality, f"{source_name}, {modality}")
    return Cells(views)


def _joined(training: View, unlabelled: View, modality: Modality, source_name: str) -> View:
    alignment = align(
        modality, Known(training.features, training.ids), unlabelled.features, unlabelled.ids, source_name=source_name
    )
    covered = float(alignment.is_present.mean())
    if covered < _MIN_COVERED:
        what = f"{alignment.n_missing} of {len(training.features)} training features are missing ({covered:.0%} there)."
        raise bad_input("E036", source_name, what, "count the same features in both, or leave these cells out")
    whole = replace(alignment, weights=None)
    counts = aligned_counts(unlabelled, whole).astype(training.counts.dtype)
    counts = _without_unmeasured(counts, unlabelled.batch, training.unmeasured)
    names = np.array([f"unlabelled/{modality}/{name}" for name in unlabelled.cells])
    joined = replace(
        training,
        counts=sparse.vstack([training.counts, counts], format="csr"),
        cells=np.concatenate([training.cells, names]),
        batch=np.concatenate([training.batch, unlabelled.batch]),
    )
    marked, findings = mark_unlabelled(joined, training.batch, source_name)
    warn(findings)
    return marked


def _without_unmeasured(
    counts: sparse.csr_matrix, batch: NDArray[np.str_], unmeasured: Mapping[str, NDArray[np.bool_]]
) -> sparse.csr_matrix:
    """The counts without those of features that the training cells of the same batch did not measure."""
    measured = MeasuredFeatures.of_batches(unmeasured, batch, counts.shape[1])
    if measured.is_complete:
        return counts
    kept = counts.copy()
    row_of = np.repeat(measured.row_of, np.diff(kept.indptr))
    kept.data[~measured.rows[row_of, kept.indices]] = 0
    kept.eliminate_zeros()
    return kept
