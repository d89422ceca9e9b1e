"""What the parts of a stored model must have in common, beyond types, axes and limits; reads no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unisono.inference.record import Record
from unisono.io.documents import shown
from unisono.modalities import spec_of
from unisono.preprocessing.preprocessor import Guide, Preprocessor
from unisono.types import Modality
from unisono.uncertainty.conformal import Conformal

Misfits = Iterator[tuple[str, str, str]]
"""File, field and what is wrong with it."""
_MODEL, _ARRAYS, _RECORD = "model.json", "arrays.safetensors", "record.json"


def misfits(parts: Mapping[str, Any], record: Record, names: Sequence[Modality]) -> Misfits:
    """What does not fit together in the parts of a model.

    Args:
        parts: of `FittedModel` by name, those of its predictor below "predictor".
        record: of the same model.
        names: its modalities.
    """
    if "unisono" not in record.versions:
        yield _RECORD, "versions.unisono", "is missing"
    predictor = parts["predictor"]
    for m in names:
        yield from _of_preprocessor(predictor["preprocessors"][m], m, f"predictor.preprocessors.{m}")
    for pair, widths in parts["intervals"].items():
        yield from _of_intervals(widths, f"intervals.{','.join(pair)}")
    aligned = parts["moment_alignment"]
    for m, alignment in aligned.items():
        field = f"moment_alignment.{m}"
        if not alignment.block < alignment.n_blocks or {a.n_blocks for a in aligned.values()} != {alignment.n_blocks}:
            yield _MODEL, f"{field}.block", f"{alignment.block} of {alignment.n_blocks} blocks"
        if {len(a.phases) for a in aligned.values()} != {len(alignment.phases)} or not len(alignment.phases):
            yield _ARRAYS, f"{field}.phases", f"{len(alignment.phases)} directions, others have other numbers"
    for pair, anchors in parts["anchors"].items():
        if not len(anchors.left) or not len(anchors.right):
            yield _ARRAYS, f"anchors.{','.join(pair)}", "no anchors on a side"


def _of_preprocessor(found: Preprocessor, modality: Modality, field: str) -> Misfits:
    projection, standardisation, guide = found.projection, found.standardisation, found.guide
    coding = spec_of(modality).codings.get(projection.coding)
    if projection.modality != modality:
        yield _MODEL, f"{field}.projection.modality", f"{shown(projection.modality)}, expected {shown(modality)}"
    if coding is None:
        yield _MODEL, f"{field}.projection.coding", f"{shown(projection.coding)} is no coding of {modality}"
    elif len(projection.parameters) != coding.n_parameters:
        found_rows = f"{len(projection.parameters)} rows, expected {coding.n_parameters} by its coding"
        yield _ARRAYS, f"{field}.projection.parameters", found_rows
    if not projection.term_fraction.sum() > 0:
        yield _ARRAYS, f"{field}.projection.term_fraction", "adds up to 0"
    own, all_codes = projection.n_codes, len(standardisation.mean)
    guided = 0 if guide is None else _n_codes(guide)
    if own + guided != all_codes or not own:
        yield _ARRAYS, f"{field}.standardisation.mean", f"{all_codes} codes, expected {own} + {guided} of a guide"
    clusters, gains = standardisation.clusters, projection.gains
    n_clusters = 0 if clusters is None else len(clusters.centres)
    if clusters is not None and not (n_clusters and clusters.shares):
        yield _MODEL, f"{field}.standardisation.clusters", "no clusters or no shares"
    if gains is not None and len(gains.means) not in (0, n_clusters):
        what = f"{len(gains.means)} clusters, expected {n_clusters} as in the standardisation, or none"
        yield _ARRAYS, f"{field}.projection.gains.means", what
    if not standardisation.powers:
        yield _MODEL, f"{field}.standardisation.powers", "none"
    if not (standardisation.shifts == 0).any():
        yield _ARRAYS, f"{field}.standardisation.shifts", "no batch of training, whose shift is 0"
    if guide is not None:
        yield from _of_guide(guide, modality, f"{field}.guide")


def _of_guide(guide: Guide, modality: Modality, field: str) -> Misfits:
    if len(guide.scale) != 1 + len(guide.kernels):
        yield _MODEL, f"{field}.scale", f"{len(guide.scale)} numbers, expected {1 + len(guide.kernels)}"
    yield from _of_preprocessor(guide.preprocessor, modality, f"{field}.preprocessor")
    n_codes = len(guide.preprocessor.standardisation.mean)
    for name, kernel in guide.kernels.items():
        if kernel.landmarks.shape[1] != n_codes:
            found = f"{kernel.landmarks.shape[1]} codes, expected {n_codes}"
            yield _ARRAYS, f"{field}.kernels.{name}.landmarks", found


def _n_codes(guide: Guide) -> int:
    return sum(int(part.shape[1]) for part in (guide.content, *(each.weights for each in guide.kernels.values())))


def _of_intervals(widths: Conformal, field: str) -> Misfits:
    n_groups, n_levels, _ = widths.scores.shape
    if not n_groups == len(widths.n_cells) == len(widths.groups) + 1:
        what = f"{n_groups} groups of scores, {len(widths.n_cells)} of cells, {len(widths.groups)} names and all cells"
        yield _ARRAYS, f"{field}.scores", what
    if not n_levels:
        yield _ARRAYS, f"{field}.scores", "no levels"
    is_unmeasured = np.isinf(widths.scale)
    if not np.isinf(widths.scores[..., is_unmeasured]).all():
        yield _ARRAYS, f"{field}.scores", "finite where the scale is infinite"
