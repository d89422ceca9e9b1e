"""A method of a benchmark: it has a name, can be sent to another process, and gives outputs for all tasks of a fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, final

import unisono as un
from unisono_bench.baselines import BASELINES
from unisono_bench.estimators import Estimator
from unisono_bench.outputs import Outputs, outputs_of
from unisono_bench.tasks import Tasks


class Method(Protocol):
    """What a benchmark can run; can be pickled."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def settings(self) -> str:
        """All choices behind the name, as text: another text is another method."""
        ...

    def outputs(self, training: un.Cells, tasks: Tasks, seed: int, folder: Path) -> Outputs:
        """Learn from training cells and do the tasks; files go into the folder.

        Raises:
            Exception: whatever goes wrong; its message becomes the row of the table.
        """
        ...


@final
@dataclass(frozen=True)
class EstimatorMethod:
    """An estimator that runs in our environment.

    Attributes:
        name: what tables call it.
        make: gives the estimator, in the process that runs it.
        settings: all choices behind the name, as text.
    """

    name: str
    make: Callable[[], Estimator]
    settings: str = ""

    def outputs(self, training: un.Cells, tasks: Tasks, seed: int, folder: Path) -> Outputs:
        """See `Method.outputs`."""
        return outputs_of(self.make(), training, tasks, seed, folder)


def baseline(name: str) -> EstimatorMethod:
    """A baseline as a method; it is sent by name, since functions made inside functions cannot be pickled."""
    return EstimatorMethod(name, partial(_baseline, name))


def _baseline(name: str) -> Estimator:
    return BASELINES[name]
