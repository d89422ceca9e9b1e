"""The map that brings one modality's content vectors into the space that all modalities share; never sees labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from jaxtyping import Float, Float32
from numpy.typing import NDArray

from unisono.config import EmbeddingConfig
from unisono.limits import LARGE, MAX_MODALITIES, NOT_NEGATIVE, Limits
from unisono.types import Modality

_SEED = 37
_MAX_STEPS, _PRECISION = 50, 1e-10

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MomentAlignment:
    """From the content vector x of a cell and its potential p, over β, to a unit vector of the shared space.

    `match` ranks pairs by ⟨x, y⟩ + p(x) + p(y), which no unit vectors of one space have as their inner product: cells
    similar to all others would have to lie far from themselves. With m the mean of the modality, c that of all, and
    m' that of the others, the vector is e = (v, z, w u) / R, in which

        v = G (x − m) + c                     one mean and covariance for all modalities,
        z = 1 + p + ⟨x, m'⟩ − ⟨v, c⟩ − mean    the potential, with what the shift takes from inner products,
        w² = R² − |v|² − z²                   what is missing from the length R that nearly all vectors stay below,

    and u is a direction of the cell's own, among coordinates that are 0 for the other modalities: it moves hubs away
    from all cells. For two modalities G is the inverse of the other's G, so

        R² ⟨e_x, e_y⟩ = ⟨x, y⟩ + p(x) + p(y) + const + (z_x − 1) (z_y − 1)

    where neither vector is longer than R; the last term is small. With three, G is as near to that as one map a
    modality can be, and p is the mean over the pairs.

    Attributes:
        centre: m, and the mean p.
        matrix: G in a frame with one row and column more: from (x, p) less `centre` to (v, z) less `common`.
        common: c, and 1.
        frequencies: dimension x direction, of the random features of x that u is made of.
        phases: of each direction.
        length: R.
        block: index of the modality among the blocks of own directions.
        n_blocks: modalities that share the space.

    References:
        Olkin & Pukelsheim, "The distance between two random vectors with given dispersion matrices", 1982 (G);
        Sun, Feng & Saenko, "Return of frustratingly easy domain adaptation", 2016 (the use);
        Rahimi & Recht, "Random features for large-scale kernel machines", 2007 (u, of a kernel so narrow that the
        directions of two cells are orthogonal on average).
    """

    centre: Float32[np.ndarray, " framed"]
    matrix: Float32[np.ndarray, "framed framed"]
    common: Float32[np.ndarray, " framed"]
    frequencies: Float32[np.ndarray, "dim direction"]
    phases: Float32[np.ndarray, " direction"]
    length: Annotated[float, Limits(gt=0, le=LARGE)]
    block: Annotated[int, NOT_NEGATIVE]
    n_blocks: Annotated[int, Limits(ge=1, le=MAX_MODALITIES)]

    def apply(
        self, vectors: Float[np.ndarray, "cell dim"], potential: Float[np.ndarray, " cell"]
    ) -> Float32[np.ndarray, "cell embedding"]:
        """Unit vectors of the shared space, each from its own cell alone."""
        aligned = self.aligned(vectors, potential)
        missing = np.maximum(self.length**2 - np.square(aligned).sum(axis=1), 0.0)
        directions = _unit(np.cos(vectors @ self.frequencies + self.phases))
        own = np.zeros((len(vectors), self.n_blocks, len(self.phases)))
        own[:, self.block] = np.sqrt(missing)[:, None] * directions
        return np.asarray(_unit(np.hstack([aligned, own.reshape(len(vectors), -1)])), dtype=np.float32)

    def aligned(
        self, vectors: Float[np.ndarray, "cell dim"], potential: Float[np.ndarray, " cell"]
    ) -> Float[np.ndarray, "cell dim+1"]:
        """The part (v, z) that modalities share, not divided by R."""
        return np.asarray((np.column_stack([vectors, potential]) - self.centre) @ self.matrix + self.common)


def fit_moment_alignment(
    vectors: Mapping[Modality, Float[np.ndarray, "cell dim"]],
    potentials: Mapping[Modality, Float[np.ndarray, " cell"]],
    config: EmbeddingConfig,
) -> dict[Modality, MomentAlignment]:
    """One map a modality, from the same cells in each.

    Args:
        vectors: of content, cell x dimension.
        potentials: of each cell, over β: the mean over the pairs that its modality is in.
        config: ridge, length and own directions.

    Raises:
        ValueError: the modalities have different cells.
    """
    if len({x.shape for x in vectors.values()}) > 1:
        raise ValueError(f"expected vectors of the same cells, found {[x.shape for x in vectors.values()]}")
    parts = {m: x.astype(np.float64) for m, x in vectors.items()}
    means = {m: np.append(x.mean(axis=0), potentials[m].mean()) for m, x in parts.items()}
    gains = _balanced({m: _covariance(x) for m, x in parts.items()}, config.moment_ridge)
    frequencies, phases = _random_features(len(next(iter(gains.values()))), config)
    maps = {}
    for block, m in enumerate(parts):
        matrix, common = _frame(gains[m], m, means)
        affine = [part.astype(np.float32) for part in (means[m], matrix, common)]
        maps[m] = MomentAlignment(affine[0], affine[1], affine[2], frequencies, phases, 0.0, block, len(parts))
    norms = [np.square(maps[m].aligned(vectors[m], potentials[m])).sum(axis=1) for m in maps]
    length = float(np.sqrt(np.quantile(np.concatenate(norms), config.filled_fraction)))
    return {m: replace(alignment, length=length) for m, alignment in maps.items()}


def _frame(gain: Matrix, modality: Modality, means: Mapping[Modality, Matrix]) -> tuple[Matrix, Matrix]:
    """`matrix` and `common` of a modality, from the mean vector, with the mean potential, of each."""
    common = np.append(np.mean([mean[:-1] for mean in means.values()], axis=0), 1.0)
    others = np.mean([mean[:-1] for other, mean in means.items() if other != modality], axis=0)
    matrix = np.eye(len(common))
    matrix[:-1, :-1], matrix[:-1, -1] = gain, others - gain @ common[:-1]
    return matrix, common


def _random_features(dim: int, config: EmbeddingConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Frequencies, dimension x direction, and phases."""
    rng = np.random.default_rng(_SEED)
    frequencies = rng.normal(size=(dim, config.n_directions)) / config.direction_bandwidth
    return frequencies.astype(np.float32), rng.uniform(0.0, 2 * np.pi, config.n_directions).astype(np.float32)


