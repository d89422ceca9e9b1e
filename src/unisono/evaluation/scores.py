"""Scores: a fitted model on test cells whose partners are known; what it answers is made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unisono.evaluation.answers import Matched, Predicted, matchings, predictions
from unisono.evaluation.figures import JudgedPrediction, judged_prediction, matching_figures
from unisono.inference.record import Unlabelled
from unisono.io.fingerprint import fingerprint
from unisono.messages import BadInput, Finding, bad_input
from unisono.model.query import query_cells, warn
from unisono.model.unisono import Unisono
from unisono.types import Cells

if TYPE_CHECKING:
    from mudata import MuData


def evaluate(model: Unisono, test: MuData, *, source_name: str = "test", force: bool = False) -> dict[str, float]:
    """Both tasks on cells that the model has not seen, paired by name.

    Args:
        model: fitted on other cells.
        test: raw counts, at least two of the model's modalities over shared cell names.
        source_name: what messages call the data.
        force: go on even where the test cells hold less than a tenth of what the model reads.

    Returns:
        task → figure, of `unisono.evaluation.figures`. Prediction in average style, `rna->adt pearson` and so on, over
        the features that test and model share: `pearson`, `spearman` (not for atac), `rmse`, `mae`, for atac `auroc`
        and `auprc`, `pearson per cell`, `overall pearson`, `features without correlation`. Matching with the right side
        shuffled, `rna~adt foscttm` and so on: `foscttm`, `recall@1`, `recall@5`, `recall@10`, `match probability`
        (soft), `one-to-one accuracy`, `calibration error`, `pair auroc`, `pair auprc`. Matching by content alone, and
        `... with depth`; where the test cells come from several batches also `... within batch`.

    Raises:
        BadInput: the cells cannot be read by the model, or no cell has two modalities.
    """
    cells = query_cells(test, model.fitted.preprocessors, model.record, source_name, force=force)
    warn(seen(model.record.unlabelled, cells, source_name))
    scores: dict[str, float] = {}
    for predicted in predictions(model, cells):
        scores |= named(predicted, judged(predicted).figures)
    for matched in matchings(model, cells):
        scores |= named(matched, matching_scores(matched))
    if not scores:
        raise without_pairs(source_name)
    return scores


def judged(answer: Predicted) -> JudgedPrediction:
    """How well a modality was predicted, over all features and one by one."""
    return judged_prediction(answer.truth, answer.blocks(), answer.prediction.target)


def matching_scores(answer: Matched) -> dict[str, float]:
    """How well cells were matched; figure by its plain name."""
    return matching_figures(*answer.similarity.vectors, answer.soft, answer.one_to_one, answer.partner, answer.groups)


def named(answer: Predicted | Matched, figures: dict[str, float]) -> dict[str, float]:
    """The figures under the names of `evaluate`: `rna->adt pearson`, `rna~adt foscttm within batch`."""
    return {" ".join(filter(None, (answer.name, figure, answer.setting))): value for figure, value in figures.items()}


def seen(unlabelled: tuple[Unlabelled, ...], cells: Cells, source_name: str) -> list[Finding]:
    """What a reader of the figures has to know where the model has learnt from cells without labels."""
    mark = fingerprint(cells)
    found = []
    for each in unlabelled:
        n_cells = ", ".join(f"{n:,} {m}" for m, n in each.n_cells.items())
        same = "these very cells" if each.fingerprint == mark else "perhaps these among them"
        what = f"the model has seen unlabelled cells ({each.how}: {n_cells}; {same}): figures are transductive."
        found.append(Finding("W064", source_name, what, "compare with a model that has not, on the same cells"))
    return found


def without_pairs(source_name: str) -> BadInput:
    """The error for test cells that nothing can be judged by."""
    return bad_input("E027", source_name, "no cell has two modalities of this model.", "give cells measured in both")
