"""Outputs to scores, one tidy row each: the only place where outputs meet the truth, and the same for every method."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

import unisono as un
from unisono_bench.matching import all_log_probabilities, matched
from unisono_bench.outputs import Outputs, Similarities
from unisono_bench.tasks import MatchingTask, PredictionTask, Setting, Tasks

MAX_PAIRS = 25_000_000
"""Pairs of cells for which the probabilities of all are ranked: 200 MB of float64."""

OF_POSTERIOR = "foscttm_of_posterior"


class Question(NamedTuple):
    """What a score belongs to but for the metric: the columns that the rows of one table share."""

    task: Literal["prediction", "matching"]
    source: str
    target: str
    within: str | None = None
    depth: bool = False

    @property
    def title(self) -> str:
        """For display, such as `rna->adt` or `rna~adt within batch with depth`; never read back."""
        return f"{self._pair}{self._setting}"

    def label(self, metric: str) -> str:
        """For display, such as `rna~adt foscttm within batch`."""
        return f"{self._pair} {metric}{self._setting}"

    @property
    def _pair(self) -> str:
        return f"{self.source}{'->' if self.task == 'prediction' else '~'}{self.target}"

    @property
    def _setting(self) -> str:
        within = "" if self.within is None else f" within {self.within}"
        return f"{within}{' with depth' if self.depth else ''}"


class Score(BaseModel):
    """One row: a metric of a task.

    Attributes:
        task: prediction or matching.
        source: modality predicted from, or of the left cells.
        target: modality predicted, or of the right cells.
        within: obs column within whose groups cells were matched; None for all cells and for predictions.
        depth: whether total counts took part in the matching.
        metric: as `un.metrics.prediction_metrics` and `un.metrics.matching_metrics` call it.
        value: finite.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["prediction", "matching"]
    source: str
    target: str
    within: str | None = None
    depth: bool = False
    metric: str
    value: float

    @property
    def question(self) -> Question:
        return Question(self.task, self.source, self.target, self.within, self.depth)


def score(tasks: Tasks, outputs: Outputs) -> tuple[Score, ...]:
    """The scores of every task that was done; a metric that is no number has no row.

    Raises:
        ValueError: an output has the wrong shape or holds values that are not finite.
    """
    rows: list[Score] = []
    for task, file in zip(tasks.predictions, outputs.predictions, strict=True):
        if file is not None:
            question = Question("prediction", task.source.modality, task.truth.modality)
            rows += _rows(question, prediction_scores(task, np.load(file)))
    for matching, similarities in zip(tasks.matchings, outputs.matchings, strict=True):
        if similarities is not None:
            rows += _of_matching(matching, similarities)
    return tuple(rows)


def prediction_scores(task: PredictionTask, predicted: np.ndarray) -> dict[str, float]:
    """The metrics of one prediction, as `un.evaluate` gives them."""
    truth = un.preprocessing.on_scale(task.truth)
    return un.metrics.prediction_metrics(
        truth, predicted, is_binary=un.modalities.spec_of(task.truth.modality).is_binary
    )


def matching_scores(task: MatchingTask, setting: Setting, similarity: un.matching.Similarity) -> dict[str, float]:
    """The metrics of one matching, as `un.evaluate` gives them, and the rank of partners among all probabilities."""
    groups = task.groups(setting)
    soft, one_to_one = (matched(similarity, rule, groups) for rule in ("soft", "one-to-one"))
    posteriors = soft.probabilities, one_to_one.probabilities
    found = un.metrics.matching_metrics(*similarity.vectors, *posteriors, task.partner, groups, listed=soft.listed)
    if len(similarity.left) * len(similarity.right) > MAX_PAIRS:
        return found
    ordered = all_log_probabilities(similarity, groups)[:, task.partner]
    of_posterior = un.metrics.foscttm_of_scores(ordered, None if groups is None else groups[0])
    return {"foscttm": found["foscttm"], OF_POSTERIOR: of_posterior} | found


def _of_matching(task: MatchingTask, similarities: Similarities) -> Iterator[Score]:
    for setting in task.settings:
        if setting in similarities:
            question = Question("matching", task.left.modality, task.right.modality, *setting)
            _check(question, task, similarities[setting])
            yield from _rows(question, matching_scores(task, setting, similarities[setting]))


def _check(question: Question, task: MatchingTask, similarity: un.matching.Similarity) -> None:
    for side, view, vectors in (("left", task.left, similarity.left), ("right", task.right, similarity.right)):
        if len(vectors) != view.n_cells:
            raise ValueError(f"{question.title}: {len(vectors)} vectors of {view.n_cells} {side} cells")
        if not np.isfinite(vectors).all():
            raise ValueError(f"{question.title}: vectors of {side} cells are not finite")


def _rows(question: Question, values: dict[str, float]) -> Iterator[Score]:
    for metric, value in values.items():
        if math.isfinite(value):
            yield Score(**question._asdict(), metric=metric, value=float(value))


def evaluated(found: un.Scores) -> tuple[Score, ...]:
    """The rows of `un.evaluate`, without their values at chance."""
    names = ("task", "source", "target", "within", "depth", "metric", "value")
    rows = ({name: getattr(row, name) for name in names} for row in found.rows)
    return tuple(Score.model_validate(row) for row in rows if math.isfinite(row["value"]))
