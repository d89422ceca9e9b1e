"""Mean of the target over the nearest training cells by the source's codes; exact neighbours, Euclidean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono_bench.baselines.codes import Codes
from unisono_bench.baselines.regression import FitRegressor
from unisono.preprocessing.projection import on_scale
from unisono.types import View


def nearest(k: int) -> FitRegressor:
    """A regression by the k nearest training cells, or all of them where there are fewer."""

    def fit_neighbours(x: Codes, target: View, rng: np.random.Generator) -> Neighbours:
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(n_neighbors=min(k, len(x)), algorithm="brute").fit(x)
        return Neighbours(lambda query: index.kneighbors(query, return_distance=False), on_scale(target))

    return fit_neighbours


@final
@dataclass(frozen=True, eq=False)
class Neighbours:
    """The measured values of training cells, on the target's scale, and the way to find the nearest of them.

    Attributes:
        find: codes to the rows of the nearest training cells, cell x k.
        values: training cell x feature.
    """

    find: Callable[[Codes], NDArray[np.intp]]
    values: sparse.csr_matrix

    def __call__(self, x: Codes) -> NDArray[np.float32]:
        rows = self.find(x)
        n_cells, k = rows.shape
        share = sparse.csr_matrix(
            (np.full(rows.size, 1.0 / k, dtype=np.float32), rows.ravel(), np.arange(0, rows.size + 1, k)),
            shape=(n_cells, self.values.shape[0]),
        )
        return np.asarray((share @ self.values).toarray(), dtype=np.float32)
