"""The linear map that brings one modality's vectors to the moments of all modalities; never sees labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono.types import Modality


@dataclass(frozen=True, eq=False)
class MomentAlignment:
    """Vectors of one modality moved as little as gives them the mean and covariance that modalities have on average.

    Posterior means of several modalities differ in where they lie and in how far they are drawn towards the prior,
    which tells the modality without telling anything of the cell.

    Attributes:
        centre: mean vector of the modality.
        matrix: dimension x dimension, symmetric, between covariances.
        common: mean vector of all modalities.

    References:
        Olkin & Pukelsheim, "The distance between two random vectors with given dispersion matrices", 1982 (the map);
        Sun, Feng & Saenko, "Return of frustratingly easy domain adaptation", 2016 (the use).
    """

    centre: NDArray[np.float32]
    matrix: NDArray[np.float32]
    common: NDArray[np.float32]

    def apply(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The tuned vectors, of unit length."""
        tuned = (vectors - self.centre) @ self.matrix + self.common
        length = np.linalg.norm(tuned, axis=1, keepdims=True)
        return np.asarray(tuned / np.maximum(length, 1e-12), dtype=np.float32)


def fit_moment_alignment(
    vectors: Mapping[Modality, NDArray[np.float32]], moment_ridge: float
) -> dict[Modality, MomentAlignment]:
    """One tuning a modality, from vectors of the same cells in each, cell x dimension.

    `moment_ridge` is the fraction of the mean variance that is added to every direction.

    Raises:
        ValueError: the modalities have different cells.
    """
    if len({found.shape for found in vectors.values()}) > 1:
        raise ValueError(f"vectors of the same cells were wanted, found {[x.shape for x in vectors.values()]}")
    parts = {m: found.astype(np.float64) for m, found in vectors.items()}
    means = {m: found.mean(axis=0) for m, found in parts.items()}
    covariances = {m: _covariance(found) for m, found in parts.items()}
    common = np.mean(list(means.values()), axis=0).astype(np.float32)
    average = np.mean(list(covariances.values()), axis=0)
    ridge = moment_ridge * max(float(np.trace(average)) / len(average), 1e-12) * np.eye(len(average))
    return {
        m: MomentAlignment(means[m].astype(np.float32), between(covariances[m] + ridge, average + ridge), common)
        for m in parts
    }


def between(start: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float32]:
    """The symmetric A with A · start · A = goal: of the maps between Gaussians the one that moves least."""
    root, inverse = _power(start, 0.5), _power(start, -0.5)
    return np.asarray(inverse @ _power(root @ goal @ root, 0.5) @ inverse, dtype=np.float32)


def _covariance(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred.T @ centred / len(centred))


def _power(matrix: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-12) ** exponent) @ vectors.T)
