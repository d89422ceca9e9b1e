"""Arrays and tables behind the evaluation page, for one model and one test; computes and draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.record import Record
from unisono.messages import Finding
from unisono.metrics import Curve
from unisono.metrics.arrays import Labels, Rows, Scores
from unisono.types import Modality


@dataclass(frozen=True, eq=False)
class Space:
    """Cells of all modalities in the shared space: a point is a cell in one modality.

    Attributes:
        vectors: point x dimension, unit length.
        modality: of each point.
        cell: of each point; points of one cell are partners.
        names: of the cells.
        labels: obs column → value at each point, '' where it is not given.
        numbers: what they are called → value at each point, NaN where there is none.
        n_cells: cells that there were before some were drawn.
    """

    vectors: NDArray[np.float32]
    modality: Labels
    cell: Rows
    names: Labels
    labels: Mapping[str, Labels]
    numbers: Mapping[str, Scores]
    n_cells: int

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.modality, self.cell, *self.labels.values(), *self.numbers.values())}
        if lengths != {len(self.vectors)}:
            raise ValueError(f"{len(self.vectors)} points, with columns of {sorted(lengths)}: wanted as many")

    @property
    def is_sampled(self) -> bool:
        return len(self.names) < self.n_cells


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
            raise ValueError(f"measured, predicted and columns are {shapes}: wanted the same features and cells")


@dataclass(frozen=True, eq=False)
class Direction:
    """How well one modality is predicted from another, feature by feature.

    Attributes:
        n_cells: cells with both.
        features: that test and model share.
        accuracy: measure → one score a feature, NaN where it has none: "correlation", and "AUROC" for peaks.
        sample: some measured and predicted values.
        coverage: share of measured values inside their intervals, over the share promised; None without intervals.
    """

    source: Modality
    target: Modality
    n_cells: int
    features: Labels
    accuracy: Mapping[str, Scores]
    sample: Sample
    coverage: Curve | None


@dataclass(frozen=True, eq=False)
class Pairing:
    """How well cells of two modalities were matched in one setting.

    Attributes:
        setting: "" by content alone; "within batch", "with depth" or both.
        reliability: share of right answers over stated probability.
        abstention: precision over the share of cells that get an answer.
        partner_similarity: mean inner product of a cell and its partner in the shared space.
        other_similarity: the same of a cell and any cell.
    """

    left: Modality
    right: Modality
    setting: str
    n_cells: int
    reliability: Curve
    abstention: Curve
    partner_similarity: float
    other_similarity: float


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """All of it, for one model and one test.

    Attributes:
        test: what the test data are called.
        fingerprint: SHA-256 over their names, batches and counts.
        n_cells: by modality.
        scores: as of `evaluate`.
        reference: the same names → what the figure is without looking at a cell, where that is known.
        space: cells in the shared space.
        directions: every prediction that could be judged.
        pairings: every matching that could be judged, content alone first.
        findings: what was noticed about the test data.
        record: where the model came from.
        config: the choices of its fit.
    """

    test: str
    fingerprint: str
    n_cells: Mapping[Modality, int]
    scores: Mapping[str, float]
    reference: Mapping[str, float]
    space: Space
    directions: tuple[Direction, ...]
    pairings: tuple[Pairing, ...]
    findings: tuple[Finding, ...]
    record: Record
    config: FitConfig
