"""Validation cells: which they are, and how well a predictor predicts and matches them; changes no weight."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.predictor import Predictor
from unisono.messages import Finding
from unisono.metrics import foscttm, pearson_per_feature
from unisono.modalities import spec_of
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.preprocessing.preprocessor import StandardisedCodes
from unisono.preprocessing.projection import too_small
from unisono.training.mini_batches import TrainingView, Views
from unisono.types import Cells, MeasuredFeatures, Modality, Pair, View

_BEYOND = 3.0
"""Standard deviations beyond which a score is no chance."""
_MIN_TOLD = 10
"""Validation cells below which chance and success look alike."""
_PERMUTATIONS = 30
_PERMUTED_CELLS = 500
_FEW = 50

Names = NDArray[np.str_]
NO_NAMES: Names = np.empty(0, dtype=str)


def split(cells: Cells, config: FitConfig, matched: Names = NO_NAMES) -> tuple[Cells, Cells | None]:
    """Training and validation cells: the latter drawn at random from those with two modalities or more.

    Where they are as many as the config allows, each batch has its share of them.

    None where the config asks for none, or too few could be spared. Cells whose modalities were matched, not measured
    together, validate nothing.
    """
    order = np.random.default_rng([config.seed, 17]).permutation(len(cells.names))
    paired = order[_has_two(cells, matched)[order]]
    n_validation = validation_size(len(paired), config)
    if n_validation == 0:
        return cells, None
    if n_validation == config.validation.max_cells:
        paired = _batches_in_turns(paired, cells.batch)
    chosen = np.sort(paired[:n_validation])
    return cells.take(np.setdiff1d(np.arange(len(order)), chosen)), cells.take(chosen)


def _batches_in_turns(order: NDArray[np.intp], batch: NDArray[np.str_]) -> NDArray[np.intp]:
    """Cells in an order of which every beginning holds each batch at its share, as nearly as whole cells can."""
    place = np.empty(len(order))
    for name in np.unique(batch[order]):
        own = np.flatnonzero(batch[order] == name)
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return order[np.argsort(place, kind="stable")]


def validation_size(n_paired: int, config: FitConfig) -> int:
    """How many of the cells with two modalities or more become validation cells."""
    choice = config.validation
    wanted = max(choice.fraction * n_paired, choice.min_cells)
    n_cells = int(min(wanted, choice.max_fraction * n_paired, choice.max_cells))
    return 0 if choice.fraction == 0 or n_cells < choice.drop_below else n_cells


def training_findings(cells: Cells, config: FitConfig, source_name: str) -> list[Finding]:
    """What a fit finds in cells that can be read: E046 too few of them, W044 too few to validate on."""
    views = cells.views.values()
    findings = [finding for view in views for finding in _too_small(view, config, f"{source_name}, {view.modality}")]
    return findings + not_validated(cells, config, source_name)


def _too_small(view: View, config: FitConfig, where: str) -> list[Finding]:
    selected = spec_of(view.modality).select(view.counts, config, view.measured)
    return too_small(view, len(selected), where)


def not_validated(cells: Cells, config: FitConfig, source_name: str, matched: Names = NO_NAMES) -> list[Finding]:
    """W044 where too few cells have two modalities, so that nothing is validated; see `split`."""
    n_paired, choice = int(_has_two(cells, matched).sum()), config.validation
    if choice.fraction == 0 or validation_size(n_paired, config) > 0:
        return []
    n_needed = int(np.ceil(choice.drop_below / choice.max_fraction))
    what = f"{n_paired} cells have two modalities, {n_needed} are needed to set some aside: nothing is validated, and "
    what += "how good the model is cannot be said."
    return [Finding("W044", source_name, what, "give more cells that were measured in both")]


def _has_two(cells: Cells, matched: Names) -> NDArray[np.bool_]:
    """Which cells were measured in two modalities or more."""
    n_views = np.sum([cells.rows[m] >= 0 for m in cells.modalities], axis=0)
    return np.asarray((n_views > 1) & ~np.isin(cells.names.astype(str), matched))


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
        scores = [self.correlation(predictor, a, b) for a, b in self._directions()]
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

    def at_chance(self, predictor: Predictor, seed: int) -> list[Finding]:
        """W059 where prediction or matching of these cells is no better than by chance.

        By chance pairs are permuted: a score within three standard deviations of their mean says nothing, since the
        best epoch was selected by it. Of fewer than ten cells nothing is said.
        """
        scores, n_cells = self.scores(predictor), len(self.cells.names)
        n_ranked = sum(len(self.cells.paired(a, b)[0]) for a, b in combinations(self.codes, 2))
        if n_cells < _MIN_TOLD or not n_ranked:
            return []
        limits = ValidationScores(self._chance_correlation(predictor, seed), 0.5 - _BEYOND / np.sqrt(12 * n_ranked))
        verdicts = []
        if self._directions() and scores.correlation <= limits.correlation:
            verdicts.append(
                f"predicted with correlation {scores.correlation:.3f} (by chance below {limits.correlation:.3f})"
            )
        if scores.foscttm > limits.foscttm:
            verdicts.append(f"matched with FOSCTTM {scores.foscttm:.3f} (by chance above {limits.foscttm:.3f})")
        if not verdicts:
            return []
        doubt = ", or too few to tell" if n_cells < _FEW else ""
        what = f"the {n_cells} validation cells are {' and '.join(verdicts)}: no better than by chance{doubt}."
        return [Finding("W059", "model", what, "check that equal names are equal cells, and give more cells")]

    def _chance_correlation(self, predictor: Predictor, seed: int) -> float:
        """Correlation that permuted pairs stay below: their mean and three standard deviations.

        Pairs of modalities count as independent of each other, the two directions of a pair as one.
        """
        rng = np.random.default_rng([seed, 43])
        found = []
        for source, target in self._directions():
            rows, rows_target = (rows[:_PERMUTED_CELLS] for rows in self.cells.paired(source, target))
            prediction = predictor.predict(self.codes[source].take(rows), target)
            values = _standardised(prediction.take_features(self._features[target]).dense())
            truth = _standardised(self._truth[target][rows_target])
            orders = [rng.permutation(len(rows)) for _ in range(_PERMUTATIONS)]
            null = np.array([(values * truth[order]).sum(axis=0).mean() for order in orders])
            n_all = len(self.cells.paired(source, target)[0])
            found.append((null.mean(), null.std() * np.sqrt(len(rows) / n_all)))
        if not found:
            return 0.0
        means, deviations = np.array(found).T
        return float(means.mean() + _BEYOND * deviations.mean() / np.sqrt(len(found) / 2))

    def _directions(self) -> list[Pair]:
        return [(a, b) for a, b in permutations(self.codes, 2) if len(self.cells.paired(a, b)[0]) > 2]

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
        known = [each for each in found if not np.isnan(each)]  # NaN where no batch has two of these cells
        return float(np.mean(known)) if known else 0.5


def _standardised(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Columns of mean 0 and length 1; 0 where a column is constant."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(centred, axis=0)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9))


def _most_counted(view: TrainingView, n_features: int) -> NDArray[np.intp]:
    """The features with the most counts among those selected."""
    total = np.asarray(view.counts.selected.sum(axis=0)).ravel()
    return view.preprocessor.projection.selected[np.sort(np.argsort(-total, kind="stable")[:n_features])]
