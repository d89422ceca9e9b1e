"""Scores: one tidy table of how well a model predicts and matches test cells, and `evaluate`, which fills it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
import pandas as pd

from unisono.evaluation.labels import CellLabels, cell_labels
from unisono.evaluation.outputs import Matched, Predicted, blocks, matchings, predictions
from unisono.inference.fitted_model import FittedModel
from unisono.io.fingerprint import fingerprint
from unisono.io.places import Layer
from unisono.messages import Finding, bad_input, warn
from unisono.metrics import (
    PredictionDetails,
    label_transfer_accuracy,
    label_transfer_chance,
    matching_chance,
    matching_metrics,
    prediction_chance,
    prediction_details,
)
from unisono.model.query import QueryOptions, query_cells
from unisono.model.unisono import Unisono
from unisono.types import Cells, Modality

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_RIDGE = "ridge_"


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
@dataclass(frozen=True)
class Scores:
    """All scores of a model on some test cells, one row per score.

    Attributes:
        rows: the scores.
        label_key: obs column of the labels that matched cells were compared by; None where there was none.

    Raises:
        ValueError: two rows differ in nothing but their values.
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

    def to_frame(self) -> pd.DataFrame:
        """The table: columns task, source, target, within, depth, metric, value and chance (NaN if unknown)."""
        frame = pd.DataFrame([asdict(row) for row in self.rows])
        return frame.astype({"value": float, "chance": float})

    def named(self) -> dict[str, float | None]:
        """Name of each score → its value, None where it is no finite number; as metrics.json has them."""
        return {row.name: row.value if isfinite(row.value) else None for row in self.rows}

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """For JSON: "prediction" and "matching" → rows of source, target, within, depth, metric, value and chance.

        What is not a finite number is None.
        """
        found: dict[str, list[dict[str, Any]]] = {"prediction": [], "matching": []}
        for row in self.rows:
            plain = asdict(row) | {"value": row.value if isfinite(row.value) else None}
            found[plain.pop("task")].append(plain)
        return found


def evaluate(
    model: Unisono,
    test: MuData | AnnData,
    *,
    label_key: str | None = None,
    source_name: str = "test",
    force: bool = False,
    layer: Layer | None = None,
    round_counts: bool | None = None,
) -> Scores:
    """Score what `predict` and `match` return with their defaults on cells that the model has not seen.

    Cells are paired by name; each direction and each pair of modalities is scored over the cells that have both.
    Predictions are in average style, over the features that test and model share. For matchings the right side is
    shuffled; they are by content alone and with `depth=True`, each over all cells and, where the test cells come from
    several batches, within batch.

    Args:
        model: fitted on other cells.
        test: raw counts, at least two of the model's modalities over shared cell names.
        label_key: obs column of labels, such as cell types, that matched cells are compared by; by default the first
            of the usual names that is there, such as "cell_type". `Scores.label_key` says which.
        source_name: what messages call the data.
        force: continue even where the test cells hold less than a tenth of what the model reads.
        layer: where the raw counts of the test cells are; by default where those of training were.
        round_counts: whether fractional counts are rounded; by default if those of training were.

    Returns:
        The metrics of `unisono.metrics.prediction_metrics` and, from rule "soft" and for `one_to_one_accuracy` rule
        "one-to-one", of `unisono.metrics.matching_metrics`. `ridge_pearson` and, of peaks, `ridge_auroc`: what a linear
        ridge of the model's own codes gets, fitted to the same training cells. With labels `label_transfer_accuracy`:
        the share of labelled left cells whose likeliest right cell carries their label.

    Raises:
        BadInput: the cells cannot be read by the model, no cell has two modalities, or no column is called `label_key`.
    """
    cells, _ = read_test(model, test, source_name, QueryOptions(force, layer, round_counts))
    labels = cell_labels(model, test, cells, label_key, source_name)
    rows = [row for output in predictions(model, cells) for row in prediction_rows(output, details_of(output))]
    rows += [row for output in matchings(model, cells) for row in matching_rows(output, labels)]
    return table_of(rows, source_name, labels)


