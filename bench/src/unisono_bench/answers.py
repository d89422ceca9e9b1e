"""What a method answers to an exam, and what that took; a prediction waits in a file, so that it holds no memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unisono_bench.costs import Cost, Costs, forget_peak, measured, peak_bytes
from unisono_bench.exam import Exam, Setting, ToMatch
from unisono_bench.methods import Fitted, Matched, Method, posterior
from unisono.types import Cells, Modality, View

Settings = Mapping[str, Matched]
"""By the suffix of the setting."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers in the order of the questions; None where a method does not offer that.

    Attributes:
        predictions: .npy files, cell x feature.
        matchings: vectors and inverse temperature in each setting.
        costs: what it took.
        notes: what the reader of a table should know.
    """

    predictions: tuple[Path | None, ...]
    matchings: tuple[Settings | None, ...]
    costs: Costs
    notes: tuple[str, ...] = ()


def answers_of(method: Method, training: Cells, asked: Exam, seed: int, folder: Path) -> Answers:
    """Fit a method and ask it everything, one question at a time.

    Args:
        method: whom to ask.
        training: what it learns from.
        asked: about other cells.
        seed: of the fit.
        folder: where predictions are kept.
    """
    forget_peak()
    fitted, fit = measured(lambda: method.fit(training, seed))
    answer = Cost(seconds=0.0, cpu_seconds=0.0)
    files: list[Path | None] = []
    for i, question in enumerate(asked.predictions):
        predicted, cost = measured(_prediction_of(fitted, question.source, question.truth.modality))
        files.append(keep(predicted, folder / f"prediction_{i}.npy"))
        answer = answer.plus(cost)
        del predicted
    for matching in asked.matchings:
        answer = answer.plus(measured(_headline_of(fitted, matching))[1])
    costs = Costs(fit=fit, answer=answer, total=fit.plus(answer), peak_bytes=peak_bytes())
    return Answers(tuple(files), tuple(_matched(fitted, matching) for matching in asked.matchings), costs)


def keep(values: NDArray[np.float32] | None, file: Path) -> Path | None:
    """The file that now holds the values; None where there are none."""
    if values is None:
        return None
    np.save(file, values, allow_pickle=False)
    return file


def _prediction_of(fitted: Fitted, source: View, target: Modality) -> Callable[[], NDArray[np.float32] | None]:
    return lambda: fitted.predict(source, target)


def _headline_of(fitted: Fitted, question: ToMatch) -> Callable[[], None]:
    """The match that a user asks for: its cost is counted, its answer is asked for again by `_matched`."""

    def match() -> None:
        found = _vectors(fitted, question, question.settings[0])
        if found is not None:
            posterior(found, "soft")

    return match


def _matched(fitted: Fitted, question: ToMatch) -> Settings | None:
    found = {setting.suffix: _vectors(fitted, question, setting) for setting in question.settings}
    offered = {suffix: matched for suffix, matched in found.items() if matched is not None}
    return offered or None


def _vectors(fitted: Fitted, question: ToMatch, setting: Setting) -> Matched | None:
    return fitted.vectors(question.left, question.right, depth=setting.depth, groups=setting.groups)
