"""Normalised values less an offset of each cell's group, without ever making them dense; fits no method."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

import unisono as un


@final
@dataclass(frozen=True, eq=False)
class Centred:
    """The values matrix[i] − offsets[group[i]] of each cell i.

    A feature that a group did not measure has count 0 and offset 0, and so the value 0.

    Attributes:
        matrix: cell x feature, normalised values.
        offsets: group x feature.
        group: row of `offsets` of each cell.
    """

    matrix: sparse.csr_matrix
    offsets: NDArray[np.float64]
    group: NDArray[np.intp]

    @classmethod
    def by_mean(cls, matrix: sparse.csr_matrix) -> Centred:
        """Less the mean of all cells."""
        return cls.by_group(matrix, np.zeros(matrix.shape[0], dtype=np.intp))

    @classmethod
    def by_group(cls, matrix: sparse.csr_matrix, labels: NDArray[np.generic]) -> Centred:
        """Less the mean of the cells with the same label."""
        names, group = np.unique(labels, return_inverse=True)
        means = [np.asarray(matrix[group == g].mean(axis=0, dtype=np.float64)).ravel() for g in range(len(names))]
        return cls(matrix, np.stack(means), group)

    def deviations(self) -> NDArray[np.float64]:
        """Group x feature: standard deviation of the values over the cells of a group, from its own mean."""
        return np.stack([_deviation(self.matrix[self.group == g]) for g in range(len(self.offsets))])

    def scaled(self, factors: NDArray[np.float64]) -> Centred:
        """Values times a factor.

        Args:
            factors: group x feature.
        """
        of_entry = factors[np.repeat(self.group, np.diff(self.matrix.indptr)), self.matrix.indices]
        data = (self.matrix.data * of_entry).astype(np.float32)
        matrix = sparse.csr_matrix((data, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape)
        return replace(self, matrix=matrix, offsets=self.offsets * factors)

    def take(self, cells: NDArray[np.intp], features: NDArray[np.intp]) -> Centred:
        """Some cells and features, with the offsets that they have here."""
        matrix = sparse.csr_matrix(self.matrix[cells][:, features])
        return Centred(matrix, self.offsets[:, features], self.group[cells])

    def dense(self) -> NDArray[np.float64]:
        """Cell x feature."""
        return np.asarray(self.matrix.toarray() - self.offsets[self.group])

    def times(self, basis: NDArray[np.float32]) -> NDArray[np.float64]:
        """The values times a matrix, feature x component."""
        return np.asarray(self.matrix @ basis - (self.offsets @ basis)[self.group])

    def weighted_sums(self, cells: sparse.csr_matrix) -> NDArray[np.float64]:
        """Weighted sums of the values of cells, row x feature.

        Args:
            cells: row x cell, the weights.
        """
        shape = len(self.group), len(self.offsets)
        groups = sparse.csr_matrix((np.ones(shape[0]), (np.arange(shape[0]), self.group)), shape=shape)
        return np.asarray((cells @ self.matrix).toarray() - (cells @ groups).toarray() @ self.offsets)

    def basis(self, rank: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Leading right singular vectors, feature x component."""
        first = self.offsets[0]
        others = [
            un.preprocessing.LowRank(
                rows := np.flatnonzero(self.group == g),
                -np.ones((len(rows), 1), dtype=np.float32),
                (offset - first).astype(np.float32)[:, None],
            )
            for g, offset in enumerate(self.offsets)
            if g > 0
        ]
        return un.preprocessing.truncated_svd(self.matrix, first, rank, rng, added=others)


@final
@dataclass(frozen=True, eq=False)
class BatchMoments:
    """What normalised features are like in each batch of training.

    Attributes:
        batches: names, sorted.
        means: batch x feature.
        deviations: batch x feature, standard deviations.
        within: standard deviation of each feature around the means of batches.
    """

    batches: NDArray[np.str_]
    means: NDArray[np.float64]
    deviations: NDArray[np.float64]
    within: NDArray[np.float64]

    @classmethod
    def fit(cls, values: sparse.csr_matrix, batch: NDArray[np.str_]) -> BatchMoments:
        """Of normalised values of training cells."""
        batches, n_cells = np.unique(batch, return_counts=True)
        centred = Centred.by_group(values, batch)
        deviations = centred.deviations()
        return cls(batches, centred.offsets, deviations, np.sqrt(n_cells @ deviations**2 / n_cells.sum()))

    def centred(self, values: sparse.csr_matrix, batch: NDArray[np.str_], *, scales: bool) -> Centred:
        """Values less the mean of their batch: that of training, or of a new one that of its cells here.

        Args:
            values: normalised values.
            batch: of each cell.
            scales: whether features of every batch are brought to the deviation within those of training.
        """
        found = Centred.by_group(values, batch)
        offsets, deviations = found.offsets.copy(), found.deviations()
        for group, name in enumerate(np.unique(batch)):
            known = np.flatnonzero(self.batches == name)
            if len(known):
                offsets[group], deviations[group] = self.means[known[0]], self.deviations[known[0]]
        found = replace(found, offsets=offsets)
        if not scales:
            return found
        return found.scaled(np.divide(self.within, deviations, out=np.ones_like(deviations), where=deviations > 0))


def _deviation(matrix: sparse.csr_matrix) -> NDArray[np.float64]:
    values = matrix.astype(np.float64)
    mean = np.asarray(values.mean(axis=0)).ravel()
    return np.sqrt(np.maximum(np.asarray(values.multiply(values).mean(axis=0)).ravel() - mean**2, 0.0))
