"""The interface of an estimator: what has to be offered to be compared in our environment; holds none."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import unisono as un
from unisono_bench.matching import Groups


class Fitted(Protocol):
    """An estimator after training; it is given views of other cells, one modality at a time, so no pairing can leak."""

    def predict(self, source: un.View, target: str) -> NDArray[np.float32] | None:
        """The target modality of each source cell.

        Returns:
            Cell x feature of the training view of `target`, in its order and on the scale of
            `un.preprocessing.on_scale`; None where `target` is not predicted from this source.
        """
        ...

    def similarity(
        self, left: un.View, right: un.View, *, depth: bool, groups: Groups | None
    ) -> un.matching.Similarity | None:
        """How alike left and right cells are.

        Args:
            left: cells of one modality.
            right: cells of another, in any order, as many or not.
            depth: add the agreement of log total counts, standardised within the groups.
            groups: labels of left and of right cells.

        Returns:
            None where these two modalities are not matched.
        """
        ...


class Estimator(Protocol):
    """A way to predict, to match, or both."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    def fit(self, training: un.Cells, seed: int) -> Fitted:
        """Learn from training cells alone; equal seeds give equal results."""
        ...
