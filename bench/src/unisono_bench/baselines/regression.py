"""Estimators that predict: the training mean, ridge and nearest neighbours on codes; none of them matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

import unisono as un
from unisono_bench.baselines.centred import Centred
from unisono_bench.baselines.codes import Codes, InputCodes
from unisono_bench.baselines.pairs import MIN_PAIRED, n_paired
from unisono_bench.data import paired_views
from unisono_bench.matching import Groups

Pair = tuple[str, str]

Regressor = Callable[[Codes], NDArray[np.float32]]
"""Codes of cells to values of features, cell x feature; each cell on its own."""


@final
@dataclass(frozen=True, eq=False)
class Target:
    """What a regression learns: one modality of its training cells, all of whose features were measured.

    Attributes:
        values: cell x feature, on the modality's scale and centred.
        mean: what is added to a prediction of such values, one for each feature.
        batch: of each cell.
    """

    values: Centred
    mean: NDArray[np.float64]
    batch: NDArray[np.str_]

    @classmethod
    def of(cls, view: un.View) -> Target:
        """The values of a view, centred on the mean of its cells."""
        values = Centred.by_mean(un.preprocessing.on_scale(view))
        return cls(values, values.offsets[0], view.batch)


FitRegressor = Callable[[Codes, Target, np.random.Generator], Regressor]
"""From codes of the source and the target measured in the same cells, row by row."""

ALPHAS = np.logspace(-2, 5, 8)
"""Penalties tried, in squared units of the codes; one is chosen for all features."""

_MANY_FEATURES, _N_COMPONENTS = 5000, 50
"""Tens of thousands of peaks go through their own SVD; fewer features are predicted one by one."""


@final
@dataclass(frozen=True)
class Mean:
    """Predicts the training mean of each feature, whatever the source."""

    name: str = "mean"

    def fit(self, training: un.Cells, seed: int) -> FittedMean:
        """The mean over all training cells that have the modality, on its scale; the seed is not used."""
        return FittedMean(
            {
                m: np.asarray(un.preprocessing.on_scale(view).mean(axis=0), dtype=np.float32).ravel()
                for m, view in training.views.items()
            }
        )


@final
@dataclass(frozen=True, eq=False)
class FittedMean:
    """One value a feature."""

    means: Mapping[str, NDArray[np.float32]]

    def predict(self, source: un.View, target: str) -> NDArray[np.float32] | None:
        """The same row for each source cell; None for an unknown target or the source itself."""
        if target not in self.means or target == source.modality:
            return None
        return np.tile(self.means[target], (source.n_cells, 1))

    def similarity(self, left: un.View, right: un.View, *, depth: bool, groups: Groups | None) -> None:
        """None: a mean does not match."""


@final
@dataclass(frozen=True)
class Regression:
    """A method that predicts each modality from the codes of each other one.

    Attributes:
        name: what tables call it.
        n_codes: components of the source.
        read: how codes are read off a view: `InputCodes.raw`, `centred` or `standardised`.
        fit_regressor: learns one ordered pair.
    """

    name: str
    n_codes: int
    read: Callable[[InputCodes, un.View], Codes]
    fit_regressor: FitRegressor

    def fit(self, training: un.Cells, seed: int) -> FittedRegression:
        """Codes from all training cells of a modality; a regressor from those that have source and target."""
        codes = {m: InputCodes.fit(training.views[m], self.n_codes, seed) for m in training.modalities}
        pairs = [pair for pair in permutations(training.modalities, 2) if n_paired(training, *pair) >= MIN_PAIRED]
        return FittedRegression(
            codes, self.read, {pair: self._regressor(training, codes[pair[0]], pair, seed) for pair in pairs}
        )

    def _regressor(self, training: un.Cells, codes: InputCodes, pair: Pair, seed: int) -> Regressor:
        source, target = paired_views(training, *pair)
        rng = np.random.default_rng([seed, *(un.modalities.spec_of(m).level for m in pair)])
        return self.fit_regressor(self.read(codes, source), Target.of(target), rng)


@final
@dataclass(frozen=True, eq=False)
class FittedRegression:
    """Frozen codes and regressors by (source, target)."""

    codes: Mapping[str, InputCodes]
    read: Callable[[InputCodes, un.View], Codes]
    regressors: Mapping[Pair, Regressor]

    def predict(self, source: un.View, target: str) -> NDArray[np.float32] | None:
        """Cell x feature, clipped to the target's scale; None where training had too few cells with both."""
        pair = source.modality, target
        if pair not in self.regressors:
            return None
        return clipped(self.regressors[pair](self.read(self.codes[pair[0]], source)), target)

    def similarity(self, left: un.View, right: un.View, *, depth: bool, groups: Groups | None) -> None:
        """None: a regression does not match."""


