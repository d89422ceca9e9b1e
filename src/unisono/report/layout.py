"""A plane for points of many dimensions: UMAP, or principal axes where points are few; keeps no fitted thing."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from unisono.device import one_thread

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
