"""How a regression on codes becomes a method that predicts: one fit for each ordered pair; does not match."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import final

import numpy as np
from numpy.typing import NDArray

from unisono_bench.baselines.codes import Codes, InputCodes
from unisono_bench.baselines.pairs import MIN_PAIRED, n_paired, paired
from unisono_bench.baselines.targets import clipped
from unisono_bench.methods import Groups
from unisono.modalities import registered
from unisono.types import Cells, Modality, Pair, View

Regressor = Callable[[Codes], NDArray[np.float32]]
"""Codes of cells to values of features, cell x feature; each cell on its own."""

FitRegressor = Callable[[Codes, View, np.random.Generator], Regressor]
"""From codes of the source and the target measured in the same cells, row by row."""


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
    read: Callable[[InputCodes, View], Codes]
    fit_regressor: FitRegressor

    def fit(self, training: Cells, seed: int) -> FittedRegression:
        """Codes from all training cells of a modality; a regressor from those that have source and target."""
        codes = {m: InputCodes.fit(training.views[m], self.n_codes, seed) for m in training.modalities}
        pairs = [pair for pair in permutations(training.modalities, 2) if n_paired(training, *pair) >= MIN_PAIRED]
        return FittedRegression(
            codes, self.read, {pair: self._regressor(training, codes[pair[0]], pair, seed) for pair in pairs}
        )

    def _regressor(self, training: Cells, codes: InputCodes, pair: Pair, seed: int) -> Regressor:
        source, target = paired(training, *pair)
        rng = np.random.default_rng([seed, *(registered().index(m) for m in pair)])
        return self.fit_regressor(self.read(codes, source), target, rng)


@final
@dataclass(frozen=True, eq=False)
class FittedRegression:
    """Frozen codes and regressors by (source, target)."""

    codes: Mapping[Modality, InputCodes]
    read: Callable[[InputCodes, View], Codes]
    regressors: Mapping[Pair, Regressor]

    def predict(self, source: View, target: Modality) -> NDArray[np.float32] | None:
        """Cell x feature, clipped to the target's scale; None where training had too few cells with both."""
        pair = source.modality, target
        if pair not in self.regressors:
            return None
        return clipped(self.regressors[pair](self.read(self.codes[pair[0]], source)), target)

    def vectors(self, left: View, right: View, *, depth: bool, groups: Groups | None) -> None:
        """None: a regression does not match."""
