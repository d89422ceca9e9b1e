"""A plane for points of many dimensions: UMAP, or principal axes where points are few; keeps no fitted thing."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

_NEIGHBOURS = 15
_FEWEST = 12
"""Fewer points have no neighbourhoods to speak of: they are laid along their principal axes."""


def plane(vectors: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Point x 2; equal vectors and seeds give equal planes on one machine.

    References:
        McInnes, Healy & Melville, "UMAP: uniform manifold approximation and projection", 2018.
    """
    if len(vectors) < _FEWEST:
        return _principal(vectors)
    from umap import UMAP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = _principal(vectors)
        start = 10 * start / max(float(np.abs(start).max()), 1e-9)
        jitter = np.random.default_rng(seed).normal(scale=1e-3, size=start.shape)
        fitted = UMAP(
            n_neighbors=min(_NEIGHBOURS, len(vectors) - 1),
            init=(start + jitter).astype(np.float32),
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(fitted.fit_transform(vectors), dtype=np.float32)


def _principal(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The two axes along which the points differ most; 0 where there are not two."""
    centred = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(centred.T @ centred)
    found = np.zeros((len(vectors), 2), dtype=np.float32)
    n_axes = min(2, len(values))
    found[:, :n_axes] = centred @ axes[:, ::-1][:, :n_axes]
    return found
