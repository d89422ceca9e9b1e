"""Arrays and tables behind the evaluation page, and the cells in the shared space as it shows them; draws nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.evaluation.score_table import Scores
from unisono.inference.record import Record
from unisono.messages import Finding
from unisono.metrics import Curve
from unisono.metrics.arrays import Floats, Labels, Rows
from unisono.model.query import column_of, tables_of
from unisono.model.unisono import Unisono
from unisono.types import Cells, Modality

if TYPE_CHECKING:
    from mudata import MuData

Numbers = Mapping[str, Mapping[Modality, NDArray[np.floating]]]
"""What they are called → modality → one number for each of its cells, such as its novelty."""

MAX_POINTS = 20_000
MAX_VALUES = 60
MAX_COLUMNS = 12
_SAMPLE_SEED = 0
_TYPE = re.compile(r"type|annot|label|cluster|lineage|leiden|louvain", re.IGNORECASE)


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
        n_cells: cells before some were sampled.
    """

    vectors: NDArray[np.float32]
    modality: Labels
    cell: Rows
    names: Labels
    labels: Mapping[str, Labels]
    numbers: Mapping[str, Floats]
    n_cells: int

    def __post_init__(self) -> None:
        lengths = {len(each) for each in (self.modality, self.cell, *self.labels.values(), *self.numbers.values())}
        if lengths != {len(self.vectors)}:
            raise ValueError(f"{len(self.vectors)} points, with columns of {sorted(lengths)}: expected as many")

    @property
    def is_sampled(self) -> bool:
        return len(self.names) < self.n_cells


def space_of(model: Unisono, test: MuData, cells: Cells, numbers: Numbers) -> Space:
    """The test cells, or as many as make at most 20,000 points, in the space of `embed`."""
    n_points = sum(view.n_cells for view in cells.views.values())
    n_shown = len(cells.names) if n_points <= MAX_POINTS else int(MAX_POINTS / n_points * len(cells.names))
    shown = sampled(len(cells.names), n_shown)
    places = {m: cells.rows[m][shown] for m in cells.modalities}
    own = {m: rows[rows >= 0] for m, rows in places.items()}
    return Space(
        np.concatenate([model.fitted.embedding(cells.views[m])[rows] for m, rows in own.items()]),
        np.concatenate([np.full(len(rows), m, dtype=object) for m, rows in own.items()]),
        np.concatenate([np.flatnonzero(rows >= 0) for rows in places.values()]),
        cells.names[shown],
        {name: _joined(values, own, "") for name, values in labels_of(test, cells, model.record).items()},
        {name: _joined(values, own, np.nan).astype(np.float64) for name, values in numbers.items()},
        len(cells.names),
    )


def _joined(values: Mapping[Modality, NDArray[Any]], rows: Mapping[Modality, Rows], none: Any) -> NDArray[Any]:
    """The values at some rows of each modality, `none` where it has no values."""
    return np.concatenate([values[m][r] if m in values else np.full(len(r), none) for m, r in rows.items()])


def sampled(n: int, most: int) -> Rows:
    """All of n in order, or a random sample of them where there are more than `most`."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(_SAMPLE_SEED).permutation(n)[:most])


def labels_of(mdata: MuData, cells: Cells, record: Record) -> dict[str, dict[Modality, Labels]]:
    """Column → modality → value of each cell of that view, '' where it is not given.

    A column is looked up in the modality's own obs first, then in that of the MuData. Those of text, categories, truth
    values or whole numbers are taken if they have 2 to 60 values: the batch first, then what sounds like a cell type.
    """
    tables = {m: tables_of(mdata, m, record, cells.views[m].cells) for m in cells.modalities}
    names = dict.fromkeys(str(name) for group in tables.values() for table in group for name in table)
    own = {f"{name}:" for name in mdata.mod}
    plain = [name for name in names if not any(name.startswith(prefix) for prefix in own)]
    ordered = sorted(plain, key=lambda name: (name != record.batch_key, not _TYPE.search(name)))
    found: dict[str, dict[Modality, Labels]] = {}
    for name in ordered:
        column = {m: _values(tables[m], name, cells.views[m].cells) for m in cells.modalities}
        n_values = len(set().union(*(set(values) for values in column.values())) - {""})
        if 2 <= n_values <= MAX_VALUES and len(found) < MAX_COLUMNS:
            found[name] = column
    return found


def _values(tables: list[pd.DataFrame], column: str, cells: Labels) -> Labels:
    values = column_of(tables, column, cells)
    if values is None or pd.api.types.is_float_dtype(values.dtype):
        return np.full(len(cells), "", dtype=object)
    return np.where(values.isna(), "", values.astype(object).map(str)).astype(object)


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
