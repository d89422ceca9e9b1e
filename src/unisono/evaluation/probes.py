"""Probes: how well a label can be read from a representation of cells, on cells held out; never sees a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unisono.metrics.arrays import Floats, Labels, Vectors

How = Literal["linear", "neighbours"]

FOLDS = 5
MIN_CELLS = 5
"""Cells that a class needs to be probed: one per fold."""
_NEIGHBOURS = 15
_PENALTY = 0.1
"""Inverse strength of the ridge of the logistic regression, on columns of unit variance."""


@dataclass(frozen=True)
class Probe:
    """How well one label is read from one space.

    Attributes:
        space: name of the representation, such as "content".
        modality: whose cells were probed, joined by "+" where several stand in one space.
        label: what was read.
        how: "linear", a ridge-penalised (logistic) regression, or "neighbours", by the 15 nearest cells.
        figure: "balanced accuracy" of classes, "R²" of a number; both over cells held out.
        score: 1 is perfect; R² may fall below 0.
        chance: score of a guess without the vectors: 1 / classes, or 0.
        n_cells: physical cells, each counted once.
        n_classes: classes to tell apart, 0 for a number.
    """

    space: str
    modality: str
    label: str
    how: How
    figure: str
    score: float
    chance: float
    n_cells: int
    n_classes: int

    @property
    def above_chance(self) -> float:
        """Score less chance."""
        return self.score - self.chance


def has_probes() -> bool:
    """Whether scikit-learn, which the probes are made of, is there."""
    return find_spec("sklearn") is not None


def class_probes(
    space: str, modality: str, label: str, vectors: Vectors, classes: Labels, cells: Labels, seed: int = 0
) -> tuple[Probe, ...]:
    """Both probes of a class; none where fewer than two classes have 5 cells, and rarer classes are left out.

    Args:
        space: name of the representation.
        modality: name of its modality.
        label: name of the label.
        vectors: row x dimension.
        classes: of each row.
        cells: physical cell of each row: rows of one cell are held out together, so that a cell's own other modality
            is never training data for it.
        seed: draws the folds.

    Raises:
        ValueError: lengths disagree or a vector is not finite.
    """
    _require_rows(vectors, classes, cells)
    names, index = np.unique(classes, return_inverse=True)
    often = np.array([len(np.unique(cells[index == place])) >= MIN_CELLS for place in range(len(names))], dtype=bool)
    rows = often[index]
    if often.sum() < 2:
        return ()
    x, y = np.asarray(vectors, dtype=np.float64)[rows], index[rows]
    folds = _folds(y, cells[rows], seed)
    n_classes, n_cells = int(often.sum()), len(np.unique(cells[rows]))
    ways: tuple[tuple[How, _Fit], ...] = (("linear", _logistic), ("neighbours", _nearest_class))
    return tuple(
        Probe(space, modality, label, how, "balanced accuracy", score, 1.0 / n_classes, n_cells, n_classes)
        for how, fit in ways
        for score in [balanced_accuracy(y, _held_out(fit, x, y, folds))]
    )


def value_probes(
    space: str, modality: str, label: str, vectors: Vectors, values: Floats, cells: Labels, seed: int = 0
) -> tuple[Probe, ...]:
    """Both probes of a number, such as depth; none where fewer than 10 cells are there or the number is constant.

    Arguments and errors as of `class_probes`.
    """
    _require_rows(vectors, values, cells)
    n_cells = len(np.unique(cells))
    y = np.asarray(values, dtype=np.float64)
    if n_cells < 2 * FOLDS or y.std() == 0:
        return ()
    x, folds = np.asarray(vectors, dtype=np.float64), _folds(np.zeros(len(y), dtype=np.intp), cells, seed)
    ways: tuple[tuple[How, _Fit], ...] = (("linear", _ridge), ("neighbours", _nearest_mean))
    return tuple(
        Probe(space, modality, label, how, "R²", r_squared(y, _held_out(fit, x, y, folds)), 0.0, n_cells, 0)
        for how, fit in ways
    )


def held_out_labels(
    vectors: Vectors, classes: Labels, cells: Labels, others: tuple[Vectors, ...], seed: int = 0
) -> tuple[NDArray[np.str_], ...]:
    """The classes that a linear probe gives to other vectors of the same rows, each cell while it is held out.

    Args:
        vectors: row x dimension, what the probe is trained on, with `classes` and `cells` as of `class_probes`.
        classes: of each row; every class is kept, however rare.
        cells: physical cell of each row.
        others: row x dimension each, such as the same cells as they are predicted; row i goes to the probe of the fold
            that held out cell i.
        seed: draws the folds.
    """
    names, y = np.unique(classes, return_inverse=True)
    found = tuple(np.empty(len(y), dtype=names.dtype) for _ in others)
    for held_out in _folds(y, cells, seed):
        kept = np.setdiff1d(np.arange(len(y)), held_out)
        predict = _logistic(np.asarray(vectors, dtype=np.float64)[kept], y[kept])
        for labels, other in zip(found, others, strict=True):
            labels[held_out] = names[predict(np.asarray(other, dtype=np.float64)[held_out])]
    return found


def balanced_accuracy(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    """Recall, mean over classes; 1 / classes in expectation of a guess without the vectors."""
    return float(np.mean([np.mean(predicted[truth == name] == name) for name in np.unique(truth)]))


def r_squared(truth: Floats, predicted: Floats) -> float:
    """R²: fraction of the variance explained; 0 of the mean, below 0 of worse than that."""
    return float(1.0 - np.square(truth - predicted).sum() / np.square(truth - truth.mean()).sum())


_Predict = Callable[[NDArray[np.float64]], NDArray[Any]]
_Fit = Callable[[NDArray[np.float64], NDArray[Any]], _Predict]


def _require_rows(vectors: Vectors, values: NDArray[Any], cells: Labels) -> None:
    if not len(vectors) == len(values) == len(cells):
        raise ValueError(f"{len(vectors)} vectors, {len(values)} labels and {len(cells)} cells")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors are not finite; leave out cells without counts")


def _folds(y: NDArray[np.intp], cells: Labels, seed: int) -> tuple[NDArray[np.intp], ...]:
    """Rows held out in each fold, classes spread evenly, all rows of a cell together."""
    return _folds_of(y.astype(np.intp).tobytes(), np.unique(cells, return_inverse=True)[1].tobytes(), seed)


@lru_cache(maxsize=16)
def _folds_of(y: bytes, cells: bytes, seed: int) -> tuple[NDArray[np.intp], ...]:
    """The folds of whole numbers; kept, since every space of a modality is probed for the same labels."""
    classes, groups = (np.frombuffer(each, dtype=np.intp) for each in (y, cells))
    splitter = _sklearn("model_selection").StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
    return tuple(held_out for _, held_out in splitter.split(np.zeros((len(classes), 1)), classes, groups=groups))


def _held_out(fit: _Fit, x: NDArray[np.float64], y: NDArray[Any], folds: tuple[NDArray[np.intp], ...]) -> NDArray[Any]:
    predicted = np.empty_like(y)
    for held_out in folds:
        kept = np.setdiff1d(np.arange(len(y)), held_out)
        predicted[held_out] = fit(x[kept], y[kept])(x[held_out])
    return predicted


def _scaled(x: NDArray[np.float64]) -> _Predict:
    """Columns to mean 0 and variance 1, by these rows."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    deviation[deviation < 1e-9] = 1.0
    return lambda other: (other - mean) / deviation


