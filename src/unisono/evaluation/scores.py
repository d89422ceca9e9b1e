"""Evaluate: what predict and match return for test cells, scored and told apart from chance, as one table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from unisono.evaluation.labels import CellLabels, cell_labels
from unisono.evaluation.outputs import Matched, Predicted, blocks, matchings, predictions
from unisono.evaluation.score_table import Score, Scores
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

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
        >>> train, test = un.splits.random_split(mdata).take(mdata)
        >>> model = un.fit(train, batch_key="batch", preset="fast", progress=False)
        >>> scores = un.evaluate(model, test, label_key="cell_type")
        >>> scores.get("rna", "adt", "pearson").chance, scores.get("rna", "adt", "foscttm").chance
        (0.0, 0.5)
        >>> scores.value("rna", "adt", "foscttm") < 0.5  # less is better
        True
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
        same = "these very cells" if each.fingerprint == own else "perhaps these among them"
        what = f"the model has seen unlabelled cells ({each.what}; {same}): scores are transductive."
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
    listed = output.soft.match_posterior.listed
    values = matching_metrics(
        *output.similarity.vectors, soft, one_to_one, output.partner, output.groups, listed=listed
    )
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
        what = "fewer than two cells have two modalities of this model."
        raise bad_input("E027", source_name, what, "give cells measured in both")
    return Scores(tuple(rows), None if labels is None else labels.column)
