"""What the page's script reads: points laid in a plane, and the report packed small as JSON; decides no wording."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unisono.device import one_thread
from unisono.evaluation.report_data import Direction, EvaluationReport, Sample, Space
from unisono.metrics.arrays import Labels, Rows
from unisono.modalities import spec_of
from unisono.palette import on_dark
from unisono.report import words
from unisono.types import Modality

_NEIGHBOURS = 15
_ROWS = 1000
"""Points whose gaps to all others are held at a time."""

_MIN = 12
"""Fewer points have no neighbourhoods to speak of: they are laid along their principal axes."""


@one_thread()  # numba raises the number of OpenMP's threads for all that follows, and torch crawls with two
def plane(vectors: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Point x 2; equal vectors and seeds give equal planes on one machine.

    References:
        McInnes, Healy & Melville, "UMAP: uniform manifold approximation and projection", 2018.
    """
    if len(vectors) < _MIN:
        return _principal(vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        start = _principal(vectors)
        start = 10 * start / max(float(np.abs(start).max()), 1e-9)
        jitter = np.random.default_rng(seed).normal(scale=1e-3, size=start.shape)
        fitted = UMAP(
            n_neighbors=min(_NEIGHBOURS, len(vectors) - 1),
            init=(start + jitter).astype(np.float32),
            random_state=seed,
            n_jobs=1,
            precomputed_knn=_nearest(vectors, min(_NEIGHBOURS, len(vectors) - 1)),
        )
        return np.asarray(fitted.fit_transform(vectors), dtype=np.float32)


def _nearest(vectors: NDArray[np.float32], n: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The n nearest points of each, itself first, and how far they are: exact, and sooner than a search is compiled."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    places, gaps = np.empty((len(vectors), n), dtype=np.int32), np.empty((len(vectors), n), dtype=np.float32)
    for start in range(0, len(vectors), _ROWS):
        rows = slice(start, start + _ROWS)
        gap = squares[rows, None] + squares[None, :] - 2 * vectors[rows] @ vectors.T
        own = np.arange(len(gap))
        gap[own, start + own] = -1.0
        near = np.argpartition(gap, n - 1, axis=1)[:, :n]
        order = np.argsort(np.take_along_axis(gap, near, axis=1), axis=1, kind="stable")
        places[rows] = np.take_along_axis(near, order, axis=1)
        gaps[rows] = np.sqrt(np.maximum(np.take_along_axis(gap, places[rows], axis=1), 0.0))
    return places, gaps


def _principal(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The two axes along which the points differ most; 0 where there are not two."""
    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    found = np.zeros((len(vectors), 2), dtype=np.float32)
    n_axes = min(2, len(values))
    found[:, :n_axes] = centred @ axes[:, ::-1][:, :n_axes]
    return found


MAX_FEATURES = 60_000
_OTHER = "other"
MAX_LEVELS = 40
NOT_GIVEN = "not given"


def payload(report: EvaluationReport, plane: NDArray[np.float32]) -> dict[str, Any]:
    """Everything that is drawn by the script: the shared space, accuracies, samples of values.

    Args:
        report: of `evaluation_report`.
        plane: place of each point of its space, point x 2.
    """
    kept = {each.target: _kept(report.directions, each.target) for each in report.directions}
    features = {each.target: each.features for each in report.directions}
    return {
        "space": _space(report.space, plane),
        "features": {target: [str(name) for name in features[target][rows]] for target, rows in kept.items()},
        "directions": [_direction(each, kept[each.target]) for each in report.directions],
    }


def shades(modality: Modality) -> dict[str, str]:
    """The colour of a modality on white and on black."""
    colour = spec_of(modality).colour
    return {"light": colour, "dark": on_dark(colour)}


def packed(values: NDArray[Any]) -> dict[str, Any]:
    """Numbers as they are: `type` as numpy calls it, `data` the base64 of little-endian bytes."""
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return {"type": values.dtype.name, "data": base64.b64encode(plain.tobytes()).decode()}


def quantised(values: NDArray[np.floating], dtype: type[np.unsignedinteger[Any]] = np.uint8) -> dict[str, Any]:
    """Numbers as whole steps from their lowest to their highest: value = low + step · code, half a step off at most."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not len(values) or low == high:
        return {**packed(np.zeros(len(values), dtype=dtype)), "low": low if len(values) else 0.0, "step": 0.0}
    step = (high - low) / np.iinfo(dtype).max
    codes = np.round((values.astype(np.float64) - low) / step).astype(dtype)
    return {**packed(codes), "low": low, "step": step}


def coded(values: Labels) -> dict[str, Any]:
    """Names as levels, the commonest first, and a code for each; beyond 40 levels the rarest share one."""
    found, counts = np.unique(values.astype(str), return_counts=True)
    ranked = [str(name) for name in found[np.lexsort((found, -counts))] if name]
    levels = ranked if len(ranked) <= MAX_LEVELS else [*ranked[: MAX_LEVELS - 1], _OTHER]
    place = {name: min(code, MAX_LEVELS - 1) for code, name in enumerate(ranked)}
    if "" in found:
        place[""] = len(levels)
        levels = [*levels, NOT_GIVEN]
    codes = np.array([place[str(value)] for value in values], dtype=np.uint8)
    return {"levels": levels, "codes": packed(codes)}


def _space(space: Space, plane: NDArray[np.float32]) -> dict[str, Any]:
    named = np.array([spec_of(m).label for m in space.modality], dtype=object)
    return {
        "x": quantised(plane[:, 0], np.uint16),
        "y": quantised(plane[:, 1], np.uint16),
        "cell": packed(space.cell.astype(np.uint32)),
        "names": [str(name) for name in space.names],
        "modality": coded(named),
        "labels": [{"name": "modality", **coded(named)}]
        + [{"name": name, **coded(values)} for name, values in space.labels.items()],
        "numbers": [{"name": name, "values": packed(v.astype(np.float32))} for name, v in space.numbers.items()],
    }


def _kept(directions: Sequence[Direction], target: Modality) -> Rows:
    """Which features are listed: all, or a draw of them with all whose values are shown."""
    own = [each for each in directions if each.target == target]
    n_features = len(own[0].features)
    if n_features <= MAX_FEATURES:
        return np.arange(n_features)
    drawn = np.random.default_rng(0).permutation(n_features)[:MAX_FEATURES]
    return np.unique(np.concatenate([drawn, *(each.sample.columns for each in own)]))


def _direction(direction: Direction, kept: Rows) -> dict[str, Any]:
    return {
        "name": words.arrow(direction.source, direction.target),
        "target": direction.target,
        "colour": shades(direction.target),
        "kind": spec_of(direction.target).features,
        "scale": spec_of(direction.target).unit,
        "binary": spec_of(direction.target).is_binary,
        "cells": direction.n_cells,
        "total": len(direction.features),
        "accuracy": [
            {"name": name, "values": packed(scores[kept].astype(np.float32))}
            for name, scores in direction.accuracy.items()
        ],
        "sample": _sample(direction.sample, direction),
    }


def _sample(sample: Sample, direction: Direction) -> dict[str, Any]:
    return {
        "cells": len(sample.measured),
        "features": [
            {
                "name": str(direction.features[column]),
                "why": str(why),
                "correlation": round(float(direction.accuracy["correlation"][column]), 4),
                "measured": quantised(sample.measured[:, place]),
                "predicted": quantised(sample.predicted[:, place]),
            }
            for place, (column, why) in enumerate(zip(sample.columns, sample.why, strict=True))
        ],
    }
