"""What a method gives for all tasks and what that cost; a prediction waits in a file, so that it holds no memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

import unisono as un
from unisono_bench.estimators import Estimator, Fitted
from unisono_bench.matching import matched
from unisono_bench.tasks import MatchingTask, Setting, Tasks

T = TypeVar("T")

_STATUS, _PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Similarities = Mapping[Setting, un.matching.Similarity]


class Cost(BaseModel):
    """Wall seconds, and processor seconds, user and system, of all threads and of children that have ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float
    cpu_seconds: float

    def plus(self, other: Cost) -> Cost:
        """Both, one after the other."""
        return Cost(seconds=self.seconds + other.seconds, cpu_seconds=self.cpu_seconds + other.cpu_seconds)


class Costs(BaseModel):
    """What a run took; reading the data and scoring are left out.

    Attributes:
        fit: learning; None where it cannot be told from answering, as for a published method.
        answer: all predictions, and similarity and soft match of each pair of modalities in the headline setting.
        total: both.
        peak_bytes: most memory held at a time, the training and test cells among it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fit: Cost | None
    answer: Cost | None
    total: Cost
    peak_bytes: int


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs in the order of the tasks; None where a method does not do that.

    Attributes:
        predictions: .npy files, cell x feature.
        matchings: the similarity in each setting.
        costs: what it took.
        notes: what the reader of a table should know.
    """

    predictions: tuple[Path | None, ...]
    matchings: tuple[Similarities | None, ...]
    costs: Costs
    notes: tuple[str, ...] = ()


def outputs_of(estimator: Estimator, training: un.Cells, tasks: Tasks, seed: int, folder: Path) -> Outputs:
    """Fit an estimator and do every task, one at a time.

    Args:
        estimator: not fitted yet.
        training: what it learns from.
        tasks: about other cells.
        seed: of the fit.
        folder: where predictions are kept.
    """
    reset_peak()
    fitted, fit = with_cost(lambda: estimator.fit(training, seed))
    answer = Cost(seconds=0.0, cpu_seconds=0.0)
    files: list[Path | None] = []
    for i, task in enumerate(tasks.predictions):
        predicted, cost = with_cost(partial(fitted.predict, task.source, task.truth.modality))
        files.append(keep(predicted, folder / f"prediction_{i}.npy"))
        answer = answer.plus(cost)
        del predicted
    for matching in tasks.matchings:
        answer = answer.plus(with_cost(partial(_headline, fitted, matching))[1])
    costs = Costs(fit=fit, answer=answer, total=fit.plus(answer), peak_bytes=peak_bytes())
    return Outputs(tuple(files), tuple(_similarities(fitted, matching) for matching in tasks.matchings), costs)


def keep(values: NDArray[np.float32] | None, file: Path) -> Path | None:
    """The file that now holds the values; None where there are none."""
    if values is None:
        return None
    np.save(file, values, allow_pickle=False)
    return file


def with_cost(work: Callable[[], T]) -> tuple[T, Cost]:
    """The result of some work and what it cost."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    result = work()
    return result, Cost(seconds=time.perf_counter() - wall, cpu_seconds=_cpu_seconds() - cpu)


def reset_peak() -> None:
    """Let `peak_bytes` count from now on, where the system can (Linux); what is held now still counts."""
    with suppress(OSError):
        _PEAK_RESET.write_text("5")


def peak_bytes() -> int:
    """The most memory that this process held: VmHWM where there is one, for ru_maxrss may be that of its parent."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _headline(fitted: Fitted, task: MatchingTask) -> None:
    """The match that a user asks for: its cost counts; its similarity is asked for again by `_similarities`."""
    found = _similarity(fitted, task, task.settings[0])
    if found is not None:
        matched(found, "soft")


def _similarities(fitted: Fitted, task: MatchingTask) -> Similarities | None:
    found = {setting: _similarity(fitted, task, setting) for setting in task.settings}
    offered = {setting: similarity for setting, similarity in found.items() if similarity is not None}
    return offered or None


def _similarity(fitted: Fitted, task: MatchingTask, setting: Setting) -> un.matching.Similarity | None:
    return fitted.similarity(task.left, task.right, depth=setting.depth, groups=task.groups(setting))
