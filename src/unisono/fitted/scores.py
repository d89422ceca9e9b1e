"""Scores: a fitted model on test cells whose partners are known; the partners are used to judge, never to match."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.evaluation.figures import matching_figures, prediction_figures
from unisono.evaluation.metrics.arrays import Groups
from unisono.findings import Finding, refuse
from unisono.fitted.query import query_cells, warn
from unisono.fitted.record import Unlabelled
from unisono.fitted.unisono import Unisono
from unisono.io.fingerprint import fingerprint
from unisono.match import Rule, couple
from unisono.transforms.align import aligned_counts
from unisono.transforms.transform import on_scale
from unisono.types import Cells, Modality, Prediction, View

if TYPE_CHECKING:
    from mudata import MuData

_VALUES_AT_A_TIME = 2**21
_SHUFFLE_SEED = 0
_RULES: tuple[Rule, Rule] = ("soft", "one-to-one")
_TOP = 1000


def evaluate(model: Unisono, test: MuData, *, where: str = "test", force: bool = False) -> dict[str, float]:
    """Both tasks on cells that the model has not seen, paired by name.

    Args:
        model: fitted on other cells.
        test: raw counts, at least two of the model's modalities over shared cell names.
        where: what messages call the data.
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
    cells = query_cells(test, model.voices, model.record, where, force=force)
    modalities = cells.modalities
    warn(_seen(model.record.unlabelled, cells, where))
    scores: dict[str, float] = {}
    for source, target in permutations(modalities, 2):
        paired = _paired(cells, source, target)
        if paired is not None:
            scores |= _prediction_scores(model, *paired)
    for left, right in combinations(modalities, 2):
        paired = _paired(cells, left, right)
        if paired is not None:
            scores |= _matching_scores(model, *paired)
    if not scores:
        raise refuse("E027", where, "no cell has two modalities of this model.", "give cells measured in both")
    return scores


def _seen(unlabelled: tuple[Unlabelled, ...], cells: Cells, where: str) -> list[Finding]:
    """What a reader of the figures has to know where the model has learnt from cells without labels."""
    mark = fingerprint(cells)
    found = []
    for each in unlabelled:
        n_cells = ", ".join(f"{n:,} {m}" for m, n in each.n_cells.items())
        same = "these very cells" if each.fingerprint == mark else "perhaps these among them"
        what = f"the model has seen unlabelled cells ({each.how}: {n_cells}; {same}): figures are transductive."
        found.append(Finding("W064", where, what, "compare with a model that has not, on the same cells"))
    return found


def _paired(cells: Cells, a: Modality, b: Modality) -> tuple[View, View] | None:
    """The two views over the cells that have both, in the same order."""
    both = (cells.rows[a] >= 0) & (cells.rows[b] >= 0)
    if both.sum() < 2:
        return None
    return cells.views[a].take(cells.rows[a][both]), cells.views[b].take(cells.rows[b][both])


def _prediction_scores(model: Unisono, source: View, target: View) -> dict[str, float]:
    prediction = model.prediction_of(source, target.modality)
    truth, prediction = _over_shared_features(model, prediction, target)
    figures = prediction_figures(truth, _blocks(prediction), target.modality)
    return {f"{source.modality}->{target.modality} {name}": figure for name, figure in figures.items()}


def _blocks(prediction: Prediction) -> Iterator[NDArray[np.float32]]:
    """The predicted values of some features at a time."""
    n_cells, n_features = prediction.shape
    size = max(1, _VALUES_AT_A_TIME // n_cells)
    for start in range(0, n_features, size):
        yield prediction.take_features(slice(start, start + size)).dense()


def _over_shared_features(model: Unisono, prediction: Prediction, target: View) -> tuple[sparse.csc_matrix, Prediction]:
    """Measured values and prediction over the features that both have, in the prediction's order."""
    alignment = model.voices[target.modality].transform.align(target)
    shared = np.flatnonzero(alignment.is_present)
    if alignment.weights is not None:
        measured = (aligned_counts(target, alignment) > 0).astype(np.float32).tocsc()[:, shared]
    else:
        measured = on_scale(target).tocsc()[:, alignment.columns[shared]]
    return measured, prediction.take_features(shared)


def _matching_scores(model: Unisono, left: View, right: View) -> dict[str, float]:
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(right.n_cells)
    shuffled, partner = right.take(order), np.argsort(order)
    within: dict[str, Groups | None] = {"": None}
    if len(np.unique(left.batch)) > 1:
        within[" within batch"] = (left.batch, left.batch[order])
    scores: dict[str, float] = {}
    for depth, (suffix, groups) in product((False, True), within.items()):
        found = _judged(model, left, shuffled, partner, groups, depth)
        setting = f"{suffix}{' with depth' if depth else ''}"
        scores |= {f"{left.modality}~{right.modality} {name}{setting}": figure for name, figure in found.items()}
    return scores


def _judged(
    model: Unisono, left: View, right: View, partner: NDArray[np.intp], groups: Groups | None, depth: bool
) -> dict[str, float]:
    """Figures of one matching; the partners come in only once it is done."""
    vectors = model.match_vectors(left, right, depth=depth, groups=groups)
    soft, one_to_one = (
        couple(vectors.left, vectors.right, beta=vectors.beta, rule=rule, top=_TOP, within=groups).posterior
        for rule in _RULES
    )
    return matching_figures(vectors.left, vectors.right, soft, one_to_one, partner, groups)
