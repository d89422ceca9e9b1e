"""A published method among the methods of a benchmark: one request to its environment, and density ratios of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

import unisono as un
from unisono_bench.baselines.pairs import MIN_HELD_OUT, hold_out
from unisono_bench.data import paired_views
from unisono_bench.matching import DensityRatio, LogDepth, Vectors
from unisono_bench.outputs import Cost, Costs, Outputs, Similarities, keep
from unisono_bench.published import Published, run_published
from unisono_bench.published.environment import Failure
from unisono_bench.published.exchange import MatchingRequest, PredictionRequest, Request, Response
from unisono_bench.published.exchange import Vectors as Answer
from unisono_bench.tasks import MatchingTask, Tasks


@final
@dataclass(frozen=True)
class PublishedMethod:
    """A published method in its own environment.

    Of the training cells 10 % are held out, as for ours, and matched too: on them the inverse temperature and the
    weight of depth are fitted, for such a method says which cells are near but not how sure that makes a partner.

    Attributes:
        published: which one.
        genes: table of gene positions, for methods that link peaks to genes.
    """

    published: Published
    genes: Path | None = None

    @property
    def name(self) -> str:
        return self.published.name

    @property
    def settings(self) -> str:
        requirements = self.published.requirements
        pins = requirements.read_text(encoding="utf-8") if requirements.exists() else ""
        return f"{self.published.variant}\n{pins}\n{'with' if self.genes else 'without'} gene positions"

    def outputs(self, training: un.Cells, tasks: Tasks, seed: int, folder: Path) -> Outputs:
        """See `Method.outputs`; ChildProcessError where the method failed."""
        learning, held_out = hold_out(training, seed)
        pairs = [_pairs(held_out, task) for task in tasks.matchings]
        request = Request(
            learning,
            tuple(PredictionRequest(task.source, task.truth.modality) for task in tasks.predictions),
            (
                *(MatchingRequest(task.left, task.right) for task in tasks.matchings),
                *(pair for pair in pairs if pair is not None),
            ),
            seed=seed,
            genes=self.genes,
        )
        response = run_published(self.published, request)
        if isinstance(response, Failure):
            raise ChildProcessError(response.reason)
        files = tuple(keep(values, folder / f"prediction_{i}.npy") for i, values in enumerate(response.predictions))
        return Outputs(files, _similarities(tasks, pairs, response), _costs(response), response.notes)


def _pairs(held_out: un.Cells, task: MatchingTask) -> MatchingRequest | None:
    left, right = paired_views(held_out, task.left.modality, task.right.modality)
    return MatchingRequest(left, right) if left.n_cells >= MIN_HELD_OUT else None


def _similarities(
    tasks: Tasks, pairs: Sequence[MatchingRequest | None], response: Response
) -> tuple[Similarities | None, ...]:
    of_pairs = iter(response.matchings[len(tasks.matchings) :])
    found: list[Similarities | None] = []
    for task, answer, pair in zip(tasks.matchings, response.matchings, pairs, strict=False):
        held_out = next(of_pairs) if pair is not None else None
        if answer is None:
            found.append(None)
        elif pair is None or held_out is None:
            both = f"{task.left.modality} and {task.right.modality}"
            raise ChildProcessError(f"{both}: no held-out cells to fit an inverse temperature on")
        else:
            found.append(_similarity(task, answer, pair, held_out))
    return tuple(found)


def _similarity(task: MatchingTask, answer: Answer, pair: MatchingRequest, held_out: Answer) -> Similarities:
    """In every setting; vectors of any scale are divided first by the spread of their inner products."""
    spread = float((held_out.left.astype(np.float64) @ held_out.right.T).std()) or 1.0
    ratio = DensityRatio.fit(
        _scaled(held_out.left, spread),
        _scaled(held_out.right, spread),
        _log_depth(pair.left),
        _log_depth(pair.right),
        pair.left.batch,
    )
    sides = _scaled(answer.left, spread), _scaled(answer.right, spread)
    log_depths = _log_depth(task.left), _log_depth(task.right)
    return {
        setting: ratio.similarity(sides, log_depths, depth=setting.depth, groups=task.groups(setting))
        for setting in task.settings
    }


def _scaled(vectors: Vectors, spread: float) -> Vectors:
    return np.asarray(vectors / np.sqrt(spread), dtype=np.float32)


def _log_depth(view: un.View) -> LogDepth:
    return np.log1p(view.depth)


def _costs(response: Response) -> Costs:
    total = Cost(seconds=response.spent.wall_s, cpu_seconds=response.spent.cpu_s)
    return Costs(fit=None, answer=None, total=total, peak_bytes=response.spent.peak_bytes)
