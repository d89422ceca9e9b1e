"""Effects of the features of one modality on those of another, by the mean Jacobian; predicts no cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.inference.predictor import Predictor
from unisono.messages import bad_input
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import Counts, Projection
from unisono.types import Modality, View

_EFFECTS_AT_A_TIME = 2**23

Names = NDArray[np.str_]
Matrix = NDArray[np.float32]
Places = slice | NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class FeatureEffects:
    """Effect of every source feature on every target feature, kept as factors: dense only where asked.

    The effect of s on t is how far the prediction of t rises, on average over cells, when s rises by one of its
    standard deviations and all other source features stay: in the units of the target's scale, which are log1p CP10k
    for rna, CLR for adt, and logits of being open for atac.

    Attributes:
        source_features: those that make the code of the source, the others have no say.
        target_features: every feature that the model predicts.
        pushes: source feature x target code, how far one standard deviation of a feature moves the codes.
        loadings: target feature x target code.
    """

    source: Modality
    target: Modality
    source_features: Names
    target_features: Names
    pushes: Matrix
    loadings: Matrix

    def __post_init__(self) -> None:
        found, n_codes = (self.pushes.shape, self.loadings.shape), self.loadings.shape[-1]
        wanted = ((len(self.source_features), n_codes), (len(self.target_features), n_codes))
        if found != wanted:
            raise ValueError(f"effects on {self.target}: factors are {found}, names say {wanted}")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.source_features), len(self.target_features)

    def effects(self, sources: Places = slice(None), targets: Places = slice(None)) -> Matrix:
        """The effects of some source features on some target features (all by default), source x target."""
        block: Matrix = self.pushes[sources] @ self.loadings[targets].T
        return block

    def table(self, top: int, per: Literal["target", "source"] = "target") -> pd.DataFrame:
        """The strongest pairs, one per row: source, target, effect.

        Args:
            top: how many for each target feature, or for each source feature; all where there are fewer.
            per: "target" lists the source features of each target feature, "source" the target features of each
                source feature.

        Returns:
            Rows grouped by the `per` feature, in the model's order, the largest absolute effect first.
        """
        if top < 1:
            raise ValueError(f"top={top}: wanted at least 1")
        n_rows, n_columns = self.shape if per == "source" else self.shape[::-1]
        size = max(1, _EFFECTS_AT_A_TIME // max(n_columns, 1))
        picked = [self._strongest(slice(s, s + size), min(top, n_columns), per) for s in range(0, n_rows, size)]
        columns, effects = (np.concatenate(part).ravel() for part in zip(*picked, strict=True))
        rows = np.repeat(np.arange(n_rows), min(top, n_columns))
        sources, targets = (rows, columns) if per == "source" else (columns, rows)
        named = {"source": self.source_features[sources], "target": self.target_features[targets]}
        return pd.DataFrame(named | {"effect": effects})

    def _strongest(self, rows: slice, top: int, per: str) -> tuple[NDArray[np.intp], Matrix]:
        """For some of the `per` features, the `top` others with the largest absolute effect, and the effects."""
        block = self.effects(sources=rows) if per == "source" else self.effects(targets=rows).T
        columns = np.sort(np.argpartition(-np.abs(block), top - 1, axis=1)[:, :top], axis=1)
        effects = np.take_along_axis(block, columns, axis=1)
        order = np.argsort(-np.abs(effects), axis=1, kind="stable")
        return np.take_along_axis(columns, order, axis=1), np.take_along_axis(effects, order, axis=1)


def feature_effects(predictor: Predictor, view: View, target: Modality) -> FeatureEffects:
    """Effects of the features of a view on those of another modality, by the mean Jacobian of the predictor's codes.

    With loadings W of the target, mean Jacobian J of its codes by the codes of the source, basis B and scale c of the
    source, both with the factors of a batch, the effect of s on t is deviation[s] · W[t] · J (B[s] / c). A feature's
    value is what enters its code: log1p CP10k, CLR, or for atac the entry of the TF-IDF row of unit length. The weight
    that a feature has in the code is in its derivative and, inversely, in its deviation, and so drops out.

    It is the prediction in average style before its link, without the expected depth, which moves all peaks alike.
    Totals of cells and offsets of batches stay as they are while a feature rises.

    Args:
        predictor: whose predictions are differentiated.
        view: the source in the cells to average over, training cells as a rule.
        target: modality that is predicted.

    Raises:
        BadInput: E053 source and target are one, or E036 the view lacks features that the code is made of.
    """
    source = view.modality
    if source == target:
        what = f"source and target are both {source}: effects lead from one modality to another."
        raise bad_input("E053", "feature effects", what, "name two modalities")
    if predictor.preprocessors[source].guide is not None:
        what = "this model was started from another, through which features act too."
        raise bad_input("E053", "feature effects", what, "fit without init to ask which features move which")
    codes, projection = predictor.transform(view), predictor.preprocessors[source].projection
    pushes = [
        steps @ predictor.mean_jacobian(codes.take(cells), target).T * np.float32(len(cells) / view.n_cells)
        for steps, cells in steps_of(predictor.preprocessors[source], view)
    ]
    return FeatureEffects(
        source=source,
        target=target,
        source_features=projection.features[projection.selected],
        target_features=predictor.preprocessors[target].projection.features,
        pushes=np.sum(pushes, axis=0),
        loadings=predictor.loadings(source, target)[0],
    )


def steps_of(preprocessor: Preprocessor, view: View) -> Iterator[tuple[Matrix, NDArray[np.intp]]]:
    """How far one standard deviation of a feature moves what the networks read, feature x code; by batch, its cells.

    The deviation is over all cells of the view; a batch has factors of its own for features and for codes.

    Raises:
        BadInput: E036 the view lacks features that the code is made of.
    """
    projection, counts = preprocessor.projection, preprocessor.counts(view)
    _require_all(projection, counts)
    codes = preprocessor.transform_counts(counts)
    per_code = projection.basis / preprocessor.standardisation.scale
    deviations = _deviations(projection.values(replace(counts, factors=None)))
    for name in np.unique(view.batch):
        cells = np.flatnonzero(view.batch == name)
        gains = 1.0 if counts.factors is None else counts.factors.rows[counts.factors.row_of[cells[0]]]
        yield np.asarray((deviations * gains)[:, None] * per_code * codes.factor[cells[0]], dtype=np.float32), cells


def _require_all(projection: Projection, counts: Counts) -> None:
    is_missing = ~counts.alignment.is_present[projection.selected]
    if is_missing.any():
        first = projection.features[projection.selected][is_missing][0]
        what = f"{is_missing.sum()} of {len(is_missing)} features of the code are missing (first: {str(first)!r})."
        remedy = "give cells in which they were measured, such as those of training"
        raise bad_input("E036", f"cells, {projection.modality}", what, remedy)


def _deviations(values: sparse.csr_matrix) -> NDArray[np.float64]:
    """Standard deviation of each column over all cells."""
    values = values.astype(np.float64)
    mean = np.asarray(values.mean(axis=0)).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
    return np.sqrt(np.maximum(square - mean**2, 0.0))
