"""Held-out training cells as judge: how well are they predicted and matched; sees no test cell, changes no weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from unisono.metrics import foscttm, pearson_per_feature
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.preprocessing.preprocessor import StandardisedCodes
from unisono.preprocessing.projection import on_scale
from unisono.training.mini_batches import TrainingView
from unisono.types import Cells, Modality

_MAX_FEATURES = 300
_STYLE_CELLS = 1000
_LINEAR_WEIGHTS = (0.2, 0.5, 0.8)


@dataclass(frozen=True)
class Figures:
    """The two numbers of the progress bar.

    Attributes:
        correlation: mean Pearson correlation of predicted and measured features over all directions, higher is better.
        rank: mean share of cells that look more alike than the true partner (FOSCTTM), 0.5 at chance, 0 is best.
    """

    correlation: float
    rank: float

    def cost_against(self, reference: Figures) -> float:
        """What is left to gain in both tasks, relative to a reference, which costs 2."""
        wrong, wrong_before = 1.0 - self.correlation, max(1.0 - reference.correlation, 1e-6)
        return wrong / wrong_before + self.rank / max(reference.rank, 1e-6)


class Validation:
    """Held-out cells, read once, and judged as often as asked."""

    def __init__(
        self, cells: Cells, views: Mapping[Modality, TrainingView], *, chooses_linear_weight: bool = False
    ) -> None:
        """`chooses_linear_weight`: matching is judged under the best of several shares of the linear path."""
        self.cells = cells
        self._chooses_linear_weight = chooses_linear_weight
        self.standardised: dict[Modality, StandardisedCodes] = {
            m: views[m].preprocessor.transform(cells.views[m]) for m in cells.modalities
        }
        self._training = {m: _some_cells(view.standardised) for m, view in views.items()}
        self._features = {m: _informative_features(views[m]) for m in cells.modalities}
        self._truth = {m: on_scale(cells.views[m])[:, self._features[m]].toarray() for m in cells.modalities}

    def paired_rows(self, a: Modality, b: Modality) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the cells that have both modalities, in each of the two views."""
        both = (self.cells.rows[a] >= 0) & (self.cells.rows[b] >= 0)
        return self.cells.rows[a][both], self.cells.rows[b][both]

    def contents(self, network: Network) -> dict[Modality, NDArray[np.float32]]:
        """Contents of the held-out cells, member x cell x content."""
        return {m: infer.contents(network, m, standardised.x) for m, standardised in self.standardised.items()}

    def figures(self, network: Network) -> Figures:
        """Prediction and matching of the held-out cells by the network as it stands."""
        z = self.contents(network)
        return Figures(self._correlation(network, z), self.rank(network))

    def rank(self, network: Network) -> float:
        """Mean FOSCTTM over pairs of modalities, within technical batches, under the linear weight that suits it best.

        The vote is chosen for good only after training: what the networks lose in matching by learning on, while
        they still gain in prediction, the linear path can make up for.
        """
        weights = _LINEAR_WEIGHTS if self._chooses_linear_weight else (float(network.linear_weight),)
        return min(self._rank(network, weight) for weight in weights)

    def _rank(self, network: Network, weight: float) -> float:
        vectors = {
            m: infer.vectors(network, m, standardised.x, weight) for m, standardised in self.standardised.items()
        }
        ranks = []
        for a, b in combinations(vectors, 2):
            rows_a, rows_b = self.paired_rows(a, b)
            if len(rows_a) > 1:
                ranks.append(foscttm(vectors[a][rows_a], vectors[b][rows_b], self.standardised[a].batch[rows_a]))
        return float(np.mean(ranks)) if ranks else 0.5

    def _correlation(self, network: Network, z: Mapping[Modality, NDArray[np.float32]]) -> float:
        found = [
            self.correlation_of(network, z, a, b) for a, b in permutations(z, 2) if len(self.paired_rows(a, b)[0]) > 2
        ]
        return float(np.mean(found)) if found else 0.0

    def correlation_of(
        self, network: Network, z: Mapping[Modality, NDArray[np.float32]], source: Modality, target: Modality
    ) -> float:
        """Mean Pearson correlation of the target's features as the network predicts them from the source."""
        return self.correlation_of_codes(self.predicted_codes(network, z, source, target), network, source, target)

    def predicted_codes(
        self, network: Network, z: Mapping[Modality, NDArray[np.float32]], source: Modality, target: Modality
    ) -> NDArray[np.float32]:
        """Batch-centred codes of the target in average style, one row a cell that has both modalities."""
        training = self._training[target]
        style = infer.styles(network, target, training.x, training.depth, training.offset).mean(axis=1)
        rows_source, _ = self.paired_rows(source, target)
        no_offset = np.zeros(training.x.shape[1], dtype=np.float32)
        return infer.decoded(network, target, z[source][:, rows_source], style, no_offset)

    def correlation_of_codes(
        self, codes: NDArray[np.float32], network: Network, source: Modality, target: Modality
    ) -> float:
        """Mean Pearson correlation of the target's features when its batch-centred codes are these."""
        _, rows_target = self.paired_rows(source, target)
        head, features = network.head(target), self._features[target]
        values = (codes + self.standardised[target].offset[rows_target]) @ head.loadings.cpu().numpy()[features].T
        values += head.intercept.cpu().numpy()[features]
        scores = pearson_per_feature(self._truth[target][rows_target], values)
        return float(scores.mean())


def _some_cells(standardised: StandardisedCodes) -> StandardisedCodes:
    """At most 1,000 cells, evenly spread: enough for the mean style."""
    rows = np.unique(np.linspace(0, len(standardised.x) - 1, _STYLE_CELLS).astype(int))
    return standardised.take(rows)


def _informative_features(view: TrainingView) -> NDArray[np.intp]:
    """The features with the most counts among those selected."""
    total = np.asarray(view.counts.selected.sum(axis=0)).ravel()
    return view.preprocessor.projection.selected[np.sort(np.argsort(-total, kind="stable")[:_MAX_FEATURES])]
