"""One run of a benchmark as it is kept: figures and costs, or why there are none; judges nothing."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from unisono_bench.costs import Costs


class Run(BaseModel):
    """A method on one split with one seed.

    Attributes:
        method: its name.
        split: name of the round: `random`, or the batch or donor left out.
        seed: of the method, and of a random split.
        key: SHA-256 of all that the figures depend on; a run with the same key need not be repeated.
        source: SHA-256 of the package's own files when it began, in 12 characters; not part of the key.
        n_training: training cells.
        n_test: test cells.
        figures: task → figure → value; empty where the run failed.
        costs: None where the run failed.
        failure: why it failed, in one line.
        notes: what the reader of a table should know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    split: str
    seed: int
    key: str
    source: str
    n_training: int
    n_test: int
    figures: dict[str, dict[str, float]] = {}
    costs: Costs | None = None
    failure: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> tuple[str, int]:
        """Where it stands beside the runs of other methods."""
        return self.split, self.seed

    def figure(self, task: str, name: str) -> float | None:
        """A figure of a task; None where there is none."""
        return self.figures.get(task, {}).get(name)


def tasks(runs: Sequence[Run]) -> tuple[str, ...]:
    """The tasks of all runs: predictions, then matchings, the headline before its settings."""
    found = dict.fromkeys(task for run in runs for task in run.figures)
    return tuple(sorted(found, key=lambda task: "~" in task))


def figure_names(runs: Sequence[Run], task: str) -> tuple[str, ...]:
    """The figures of a task, in the order in which they were found."""
    return tuple(dict.fromkeys(name for run in runs for name in run.figures.get(task, {})))