def _logistic(x: NDArray[np.float64], y: NDArray[Any]) -> _Predict:
    """Every class has the same total weight, as in balanced accuracy."""
    if len(np.unique(y)) == 1:
        only = y[0]
        return lambda other: np.full(len(other), only)
    scaled = _scaled(x)
    model = _sklearn("linear_model").LogisticRegression(C=_PENALTY, class_weight="balanced", max_iter=1000)
    model.fit(scaled(x), y)
    return lambda other: np.asarray(model.predict(scaled(other)))


def _ridge(x: NDArray[np.float64], y: NDArray[Any]) -> _Predict:
    scaled = _scaled(x)
    model = _sklearn("linear_model").RidgeCV(alphas=np.logspace(-1, 5, 7)).fit(scaled(x), y)
    return lambda other: np.asarray(model.predict(scaled(other)))


def _nearest_class(x: NDArray[np.float64], y: NDArray[Any]) -> _Predict:
    """The class most frequent among the nearest cells, relative to its frequency among all."""
    near = _nearest(x)
    classes, n_cells = np.unique(y, return_counts=True)

    def predict(other: NDArray[np.float64]) -> NDArray[Any]:
        nearest = y[near.kneighbors(other, return_distance=False)]
        enrichment = (nearest[:, :, None] == classes).sum(axis=1) / n_cells
        return np.asarray(classes[enrichment.argmax(axis=1)])

    return predict


def _nearest_mean(x: NDArray[np.float64], y: NDArray[Any]) -> _Predict:
    near = _nearest(x)
    return lambda other: np.asarray(y[near.kneighbors(other, return_distance=False)].mean(axis=1))


def _nearest(x: NDArray[np.float64]) -> Any:
    return _sklearn("neighbors").NearestNeighbors(n_neighbors=min(_NEIGHBOURS, len(x))).fit(x)


def _sklearn(room: str) -> Any:
    return import_module(f"sklearn.{room}")
