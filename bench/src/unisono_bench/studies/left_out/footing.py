"""One footing for cells of several laboratories: values less the mean of their own batch, and codes; fits no method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

import unisono as un
from unisono_bench.baselines.centred import Centred
from unisono_bench.baselines.codes import PRIOR_CELLS, Codes, leading_basis
from unisono_bench.baselines.regression import Target
from unisono_bench.studies.left_out.sets import PAIR, DataSets, Query


@dataclass(frozen=True, eq=False)
class Footing:
    """One modality of training cells and of a query, over the features that training measured.

    Values are on the modality's scale, sizes of cells being those that all features would give. What a batch did not
    measure has value 0, its mean.

    Attributes:
        view: of the training cells.
        training: less the mean of their batch.
        query: less the mean of their batch.
        seed: starts the SVD.
    """

    view: un.View
    training: Centred
    query: Centred
    seed: int

    @classmethod
    def of(cls, training: un.View, query: un.View, seed: int) -> Footing:
        """Views over the same features."""
        known, asked = (Centred.by_group(un.preprocessing.on_scale(view), view.batch) for view in (training, query))
        return cls(training, known, asked, seed)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Of each feature, over the training cells that measured it."""
        total = np.asarray(self.training.matrix.sum(axis=0, dtype=np.float64)).ravel()
        return total / np.maximum(self.view.measured.n_cells, 1.0)

    @cached_property
    def deviation(self) -> NDArray[np.float64]:
        """Of each feature within batches, over the training cells that measured it."""
        n_cells = np.bincount(self.training.group).astype(np.float64)
        squares = n_cells @ self.training.deviations() ** 2
        return np.sqrt(squares / np.maximum(self.view.measured.n_cells, 1.0))

    @property
    def query_as_is(self) -> Footing:
        """The query less the mean of the training cells, of the features that it measured, instead of its own."""
        offsets = np.where(self.query_measures, self.mean, 0.0)
        return replace(self, query=replace(self.query, offsets=offsets))

    @property
    def query_measures(self) -> NDArray[np.bool_]:
        """Group of the query x feature: whether it has counts."""
        return self.query.offsets > 0

    @property
    def scaled(self) -> Footing:
        """Every feature of every batch scaled to the deviation within the batches of training."""
        return replace(self, training=self._scaled(self.training), query=self._scaled(self.query))

    def _scaled(self, values: Centred) -> Centred:
        own = values.deviations()
        return values.scaled(np.divide(self.deviation, own, out=np.ones_like(own), where=own > 0))

    def codes(self, n_codes: int) -> tuple[Codes, Codes]:
        """Of training and query, by directions of training alone."""
        rng = np.random.default_rng([self.seed, un.modalities.spec_of(self.view.modality).level])
        basis = leading_basis(self.view.modality, self.training, n_codes, rng)
        return self.training.times(basis).astype(np.float32), self.query.times(basis).astype(np.float32)

    def standardised(self, n_codes: int) -> tuple[Codes, Codes]:
        """Codes, each divided by √(its deviation · the largest one), as those of `InputCodes`."""
        training, query = self.codes(n_codes)
        depth = np.zeros(len(training))
        scale = un.preprocessing.Standardisation.fit(training, self.view.batch, depth, PRIOR_CELLS).scale
        return (training / scale).astype(np.float32), (query / scale).astype(np.float32)

    def target(self, cells: NDArray[np.intp], features: NDArray[np.intp]) -> Target:
        """Values of training cells to learn, of features that all of them measured."""
        return Target(self.training.take(cells, features), self.mean[features], self.view.batch[cells])


def footings(sets: DataSets, training: Sequence[str], query: Query, seed: int) -> Mapping[str, Footing]:
    """Of each modality, training cells that have both, row by row, and a query."""
    cells = sets.cells(training)
    both = np.flatnonzero((cells.rows[PAIR[0]] >= 0) & (cells.rows[PAIR[1]] >= 0))
    paired = cells.take(both)
    found = {}
    for modality in PAIR:
        view = paired.views[modality]
        found[modality] = Footing.of(view, over_features_of(view, query.cells.views[modality]), seed)
    return found


def over_features_of(view: un.View, other: un.View) -> un.View:
    """Another view over the features of a view, by name; those that it lacks are not measured."""
    place = {name: column for column, name in enumerate(view.features)}
    pairs = [(row, place[name]) for row, name in enumerate(other.features) if name in place]
    rows, columns = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    shape = len(other.features), len(view.features)
    chosen = sparse.csr_matrix((np.ones(len(rows), dtype=other.counts.dtype), (rows, columns)), shape=shape)
    unmeasured = {}
    for batch in np.unique(other.batch):
        mask = np.ones(len(view.features), dtype=bool)
        mask[columns] = other.unmeasured[batch][rows] if batch in other.unmeasured else False
        unmeasured[str(batch)] = mask
    counts = sparse.csr_matrix(other.counts @ chosen)
    return replace(other, counts=counts, features=view.features, ids=None, unmeasured=unmeasured)
