"""Who runs in a benchmark: methods of ours and peers behind one call, fit to be sent to another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, final

import numpy as np

from unisono_bench.baselines import BASELINES
from unisono_bench.baselines.pairs import MIN_HELD_OUT, n_paired, paired, split
from unisono_bench.answers import Answers, Settings, answers_of, keep
from unisono_bench.costs import Cost, Costs
from unisono_bench.exam import Exam
from unisono_bench.temperature import Temperature
from unisono_bench.methods import Method
from unisono_bench.peers import Failure, Outcome, Peer, Task, ask_peer
from unisono_bench.peers import ToMatch as PeerMatch
from unisono_bench.peers import ToPredict as PeerPredict
from unisono.types import Cells, Modality


class Contender(Protocol):
    """Whom a benchmark can run; can be pickled."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def settings(self) -> str:
        """All choices behind the name, as text: another text is another method."""
        ...

    def answers(self, training: Cells, asked: Exam, seed: int, folder: Path) -> Answers:
        """Learn from training cells and answer; files go into the folder.

        Raises:
            Exception: whatever goes wrong; its message becomes the row of the table.
        """
        ...


@final
@dataclass(frozen=True)
class MethodContender:
    """A method that runs in our environment.

    Attributes:
        name: what tables call it.
        make: gives the method, in the process that runs it.
        settings: all choices behind the name, as text.
    """

    name: str
    make: Callable[[], Method]
    settings: str = ""

    def answers(self, training: Cells, asked: Exam, seed: int, folder: Path) -> Answers:
        """See `Contender.answers`."""
        return answers_of(self.make(), training, asked, seed, folder)


@final
@dataclass(frozen=True)
class Baseline:
    """One of the baselines, by name, since their functions cannot be pickled."""

    name: str

    def __call__(self) -> Method:
        return BASELINES[self.name]


def baseline(name: str) -> MethodContender:
    """A baseline as a contender."""
    return MethodContender(name, Baseline(name))


@final
@dataclass(frozen=True)
class PeerContender:
    """A peer in its own environment.

    Of the training cells 10 % are held out, as for ours, and matched too: on them the inverse temperature and the
    weight of depth are fitted, for a peer says which cells are near but not how sure that makes a partner.

    Attributes:
        peer: whom to ask.
        genes: table of gene positions, for peers that link peaks to genes.
    """

    peer: Peer
    genes: Path | None = None

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def settings(self) -> str:
        pins = self.peer.requirements.read_text(encoding="utf-8") if self.peer.requirements.exists() else ""
        return f"{self.peer.variant}\n{pins}\n{'with' if self.genes else 'without'} gene positions"

    def answers(self, training: Cells, asked: Exam, seed: int, folder: Path) -> Answers:
        """See `Contender.answers`; ChildProcessError where the peer failed."""
        learning, held_out = split(training, seed)
        known = [self._held_out(held_out, q.left.modality, q.right.modality) for q in asked.matchings]
        task = Task(
            learning,
            tuple(PeerPredict(q.source, q.truth.modality) for q in asked.predictions),
            (*(PeerMatch(q.left, q.right) for q in asked.matchings), *(one for one in known if one is not None)),
            seed=seed,
            genes=self.genes,
        )
        outcome = ask_peer(self.peer, task)
        if isinstance(outcome, Failure):
            raise ChildProcessError(outcome.reason)
        files = [keep(values, folder / f"prediction_{i}.npy") for i, values in enumerate(outcome.predictions)]
        return Answers(tuple(files), self._matched(asked, known, outcome), _costs(outcome), outcome.notes)

    @staticmethod
    def _held_out(held_out: Cells, a: Modality, b: Modality) -> PeerMatch | None:
        return PeerMatch(*paired(held_out, a, b)) if n_paired(held_out, a, b) >= MIN_HELD_OUT else None

    @staticmethod
    def _matched(asked: Exam, known: list[PeerMatch | None], outcome: Outcome) -> tuple[Settings | None, ...]:
        of_known = iter(outcome.matchings[len(asked.matchings) :])
        found: list[Settings | None] = []
        for question, vectors, pairs in zip(asked.matchings, outcome.matchings, known, strict=False):
            near = next(of_known) if pairs is not None else None
            if vectors is None:
                found.append(None)
                continue
            if pairs is None or near is None:
                raise ChildProcessError(f"{question.task}: no held-out cells to fit a temperature on")
            temperature = Temperature.fit(
                near.left, near.right, np.log1p(pairs.left.depth), np.log1p(pairs.right.depth), pairs.left.batch
            )
            sides = vectors.left, vectors.right
            depths = np.log1p(question.left.depth), np.log1p(question.right.depth)
            found.append({setting.suffix: temperature.matched(sides, depths, setting) for setting in question.settings})
        return tuple(found)


def _costs(outcome: Outcome) -> Costs:
    total = Cost(seconds=outcome.spent.wall_s, cpu_seconds=outcome.spent.cpu_s)
    return Costs(fit=None, answer=None, total=total, peak_bytes=outcome.spent.peak_bytes)
