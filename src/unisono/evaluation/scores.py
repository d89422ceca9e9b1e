"""Scores: one tidy table of how well a model predicts and matches test cells, and `evaluate`, which fills it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, final

import pandas as pd

from unisono.evaluation.outputs import Matched, Predicted, matchings, predictions
from unisono.io.fingerprint import fingerprint
from unisono.messages import Finding, bad_input, warn
from unisono.metrics import (
    PredictionDetails,
    matching_chance,
    matching_metrics,
    prediction_chance,
    prediction_details,
)
from unisono.model.query import query_cells
from unisono.model.unisono import Unisono
from unisono.types import Cells, Modality

if TYPE_CHECKING:
    from mudata import MuData


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


@final
@dataclass(frozen=True)
class Scores:
    """All scores of a model on some test cells, one row per score.

    Raises:
        ValueError: two rows differ in nothing but their values.
    """

    rows: tuple[Score, ...]

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

    def to_frame(self) -> pd.DataFrame:
        """The table: columns task, source, target, within, depth, metric, value and chance (NaN if unknown)."""
        frame = pd.DataFrame([asdict(row) for row in self.rows])
        return frame.astype({"value": float, "chance": float})

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """For JSON: "prediction" and "matching" → rows of source, target, within, depth, metric, value and chance.

        What is not a finite number is None.
        """
        found: dict[str, list[dict[str, Any]]] = {"prediction": [], "matching": []}
        for row in self.rows:
            plain = asdict(row) | {"value": row.value if isfinite(row.value) else None}
            found[plain.pop("task")].append(plain)
        return found


def evaluate(model: Unisono, test: MuData, *, source_name: str = "test", force: bool = False) -> Scores:
    """Score what `predict` and `match` return with their defaults on cells that the model has not seen.

    Cells are paired by name; each direction and each pair of modalities is scored over the cells that have both.
    Predictions are in average style, over the features that test and model share. For matchings the right side is
    shuffled; they are by content alone and with `depth=True`, each over all cells and, where the test cells come from
    several batches, within batch.

    Args:
        model: fitted on other cells.
        test: raw counts, at least two of the model's modalities over shared cell names.
        source_name: what messages call the data.
        force: continue even where the test cells hold less than a tenth of what the model reads.

    Returns:
        The metrics of `unisono.metrics.prediction_metrics` and, from rule "soft" and for `one_to_one_accuracy` rule
        "one-to-one", of `unisono.metrics.matching_metrics`.

    Raises:
        BadInput: the cells cannot be read by the model, or no cell has two modalities.
    """
    cells, _ = read_test(model, test, source_name, force=force)
    rows = [row for output in predictions(model, cells) for row in prediction_rows(output, details_of(output))]
    rows += [row for output in matchings(model, cells) for row in matching_rows(output)]
    return table_of(rows, source_name)


def read_test(model: Unisono, test: MuData, source_name: str, *, force: bool) -> tuple[Cells, list[Finding]]:
    """The test cells, and a warning, also given, where the model has learnt from unlabelled cells.

    Raises:
        BadInput: the cells cannot be read by the model.
    """
    cells = query_cells(test, model.fitted.preprocessors, model.record, source_name, force=force)
    own, found = fingerprint(cells), []
    for each in model.record.unlabelled:
        n_cells = ", ".join(f"{n:,} {m}" for m, n in each.n_cells.items())
        same = "these very cells" if each.fingerprint == own else "perhaps these among them"
        what = f"the model has seen unlabelled cells ({each.how}: {n_cells}; {same}): scores are transductive."
        found.append(Finding("W064", source_name, what, "compare with a model that has not, on the same cells"))
    warn(found)
    return cells, found


def details_of(output: Predicted) -> PredictionDetails:
    """How well a modality was predicted, over all features and one by one."""
    groups = list(output.measured.groups())
    return prediction_details(output.truth, output.blocks(), is_binary=output.is_binary, measured=groups)


def prediction_rows(output: Predicted, details: PredictionDetails) -> list[Score]:
    """The scores of a prediction."""
    groups = list(output.measured.groups())
    chance = prediction_chance(output.truth, is_binary=output.is_binary, measured=groups)
    source, target = output.prediction.source, output.prediction.target
    return [
        Score("prediction", source, target, None, False, metric, value, chance.get(metric))
        for metric, value in details.metrics.items()
    ]


def matching_rows(output: Matched) -> list[Score]:
    """The scores of a matching."""
    soft, one_to_one = (found.match_posterior.probabilities for found in (output.soft, output.one_to_one))
    values = matching_metrics(*output.similarity.vectors, soft, one_to_one, output.partner, output.groups)
    chance = matching_chance(output.left.n_cells, output.groups)
    how = output.left.modality, output.right.modality, output.within, output.depth
    return [Score("matching", *how, metric, value, chance.get(metric)) for metric, value in values.items()]


def table_of(rows: list[Score], source_name: str) -> Scores:
    """The rows as a table.

    Raises:
        BadInput: E027, there are none.
    """
    if not rows:
        raise bad_input("E027", source_name, "no cell has two modalities of this model.", "give cells measured in both")
    return Scores(tuple(rows))