def _balanced(covariances: Mapping[Modality, Matrix], moment_ridge: float) -> dict[Modality, Matrix]:
    """Symmetric maps to one covariance for all, whose logarithms sum to zero: for two, each other's inverse."""
    average = np.mean(list(covariances.values()), axis=0)
    ridge = moment_ridge * max(float(np.trace(average)) / len(average), 1e-12) * np.eye(len(average))
    ridged = {m: covariance + ridge for m, covariance in covariances.items()}
    goal = average + ridge
    for _ in range(_MAX_STEPS):
        maps = {m: between(covariance, goal) for m, covariance in ridged.items()}
        surplus = np.mean([_function(one, np.log) for one in maps.values()], axis=0)
        if np.abs(surplus).max() < _PRECISION:
            break
        back = _function(-surplus, np.exp)
        goal = back @ goal @ back
    return maps


def between(start: Matrix, goal: Matrix) -> Matrix:
    """The symmetric A with A · start · A = goal: of the maps between Gaussians the one that moves least."""
    root, inverse = _function(start, np.sqrt), _function(start, lambda values: values**-0.5)
    return np.asarray(inverse @ _function(root @ goal @ root, np.sqrt) @ inverse)


def _unit(vectors: Float[np.ndarray, "cell dim"]) -> Float[np.ndarray, "cell dim"]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def _covariance(vectors: Matrix) -> Matrix:
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(centred.T @ centred / len(centred))


def _function(matrix: Matrix, function: Callable[[Matrix], Matrix]) -> Matrix:
    """A function of a symmetric matrix, by its eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * function(values)) @ vectors.T)