def read_test(
    model: Unisono, test: MuData | AnnData, source_name: str, options: QueryOptions
) -> tuple[Cells, list[Finding]]:
    """The test cells, and warnings, also given, where the model has seen them, with or without their labels.

    Raises:
        BadInput: the cells cannot be read by the model.
    """
    cells = query_cells(test, model.fitted.preprocessors, model.record, source_name, options)
    own, found = fingerprint(cells), trained_on(model.fitted, cells, source_name)
    for each in model.record.unlabelled:
        n_cells = ", ".join(f"{n:,} {m}" for m, n in each.n_cells.items())
        same = "these very cells" if each.fingerprint == own else "perhaps these among them"
        what = f"the model has seen unlabelled cells ({each.how}: {n_cells}; {same}): scores are transductive."
        found.append(Finding("W064", source_name, what, "compare with a model that has not, on the same cells"))
    warn(found)
    return cells, found


def trained_on(fitted: FittedModel, cells: Cells, source_name: str) -> list[Finding]:
    """W064 where cells among these were training cells, by the counts of any of their modalities."""
    is_known = np.zeros(len(cells.names), dtype=bool)
    for modality, view in cells.views.items():
        rows = cells.rows[modality]
        is_known[rows >= 0] |= fitted.has_seen(view)[rows[rows >= 0]]
    if not is_known.any():
        return []
    first = cells.names[np.argmax(is_known)]
    what = f"{is_known.sum():,} of {len(is_known):,} test cells were training cells of this model (first: {first}): "
    return [Finding("W064", source_name, f"{what}scores are too good.", "score cells that the fit has not seen")]


def details_of(output: Predicted) -> PredictionDetails:
    """How well a modality was predicted, over all features and one by one."""
    groups = list(output.measured.groups())
    return prediction_details(output.truth, blocks(output.prediction), is_binary=output.is_binary, measured=groups)


def prediction_rows(output: Predicted, details: PredictionDetails) -> list[Score]:
    """The scores of a prediction, and of the ridge it is compared with."""
    groups = list(output.measured.groups())
    chance = prediction_chance(output.truth, is_binary=output.is_binary, measured=groups)
    source, target = output.prediction.source, output.prediction.target
    ridge = ridge_metrics(output)
    chance |= {name: chance[name.removeprefix(_RIDGE)] for name in ridge}
    return [
        Score("prediction", source, target, None, False, metric, value, chance.get(metric))
        for metric, value in (details.metrics | ridge).items()
    ]


def ridge_metrics(output: Predicted) -> dict[str, float]:
    """`ridge_pearson` and, of a binary target, `ridge_auroc`; empty where the model has no ridge."""
    if output.ridge is None:
        return {}
    groups = list(output.measured.groups())
    found = prediction_details(output.truth, blocks(output.ridge), is_binary=output.is_binary, measured=groups).metrics
    return {f"{_RIDGE}{name}": found[name] for name in ("pearson", "auroc") if name in found}


def matching_rows(output: Matched, labels: CellLabels | None = None) -> list[Score]:
    """The scores of a matching."""
    soft, one_to_one = (found.match_posterior.probabilities for found in (output.soft, output.one_to_one))
    values = matching_metrics(*output.similarity.vectors, soft, one_to_one, output.partner, output.groups)
    chance = matching_chance(output.left.n_cells, output.groups)
    how = output.left.modality, output.right.modality, output.within, output.depth
    rows = [Score("matching", *how, metric, value, chance.get(metric)) for metric, value in values.items()]
    return rows if labels is None else [*rows, *_label_rows(output, labels, how)]


def _label_rows(
    output: Matched, labels: CellLabels, how: tuple[Modality, Modality, str | None, bool]
) -> Iterator[Score]:
    """How often the likeliest right cell carries the label of the left one; nothing where no left cell has a label."""
    left, right = labels.of(output.left.cells), labels.of(output.right.cells)
    known = np.flatnonzero(left != "")
    if not len(known):
        return
    groups = None if output.groups is None else (output.groups[0][known], output.groups[1])
    found = label_transfer_accuracy(output.soft.match_posterior.probabilities[known], left[known], right, groups)
    chance = label_transfer_chance(left[known], right, groups)
    yield Score("matching", *how, "label_transfer_accuracy", found, chance)


def table_of(rows: list[Score], source_name: str, labels: CellLabels | None = None) -> Scores:
    """The rows as a table.

    Raises:
        BadInput: E027, there are none.
    """
    if not rows:
        raise bad_input("E027", source_name, "no cell has two modalities of this model.", "give cells measured in both")
    return Scores(tuple(rows), None if labels is None else labels.column)
