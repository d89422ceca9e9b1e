"""Scores: one tidy table of how well a model predicts and matches, and its headlines in text; computes none of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal, final

import pandas as pd

from unisono.types import Modality


@final
@dataclass(frozen=True)
class Score:
    """One metric of one prediction or matching.

    Attributes:
        task: "prediction" or "matching".
        source: modality predicted from, or that of the left cells.
        target: modality predicted, or that of the right cells.
        within: obs column of the groups inside which cells were matched, as `match` takes it; None for all cells.
        depth: whether the match used the agreement of total counts, as `match` takes it.
        metric: such as "pearson" or "foscttm"; see `unisono.metrics`.
        value: NaN where the cells leave the metric undefined.
        chance: value of an output that looks at no cell: the mean profile, or every right cell alike; None if unknown.
    """

    task: Literal["prediction", "matching"]
    source: Modality
    target: Modality
    within: str | None
    depth: bool
    metric: str
    value: float
    chance: float | None

    @property
    def key(self) -> tuple[Modality, Modality, str, str | None, bool]:
        """What tells it from the other scores of a table."""
        return self.source, self.target, self.metric, self.within, self.depth

    @property
    def name(self) -> str:
        """In one string: `rna->adt pearson`, `rna~adt recall@10 with depth within batch`."""
        tie = "->" if self.task == "prediction" else "~"
        words = self.metric.replace("_at_", "@").replace("one_to_one", "one-to-one").replace("_", " ")
        settings = ["with depth"] * self.depth + ["within batch"] * (self.within is not None)
        return " ".join([f"{self.source}{tie}{self.target}", words, *settings])


@final
@dataclass(frozen=True, repr=False)
class Scores:
    """All scores of a model on some test cells, one row per score.

    Attributes:
        rows: the scores.
        label_key: obs column of the labels that matched cells were compared by; None where there was none.

    Raises:
        ValueError: two rows differ in nothing but their values.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> train, test = un.splits.random_split(mdata).take(mdata)
        >>> model = un.fit(train, batch_key="batch", preset="fast", progress=False)
        >>> scores = un.evaluate(model, test)
        >>> list(scores.to_frame())
        ['task', 'source', 'target', 'within', 'depth', 'metric', 'value', 'chance']
        >>> scores.value("rna", "adt", "pearson") > scores.get("rna", "adt", "pearson").chance
        True
        >>> round(scores.get("rna", "adt", "recall_at_10").chance, 2)  # 10 of 24 test cells
        0.42
        >>> scores.get("rna", "adt", "foscttm", within="batch", depth=True).name
        'rna~adt foscttm with depth within batch'
    """

    rows: tuple[Score, ...]
    label_key: str | None = None

    def __post_init__(self) -> None:
        repeated = [key for key, n_rows in Counter(row.key for row in self.rows).items() if n_rows > 1]
        if repeated:
            raise ValueError(f"{len(repeated)} scores stand in several rows (first: {repeated[0]})")

    def get(
        self, source: Modality, target: Modality, metric: str, *, within: str | None = None, depth: bool = False
    ) -> Score | None:
        """The row of a metric; None where there is none."""
        key = (source, target, metric, within, depth)
        return next((row for row in self.rows if row.key == key), None)

    def value(
        self, source: Modality, target: Modality, metric: str, *, within: str | None = None, depth: bool = False
    ) -> float:
        """The value of a metric.

        Raises:
            KeyError: there is no such row.
        """
        row = self.get(source, target, metric, within=within, depth=depth)
        if row is None:
            raise KeyError(f"no {metric} of {source} and {target} with within={within!r}, depth={depth}")
        return row.value

    def __repr__(self) -> str:
        return "\n".join(
            [f"Scores, {len(self.rows)} in all: .to_frame(), .value(source, target, metric)", *headlines(self)]
        )

    def to_frame(self) -> pd.DataFrame:
        """The table: columns task, source, target, within, depth, metric, value and chance (NaN if unknown)."""
        frame = pd.DataFrame([asdict(row) for row in self.rows])
        return frame.astype({"value": float, "chance": float})

    def named(self) -> dict[str, float | None]:
        """Name of each score → its value, None where it is no finite number; as metrics.json has them."""
        return {row.name: _finite(row.value) for row in self.rows}

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """For JSON: "prediction" and "matching" → rows of source, target, within, depth, metric, value and chance.

        What is not a finite number is None.
        """
        found: dict[str, list[dict[str, Any]]] = {"prediction": [], "matching": []}
        for row in self.rows:
            plain = asdict(row) | {"value": _finite(row.value), "chance": _finite(row.chance)}
            found[plain.pop("task")].append(plain)
        return found


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None


def headlines(scores: Scores) -> list[str]:
    """The headline figures in lines of at most 80 columns: nine and two heads of three modalities."""
    tables: list[list[list[str]]] = []
    for task, names, metrics in _HEADLINES:
        pairs = dict.fromkeys((row.source, row.target) for row in scores.rows if row.task == task)
        head = [name.replace(_LABEL, f"same {scores.label_key}"[:20]) for name in names]
        rows = [
            [f"{a} {_TIES[task]} {b}", *(_figure(scores.get(a, b, metric)) for metric in metrics)] for a, b in pairs
        ]
        if rows:
            tables.append([head, *rows])
    width = max((len(row[0]) for rows in tables for row in rows), default=0)
    return [line for rows in tables for line in _aligned(rows, width)]


_LABEL = "same label"
_TIES = {"prediction": "->", "matching": "~"}
_HEADLINES = (
    ("prediction", ("prediction (chance)", "correlation", "ridge, same codes"), ("pearson", "ridge_pearson")),
    (
        "matching",
        ("matching (chance)", "FOSCTTM", "among first 10", _LABEL),
        ("foscttm", "recall_at_10", "label_transfer_accuracy"),
    ),
)


def _figure(score: Score | None) -> str:
    """A value and its chance level, "" where there is none."""
    if score is None:
        return ""
    return f"{score.value:.3f}" if score.chance is None else f"{score.value:.3f} ({score.chance:.2g})"


def _aligned(rows: list[list[str]], width: int) -> list[str]:
    """The rows as lines, the first column of so many letters, without columns that have nothing but a head."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [width, *(max(map(len, column)) for column in columns[1:])]
    lines = zip(*columns, strict=True)
    return ["  ".join(text.ljust(n) for text, n in zip(line, widths, strict=True)).rstrip() for line in lines]
