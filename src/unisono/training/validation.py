"""Validation cells: which they are, and how well a predictor predicts and matches them; changes no weight."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.predictor import Predictor
from unisono.metrics import foscttm, pearson_per_feature
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.preprocessing.preprocessor import StandardisedCodes
from unisono.training.mini_batches import TrainingView, Views
from unisono.types import Cells, MeasuredFeatures, Modality


def split(cells: Cells, config: FitConfig) -> tuple[Cells, Cells | None]:
    """Training and validation cells: the latter drawn at random from those with two modalities or more.

    None where the config asks for none, or too few could be spared.
    """
    choice = config.validation
    order = np.random.default_rng([config.seed, 17]).permutation(len(cells.names))
    n_views = np.sum([cells.rows[m] >= 0 for m in cells.modalities], axis=0)
    paired = order[n_views[order] > 1]
    n_validation = int(min(max(choice.fraction * len(paired), choice.min_cells), choice.max_fraction * len(paired)))
    if choice.fraction == 0 or n_validation < choice.drop_below:
        return cells, None
    chosen = np.sort(paired[:n_validation])
    return cells.take(np.setdiff1d(np.arange(len(order)), chosen)), cells.take(chosen)


@dataclass(frozen=True)
class ValidationScores:
    """The two numbers of the progress bar.

    Attributes:
        correlation: mean Pearson correlation of predicted and measured features over all directions, predicted as
            `Unisono.predict` does, in average style; higher is better.
        foscttm: mean fraction of cells that are closer than the true partner, by content; 0.5 at chance, 0 is best.
    """

    correlation: float
    foscttm: float

    def cost_against(self, reference: ValidationScores) -> float:
        """Sum over both tasks of the error relative to that of a reference, which costs 2."""
        error, reference_error = 1.0 - self.correlation, max(1.0 - reference.correlation, 1e-6)
        return error / reference_error + self.foscttm / max(reference.foscttm, 1e-6)


class Validation:
    """Validation cells, preprocessed once and scored as often as asked."""

    def __init__(self, cells: Cells, views: Views, config: FitConfig) -> None:
        self.cells = cells
        self.codes: dict[Modality, StandardisedCodes] = {
            m: views[m].preprocessor.transform(cells.views[m]) for m in cells.modalities
        }
        self._linear_weights = config.validation.linear_weights if config.architecture.selects_linear_weight else None
        n_features = config.validation.n_features
        self._features = {m: _most_counted(views[m], n_features) for m in cells.modalities}
        self._measured: dict[Modality, MeasuredFeatures] = {
            m: cells.views[m].measured.take_features(self._features[m]) for m in cells.modalities
        }
        self._truth = {
            m: views[m].preprocessor.projection.on_scale(cells.views[m])[:, self._features[m]].toarray()
            for m in cells.modalities
        }

    def scores(self, predictor: Predictor) -> ValidationScores:
        """Prediction and matching of the validation cells."""
        directions = [(a, b) for a, b in permutations(self.codes, 2) if len(self.cells.paired(a, b)[0]) > 2]
        scores = [self.correlation(predictor, a, b) for a, b in directions]
        return ValidationScores(float(np.mean(scores)) if scores else 0.0, self.foscttm(predictor.network))

    def correlation(self, predictor: Predictor, source: Modality, target: Modality) -> float:
        """Mean Pearson correlation of the target's features as predicted from the source in average style.

        That of a feature is over the cells in which it was measured.
        """
        rows, rows_target = self.cells.paired(source, target)
        prediction = predictor.predict(self.codes[source].take(rows), target).take_features(self._features[target])
        measured, truth, predicted = self._measured[target].take(rows_target), self._truth[target], prediction.dense()
        if measured.is_complete:
            return float(pearson_per_feature(truth[rows_target], predicted).mean())
        found = [
            pearson_per_feature(truth[np.ix_(rows_target[cells], features)], predicted[np.ix_(cells, features)])
            for cells, features in measured.blocks()
            if len(cells) > 2
        ]
        return float(np.concatenate(found).mean()) if found else 0.0

    def foscttm(self, network: Network) -> float:
        """Mean FOSCTTM over pairs of modalities, within technical batches.

        Under the weight of the linear path that suits it best, where that is selected: it is selected for good only
        after training.
        """
        weights = self._linear_weights or (float(network.linear_weight),)
        return min(self._foscttm(network, weight) for weight in weights)

    def _foscttm(self, network: Network, linear_weight: float) -> float:
        vectors = {m: infer.vectors(network, m, codes.x, linear_weight) for m, codes in self.codes.items()}
        found = []
        for a, b in combinations(vectors, 2):
            rows_a, rows_b = self.cells.paired(a, b)
            if len(rows_a) > 1:
                found.append(foscttm(vectors[a][rows_a], vectors[b][rows_b], self.codes[a].batch[rows_a]))
        return float(np.mean(found)) if found else 0.5


def _most_counted(view: TrainingView, n_features: int) -> NDArray[np.intp]:
    """The features with the most counts among those selected."""
    total = np.asarray(view.counts.selected.sum(axis=0)).ravel()
    return view.preprocessor.projection.selected[np.sort(np.argsort(-total, kind="stable")[:n_features])]
