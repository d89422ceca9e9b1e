"""Answers to figures: the only place where answers meet the truth, and the same for every method; asks nobody."""

from __future__ import annotations

import math

import numpy as np

from unisono_bench.answers import Answers, Settings
from unisono_bench.exam import Exam, Setting, ToMatch
from unisono_bench.marginals import MAX_PAIRS, log_posterior
from unisono.evaluation.figures import matching_figures, prediction_figures
from unisono_bench.methods import Matched, posterior
from unisono.metrics import foscttm_of_scores
from unisono.preprocessing.projection import on_scale

Figures = dict[str, dict[str, float]]
"""Task → figure → value; a task that a method does not do is not there, nor is a figure that is no number."""

OF_POSTERIOR = "foscttm of posterior"


def figures(asked: Exam, answers: Answers) -> Figures:
    """Figures of every task that was answered.

    Raises:
        ValueError: an answer has the wrong shape or holds values that are not finite.
    """
    found: Figures = {}
    for question, file in zip(asked.predictions, answers.predictions, strict=True):
        if file is not None:
            truth = on_scale(question.truth)
            found[question.task] = _finite(prediction_figures(truth, np.load(file), question.truth.modality))
    for matching, answered in zip(asked.matchings, answers.matchings, strict=True):
        if answered is not None:
            found |= _of_matching(matching, answered)
    return found


def _of_matching(question: ToMatch, answered: Settings) -> Figures:
    return {
        f"{question.task}{setting.suffix}": _finite(_judged(question, setting, answered[setting.suffix]))
        for setting in question.settings
        if setting.suffix in answered
    }


def _judged(question: ToMatch, setting: Setting, matched: Matched) -> dict[str, float]:
    _check(question, matched)
    soft, one_to_one = (
        posterior(matched, "soft", setting.groups).probabilities,
        posterior(matched, "one-to-one", setting.groups).probabilities,
    )
    judged = matching_figures(matched.left, matched.right, soft, one_to_one, question.partner, setting.groups)
    if len(matched.left) * len(matched.right) > MAX_PAIRS:
        return judged
    restored = log_posterior(matched, setting.groups)[:, question.partner]
    inside = None if setting.groups is None else setting.groups[0]
    return {"foscttm": judged["foscttm"], OF_POSTERIOR: foscttm_of_scores(restored, inside)} | judged


def _check(question: ToMatch, matched: Matched) -> None:
    for side, view, vectors in (("left", question.left, matched.left), ("right", question.right, matched.right)):
        if len(vectors) != view.n_cells:
            raise ValueError(f"{question.task}: {len(vectors)} vectors of {view.n_cells} {side} cells")
        if not np.isfinite(vectors).all():
            raise ValueError(f"{question.task}: vectors of {side} cells are not finite")


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
