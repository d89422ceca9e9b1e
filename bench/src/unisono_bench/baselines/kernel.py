"""Kernel ridge regression as it won RNA to protein in the 2021 competition: RBF on codes, averaged over halves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from unisono_bench.baselines.codes import Codes
from unisono_bench.baselines.regression import FitRegressor, Target, TargetSpace, target_space

LENGTH_SCALE = 10.0
GAMMA = 1.0 / (2.0 * LENGTH_SCALE**2)
ALPHA = 0.2
N_COMPONENTS = 128
N_REPEATS = 5
MAX_CELLS = 10_000
"""Training cells of one fit, whose kernel is then 800 MB; a larger half is thinned at random."""
_ROWS_AT_A_TIME = 4096

Scale = Callable[[Codes], NDArray[np.float64]]


def per_cell(x: Codes) -> NDArray[np.float64]:
    """Each cell's code with mean 0 and standard deviation 1; a constant code becomes 0."""
    centred = x.astype(np.float64) - x.mean(axis=1, dtype=np.float64, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.asarray(np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-12))


def scaled_per_cell(x: Codes) -> Scale:
    """`per_cell`, which learns nothing from the training codes."""
    return per_cell


def scaled_per_component(x: Codes) -> Scale:
    """Each component with the mean and standard deviation it has over the training cells taken to 0 and 1."""
    mean = x.mean(axis=0, dtype=np.float64)
    deviation = np.maximum(x.std(axis=0, dtype=np.float64), 1e-12)
    return lambda codes: np.asarray((codes - mean) / deviation)


def kernel_ridge(
    fit_scale: Callable[[Codes], Scale], n_repeats: int = N_REPEATS, max_cells: int = MAX_CELLS
) -> FitRegressor:
    """Kernel ridge with k(x, x') = exp(−‖x − x'‖² / (2 · 10²)) and penalty 0.2, the mean of 2 x 5 fits on halves.

    The halves are of the training batches, or of the cells where there is one batch; each of 5 random divisions
    gives two fits. The target is centred on its training mean and goes through its own SVD of 128 components where
    it has more features. (The winners also let the SVD of the source see the test cells, and took other numbers of
    components and a penalty of 0.1 where one side is ATAC.)

    Args:
        fit_scale: from training codes to how codes are scaled before the kernel.
        n_repeats: random divisions.
        max_cells: training cells of one fit.

    References:
        Lance et al., "Multimodal single cell data integration challenge", 2022 (team Guanlab-dengkw).
    """

    def fit_kernel_ridge(x: Codes, target: Target, rng: np.random.Generator) -> KernelMachine:
        from sklearn.kernel_ridge import KernelRidge

        y, space = target_space(target, N_COMPONENTS, rng)
        scale = fit_scale(x)
        scaled = scale(x)
        weights = np.zeros((len(x), y.shape[1]))
        n_divisions = 1 if len(np.unique(target.batch)) == 2 else n_repeats  # two batches can be halved in one way
        for _ in range(n_divisions):
            for half in random_halves(target.batch, rng):
                rows = half if len(half) <= max_cells else rng.choice(half, max_cells, replace=False)
                model = KernelRidge(alpha=ALPHA, kernel="rbf", gamma=GAMMA).fit(scaled[rows], y[rows])
                weights[rows] += model.dual_coef_ / (2 * n_divisions)
        return KernelMachine(scale, scaled, weights, space)

    return fit_kernel_ridge


def random_halves(batch: NDArray[np.str_], rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of a random half of the batches and of the other half; halves of the cells where there is one batch."""
    units = np.unique(batch)
    unit = np.searchsorted(units, batch)
    if len(units) == 1:
        unit = np.arange(len(batch))
    chosen = rng.permutation(unit.max() + 1)[: (unit.max() + 1) // 2]
    is_chosen = np.isin(unit, chosen)
    return np.flatnonzero(is_chosen), np.flatnonzero(~is_chosen)


@final
@dataclass(frozen=True, eq=False)
class KernelMachine:
    """y = Σ_i k(x, x_i) weight_i over training cells: the mean of machines that share a kernel is one of them.

    Attributes:
        scale: codes as the kernel sees them.
        training: training cell x code, scaled.
        weights: training cell x component, the mean over fits, 0 in a fit that did not see the cell.
        space: from components to features.
    """

    scale: Scale
    training: NDArray[np.float64]
    weights: NDArray[np.float64]
    space: TargetSpace

    def __call__(self, x: Codes) -> NDArray[np.float32]:
        starts = range(0, len(x), _ROWS_AT_A_TIME)
        return self.space.values(np.concatenate([self._components(x[i : i + _ROWS_AT_A_TIME]) for i in starts]))

    def _components(self, x: Codes) -> NDArray[np.float64]:
        from sklearn.metrics.pairwise import rbf_kernel

        return np.asarray(rbf_kernel(self.scale(x), self.training, gamma=GAMMA) @ self.weights)