@final
@dataclass(frozen=True, eq=False)
class TargetSpace:
    """The target's features, or their leading components: value = y @ basis.T + mean, or y + mean without a basis.

    Attributes:
        mean: of each feature over the training cells, on the modality's scale.
        basis: feature x component, orthonormal columns; None where a regression predicts the features themselves.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32] | None

    def values(self, y: NDArray[np.floating]) -> NDArray[np.float32]:
        """Cell x feature from cell x component."""
        features = y if self.basis is None else y.astype(np.float32) @ self.basis.T
        return np.asarray(features + self.mean, dtype=np.float32)


def target_space(
    target: Target, n_components: int | None, rng: np.random.Generator
) -> tuple[NDArray[np.float64], TargetSpace]:
    """What to regress on, cell x component and centred, and the way back to features.

    Args:
        target: of the training cells.
        n_components: of the target's SVD where it has more features than that; None for the features themselves.
        rng: starts the SVD.
    """
    values, mean = target.values, target.mean.astype(np.float32)
    n_cells, n_features = values.matrix.shape
    if n_components is None or n_features <= n_components:
        return values.dense(), TargetSpace(mean, None)
    basis = values.basis(min(n_components, n_cells - 1), rng)
    return values.times(basis), TargetSpace(mean, basis)


def clipped(values: NDArray[np.float32], target: str) -> NDArray[np.float32]:
    """Values within the range of the modality's scale: 0 to 1 for atac, 0 and above for rna and adt."""
    return np.clip(values, 0.0, 1.0 if un.modalities.spec_of(target).is_binary else None)


def fit_ridge(x: Codes, target: Target, rng: np.random.Generator) -> Regressor:
    """Minimum of ‖y − x w − b‖² + alpha ‖w‖², alpha by the mean squared error of leave-one-out over cells and features.

    Args:
        x: codes of the source, cell x code.
        target: the target in the same cells.
        rng: starts the SVD of many features.
    """
    from sklearn.linear_model import RidgeCV

    y, space = target_space(target, _N_COMPONENTS if len(target.mean) > _MANY_FEATURES else None, rng)
    model = RidgeCV(alphas=ALPHAS).fit(x.astype(np.float64), y)
    return Linear(model.coef_.reshape(y.shape[1], -1).T, np.atleast_1d(model.intercept_), space)


@final
@dataclass(frozen=True, eq=False)
class Linear:
    """y = x @ weights + intercept, code x component, and from there to features."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    space: TargetSpace

    def __call__(self, x: Codes) -> NDArray[np.float32]:
        return self.space.values(x @ self.weights + self.intercept)


def nearest(k: int) -> FitRegressor:
    """A regression by the k nearest training cells, or all of them where there are fewer."""

    def fit_neighbours(x: Codes, target: Target, rng: np.random.Generator) -> Neighbours:
        from sklearn.neighbors import NearestNeighbors

        index = NearestNeighbors(n_neighbors=min(k, len(x)), algorithm="brute").fit(x)
        return Neighbours(lambda query: index.kneighbors(query, return_distance=False), target)

    return fit_neighbours


@final
@dataclass(frozen=True, eq=False)
class Neighbours:
    """The measured values of training cells, and the way to find the nearest of them.

    Attributes:
        find: codes to the rows of the nearest training cells, cell x k.
        target: what the training cells have.
    """

    find: Callable[[Codes], NDArray[np.intp]]
    target: Target

    def __call__(self, x: Codes) -> NDArray[np.float32]:
        rows = self.find(x)
        n_cells, k = rows.shape
        weights = sparse.csr_matrix(
            (np.full(rows.size, 1.0 / k, dtype=np.float32), rows.ravel(), np.arange(0, rows.size + 1, k)),
            shape=(n_cells, len(self.target.batch)),
        )
        return np.asarray(self.target.values.weighted_sums(weights) + self.target.mean, dtype=np.float32)
