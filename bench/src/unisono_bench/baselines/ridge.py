"""Ridge regression of every target feature on the source's codes, its penalty by leave-one-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from unisono_bench.baselines.codes import Codes
from unisono_bench.baselines.regression import Regressor
from unisono_bench.baselines.targets import TargetSpace, target_space
from unisono.types import View

ALPHAS = np.logspace(-2, 5, 8)
"""Penalties tried, in squared units of the codes; one is chosen for all features."""

_MANY_FEATURES, _N_COMPONENTS = 5000, 50
"""Tens of thousands of peaks go through their own SVD; fewer features are predicted one by one."""


def fit_ridge(x: Codes, target: View, rng: np.random.Generator) -> Regressor:
    """Minimum of ‖y − x w − b‖² + alpha ‖w‖², alpha by the mean squared error of leave-one-out over cells and features.

    Args:
        x: codes of the source, cell x code.
        target: the target in the same cells.
        rng: starts the SVD of many features.
    """
    from sklearn.linear_model import RidgeCV

    y, space = target_space(target, _N_COMPONENTS if len(target.features) > _MANY_FEATURES else None, rng)
    model = RidgeCV(alphas=ALPHAS).fit(x.astype(np.float64), y)
    return Linear(model.coef_.T, model.intercept_, space)


@final
@dataclass(frozen=True, eq=False)
class Linear:
    """y = x @ weights + intercept, code x component, and from there to features."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    space: TargetSpace

    def __call__(self, x: Codes) -> NDArray[np.float32]:
        return self.space.values(x @ self.weights + self.intercept)
