"""Arrays and tables behind the evaluation page, for one model and one test; computes and draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.evaluation.scores import Scores
from unisono.evaluation.space import Space
from unisono.inference.record import Record
from unisono.messages import Finding
from unisono.metrics import Curve
from unisono.metrics.arrays import Floats, Labels, Rows
from unisono.types import Modality


@dataclass(frozen=True, eq=False)
class Sample:
    """Measured and predicted values of some features in some cells.

    Attributes:
        columns: which features of the direction.
        why: what each stands for: "most accurate", "most variable", "least accurate", or "" where all are there.
        measured: cell x chosen feature.
        predicted: the same.
    """

    columns: Rows
    why: Labels
    measured: NDArray[np.float32]
    predicted: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.measured.shape != self.predicted.shape or self.measured.shape[1:] != self.columns.shape:
            shapes = (self.measured.shape, self.predicted.shape, self.columns.shape)
            raise ValueError(f"measured, predicted and columns are {shapes}: expected the same features and cells")


@dataclass(frozen=True, eq=False)
class Direction:
    """How well one modality is predicted from another, feature by feature.

    Attributes:
        n_cells: cells with both.
        features: that test and model share.
        accuracy: measure → one score per feature, NaN where it has none: "correlation", and "AUROC" for peaks.
        sample: some measured and predicted values.
        coverage: share of measured values inside their intervals, over the share promised; None without intervals.
    """

    source: Modality
    target: Modality
    n_cells: int
    features: Labels
    accuracy: Mapping[str, Floats]
    sample: Sample
    coverage: Curve | None


@dataclass(frozen=True, eq=False)
class Pairing:
    """How well cells of two modalities were matched in one setting.

    Attributes:
        within: obs column of the groups inside which cells were matched; None for all cells.
        depth: whether the agreement of total counts was used.
        n_cells: on either side.
        reliability: share of right matches over stated probability.
        abstention: precision over the share of cells that are matched.
        partner_similarity: mean inner product of a cell and its partner in the shared space.
        other_similarity: the same of a cell and any cell.
    """

    left: Modality
    right: Modality
    within: str | None
    depth: bool
    n_cells: int
    reliability: Curve
    abstention: Curve
    partner_similarity: float
    other_similarity: float

    @property
    def is_content_alone(self) -> bool:
        """Whether cells were matched as `match` does by default: over all cells and without depth."""
        return self.within is None and not self.depth


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """All of it, for one model and one test.

    Attributes:
        test: what the test data are called.
        fingerprint: SHA-256 over their names, batches and counts.
        n_cells: by modality.
        scores: as of `evaluate`.
        space: cells in the shared space.
        directions: every prediction that was scored.
        pairings: every matching that was scored, content alone first.
        findings: what was noticed about the test data.
        record: where the model came from.
        config: the choices of its fit.
    """

    test: str
    fingerprint: str
    n_cells: Mapping[Modality, int]
    scores: Scores
    space: Space
    directions: tuple[Direction, ...]
    pairings: tuple[Pairing, ...]
    findings: tuple[Finding, ...]
    record: Record
    config: FitConfig
