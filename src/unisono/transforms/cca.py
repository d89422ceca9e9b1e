"""Probabilistic CCA of several views: the closed-form linear-Gaussian member of the family the networks belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from unisono.types import Modality


@dataclass(frozen=True, eq=False)
class LinearPath:
    """Posterior mean and decoder of probabilistic CCA, one pair of matrices a modality.

    Attributes:
        encoders: code x content; E[z | x] = x @ encoder under the prior z ~ N(0, I).
        decoders: content x code; E[x | z] = z @ decoder.
        correlation: canonical correlation ρ of each content dimension, falling; 1 − ρ is the variance of z given x.
    """

    encoders: Mapping[Modality, NDArray[np.float32]]
    decoders: Mapping[Modality, NDArray[np.float32]]
    correlation: NDArray[np.float32]


def fit_linear_path(
    codes: Mapping[Modality, NDArray[np.float32]],
    has: Mapping[Modality, NDArray[np.bool_]],
    content_dim: int,
    shrinkage: float,
) -> LinearPath:
    """Probabilistic CCA of batch-centred codes, rows being the same cells in every modality.

    Each covariance is estimated on the cells that have what it needs, so cells may lack modalities; shrinkage adds
    that share of the mean variance to each view's diagonal. For two views this is the maximum-likelihood solution of
    Bach & Jordan with the rotation that splits ρ evenly; for three, ρ comes from the MAXVAR generalised CCA.

    Args:
        codes: modality → cell x code, any values where the cell lacks the modality.
        has: modality → whether each cell has it.
        content_dim: dimensions of content; capped by the codes there are, missing ones are zero.
        shrinkage: ≥ 0.

    References:
        Bach & Jordan, "A probabilistic interpretation of canonical correlation analysis", 2005, eq. 2.
        Kettenring, "Canonical analysis of several sets of variables", 1971.
    """
    names = list(codes)
    half, inverse_half = {}, {}
    for m in names:
        covariance = _covariance(codes[m], codes[m], has[m])
        covariance[np.diag_indices_from(covariance)] += shrinkage * np.trace(covariance) / len(covariance)
        half[m], inverse_half[m] = _roots(covariance)
    starts = np.cumsum([0] + [codes[m].shape[1] for m in names])
    places = {m: slice(starts[i], starts[i + 1]) for i, m in enumerate(names)}
    whitened = np.eye(starts[-1])
    for a, b in combinations(names, 2):
        both = has[a] & has[b]
        if both.sum() > 1:
            block = inverse_half[a] @ _covariance(codes[a], codes[b], both) @ inverse_half[b]
            whitened[places[a], places[b]], whitened[places[b], places[a]] = block, block.T
    values, vectors = np.linalg.eigh(whitened)
    order = np.argsort(-values)[: min(content_dim, *(codes[m].shape[1] for m in names))]
    correlation = np.clip((values[order] - 1.0) / (len(names) - 1), 1e-3, 0.999)
    root = np.sqrt(len(names)) * vectors[:, order] * np.sqrt(correlation)
    missing = content_dim - len(order)
    encoders = {m: _padded(inverse_half[m] @ root[places[m]], missing) for m in names}
    decoders = {m: _padded(half[m] @ root[places[m]], missing).T.copy() for m in names}
    return LinearPath(encoders, decoders, np.pad(correlation, (0, missing), constant_values=1e-3).astype(np.float32))


def _covariance(
    left: NDArray[np.float32], right: NDArray[np.float32], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    return left[rows].T.astype(np.float64) @ right[rows].astype(np.float64) / max(int(rows.sum()), 1)


def _roots(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, vectors = np.linalg.eigh(covariance)
    values = np.sqrt(np.maximum(values, 1e-10))
    return (vectors * values) @ vectors.T, (vectors / values) @ vectors.T


def _padded(matrix: NDArray[np.float64], missing: int) -> NDArray[np.float32]:
    return np.pad(matrix, ((0, 0), (0, missing))).astype(np.float32)
