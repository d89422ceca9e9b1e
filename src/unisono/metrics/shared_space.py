"""How cells of one type meet and batches mix in a shared space, by scib-metrics; never sees a model or names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from unisono.metrics.arrays import Labels, Vectors

_NEIGHBOURS = {"graph": 15, "lisi": 90}
"""Neighbours, each cell itself included, that scib-metrics takes for connectivity and for LISI; fewer if there are."""


def shared_space(vectors: Vectors, batch: Labels, cell_type: Labels) -> dict[str, float]:
    """Figures of scib-metrics, each 0 to 1 and better if higher.

    Args:
        vectors: cell x dimension, finite; compared by Euclidean distance.
        batch: technical batch of each cell.
        cell_type: type of each cell.

    Returns:
        `silhouette_label`, `clisi`, `nmi`, `ari` (k-means) and `graph_connectivity`: do cells of a type lie together?
        They need two types. `silhouette_batch` and `ilisi`: are the batches mixed? They need two batches, and the
        silhouette two within a type. A figure that the data do not allow is left out.

    Raises:
        ImportError: scib-metrics is not installed.
        ValueError: lengths disagree, values are not finite, or there are neither two types nor two batches.

    References:
        Luecken et al., "Benchmarking atlas-level data integration in single-cell genomics", 2022.
    """
    if not len(vectors) == len(batch) == len(cell_type):
        raise ValueError(f"{len(vectors)} cells, {len(batch)} batch entries and {len(cell_type)} cell types")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors are not finite; leave out cells without counts")
    has_types, has_batches = len(np.unique(cell_type)) > 1, len(np.unique(batch)) > 1
    if not has_types and not has_batches:
        raise ValueError("one batch and one cell type: nothing to compare")
    scib = _scib_metrics()
    near = _neighbours(vectors, scib)
    figures: dict[str, float] = {}
    if has_types:
        figures["silhouette_label"] = float(scib.silhouette_label(vectors, cell_type))
        figures["clisi"] = float(scib.clisi_knn(near["lisi"], cell_type))
        figures |= {name: float(value) for name, value in _clusters(vectors, cell_type, scib).items()}
        figures["graph_connectivity"] = float(scib.graph_connectivity(near["graph"], cell_type))
    if has_batches:
        figures["ilisi"] = float(scib.ilisi_knn(near["lisi"], batch))
        if _has_mixed_type(batch, cell_type):
            figures["silhouette_batch"] = float(scib.silhouette_batch(vectors, cell_type, batch))
    return figures


def _scib_metrics() -> Any:
    try:
        return import_module("scib_metrics")
    except ImportError as error:
        raise ImportError("shared_space needs scib-metrics: pip install scib-metrics") from error


def _neighbours(vectors: Vectors, scib: Any) -> dict[str, Any]:
    """Nearest neighbours by scikit-learn, exact, in the form that scib-metrics reads."""
    from sklearn.neighbors import NearestNeighbors

    most = min(max(_NEIGHBOURS.values()), len(vectors))
    distances, indices = NearestNeighbors(n_neighbors=most).fit(vectors).kneighbors(vectors)
    return {
        name: scib.nearest_neighbors.NeighborsResults(indices[:, :size], distances[:, :size])
        for name, size in _NEIGHBOURS.items()
    }


def _clusters(vectors: Vectors, cell_type: Labels, scib: Any) -> dict[str, float]:
    found: dict[str, float] = scib.nmi_ari_cluster_labels_kmeans(vectors, cell_type)
    return found


def _has_mixed_type(batch: Labels, cell_type: Labels) -> bool:
    """Whether a type holds several batches, at least one of them with several cells."""
    return any(1 < len(np.unique(batch[cell_type == t])) < (cell_type == t).sum() for t in np.unique(cell_type))
