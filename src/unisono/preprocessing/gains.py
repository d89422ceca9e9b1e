"""Gains: how steeply the features of a batch answer, where that differs between batches, as it does of antibodies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from jaxtyping import Float32, Float64, Int, Shaped
from numpy.typing import NDArray
from scipy import sparse

from unisono.limits import NOT_NEGATIVE, POSITIVE, UNIQUE
from unisono.preprocessing.composition import bounded_factors, mixture_deviation
from unisono.types import MeasuredFeatures


@dataclass(frozen=True, eq=False)
class CellFactors:
    """Factors of the values of cells; cells of one batch share a row.

    Attributes:
        rows: batch x feature.
        row_of: row of each cell.
    """

    rows: Float32[np.ndarray, "batch feature"]
    row_of: Int[np.ndarray, " cell"]

    def take(self, cells: NDArray[np.intp]) -> CellFactors:
        """Of some of the cells."""
        return CellFactors(self.rows, self.row_of[cells])

    def times(self, values: sparse.csr_matrix, cells: slice = slice(None)) -> sparse.csr_matrix:
        """Values of some cells, each times its factor."""
        row_of = np.repeat(self.row_of[cells], np.diff(values.indptr))
        data = values.data * self.rows[row_of, values.indices]
        return sparse.csr_matrix((data, values.indices, values.indptr), shape=values.shape)


@dataclass(frozen=True, eq=False)
class Gains:
    """Factors under which the values of a batch deviate from their mean as those of training cells of its kinds would.

    An antibody of one panel, clone or protocol answers more steeply than that of another. The factor of a feature is
    the standard deviation that a mixture of the clusters of training cells would have, mixed as the batch is, over the
    deviation that the batch has: a batch of one kind of cell varies less, and that is not for its antibodies.

    Attributes:
        batches: names of the training batches.
        factors: batch x feature, of those that enter the code.
        means: cluster x feature, about the mean of the batch; of values times their factors.
        variances: cluster x feature, within the cluster.
        prior_cells: cells that a factor of 1 counts as much as.
    """

    batches: Annotated[Shaped[np.ndarray, " batch"], UNIQUE]
    factors: Annotated[Float32[np.ndarray, "batch selected"], POSITIVE]
    means: Float64[np.ndarray, "kind selected"]
    variances: Annotated[Float64[np.ndarray, "kind selected"], NOT_NEGATIVE]
    prior_cells: Annotated[float, POSITIVE]

    @classmethod
    def none(cls, batches: Shaped[np.ndarray, " batch"], n_features: int, prior_cells: float) -> Gains:
        """Factors of 1, before there are clusters."""
        factors, nothing = np.ones((len(batches), n_features), dtype=np.float32), np.zeros((0, n_features))
        return cls(batches, factors, nothing, nothing, prior_cells)

    def with_clusters(
        self,
        values: sparse.csr_matrix,
        batch: Shaped[np.ndarray, " cell"],
        cluster: Int[np.ndarray, " cell"],
        measured: MeasuredFeatures,
    ) -> Gains:
        """The same factors, with the moments of clusters of training cells.

        Args:
            values: cell x feature, times their factors.
            batch: of each cell.
            cluster: of each cell.
            measured: a cluster that has no cell with a feature has the moments of all cells there.
        """
        centred = values.toarray().astype(np.float64)
        is_measured = measured.rows[measured.row_of]
        for name in np.unique(batch):
            cells = batch == name
            centred[cells] -= centred[cells].mean(axis=0)
        centred *= is_measured
        total = np.square(centred).sum(axis=0) / np.maximum(is_measured.sum(axis=0), 1)
        means, variances = [], []
        for number in range(int(cluster.max()) + 1):
            cells = cluster == number
            n_cells = is_measured[cells].sum(axis=0)
            mean = centred[cells].sum(axis=0) / np.maximum(n_cells, 1)
            square = np.square(centred[cells]).sum(axis=0) / np.maximum(n_cells, 1)
            means.append(mean)
            variances.append(np.where(n_cells > 2, square - mean**2, total))
        return replace(self, means=np.stack(means), variances=np.maximum(np.stack(variances), 0.0))

    def of_mixture(
        self,
        values: sparse.csr_matrix,
        fractions: Float64[np.ndarray, " cluster"],
        is_measured: NDArray[np.bool_],
    ) -> Float64[np.ndarray, " feature"]:
        """The factors of a batch whose cells are mixed so; 1 of what was not measured or does not vary."""
        part = values.astype(np.float64)
        mean, square = (np.asarray(each.mean(axis=0)).ravel() for each in (part, part.multiply(part)))
        own = np.sqrt(np.maximum(square - mean**2, 0.0))
        expected = mixture_deviation(fractions, self.means, self.variances)
        return np.where(is_measured, bounded_factors(expected, own, values.shape[0], self.prior_cells), 1.0)

    def of_batches(
        self, batch: Shaped[np.ndarray, " cell"], new: dict[str, Float64[np.ndarray, " feature"]]
    ) -> CellFactors:
        """The factors of cells: stored ones of training batches, those given of new ones, 1 of any other."""
        names, row_of = np.unique(batch, return_inverse=True)
        known = dict(zip(map(str, self.batches), self.factors, strict=True)) | new
        none = np.ones(self.factors.shape[1])
        rows = np.array([known.get(str(name), none) for name in names], dtype=np.float32)
        return CellFactors(rows.reshape(len(names), len(none)), row_of)

    def with_batches(self, names: Sequence[str], factors: CellFactors, batch: Shaped[np.ndarray, " cell"]) -> Gains:
        """The same with those batches added that are new, with the factors of their cells."""
        new = [name for name in names if name not in self.batches]
        rows = [factors.rows[factors.row_of[np.flatnonzero(batch == name)[0]]] for name in new]
        return replace(
            self,
            batches=np.concatenate([self.batches, np.array(new, dtype=str)]),
            factors=np.stack([*self.factors, *rows]),
        )

    def for_training(self, factors: Sequence[Float64[np.ndarray, " feature"]]) -> Gains:
        """The same with other factors of the training batches, less what is common to all of them."""
        log_factors = np.log(np.stack(list(factors)))
        return replace(self, factors=np.exp(log_factors - log_factors.mean(axis=0)).astype(np.float32))
