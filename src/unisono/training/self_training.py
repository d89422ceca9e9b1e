"""Self-training: cells without labels that a first fit matches one to one are pairs of a second; reads no file.

References:
    Lee, "Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks", 2013.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.fitted_model import FittedModel
from unisono.inference.record import Unlabelled
from unisono.matching import apply_rule, match_posterior
from unisono.messages import Finding, warn
from unisono.modalities import in_order
from unisono.training.checkpoint import discard_checkpoint
from unisono.training.fit import Run
from unisono.training.saved_state import first_of
from unisono.training.validation import NO_NAMES, Names
from unisono.types import Cells, Modality, View

_SEED = 67
_REMEDY = "nothing is wrong; both sides have to hold the same kinds of cells to be matched"

Rows = NDArray[np.intp]


class FitCells(Protocol):
    """`fit_cells` to which all is told but the cells, and what of them was not measured together."""

    def __call__(
        self, cells: Cells, *, run: Run, unlabelled: tuple[Unlabelled, ...] = (), matched: Names = NO_NAMES
    ) -> FittedModel: ...


class Matches(NamedTuple):
    """Unlabelled cells that a model takes for one cell.

    Attributes:
        hub: the modality that each other one is matched to.
        rows: other modality → rows of the hub, and rows of the other modality, of its matched cells.
        refused: what speaks against matching the others.
    """

    hub: Modality
    rows: Mapping[Modality, tuple[Rows, Rows]]
    refused: tuple[str, ...]


def self_trained(
    cells: Cells, joined: Cells, seen: Unlabelled, fit: FitCells, config: FitConfig, run: Run, source_name: str
) -> FittedModel:
    """Fit to training cells; match the unlabelled ones by that fit; fit anew to all, with the matches for pairs.

    Matches validate nothing. Where there is one unlabelled modality, or the first fit is not known to match better
    than by chance, or the sides share few kinds of cells, each cell is used in its one modality alone.

    Args:
        cells: training cells.
        joined: the same cells, with the unlabelled ones behind them; see `with_unlabelled`.
        seen: what the record says of the unlabelled ones.
        fit: with the config.
        config: with its `self_training`.
        run: of the second fit; the checkpoint of the first lies next to its own.
        source_name: what messages call the unlabelled cells.
    """
    sides = {m: _behind(joined.views[m], cells.views[m].n_cells) for m in joined.modalities}
    sides = {m: side for m, side in sides.items() if side.n_cells}
    if not config.self_training.matches or len(sides) < 2:
        return fit(joined, run=run, unlabelled=(seen,))
    of_first = None if run.checkpoint is None else first_of(run.checkpoint)
    first = fit(cells, run=replace(run, checkpoint=of_first))
    found = matches(first, sides, config)
    warn([Finding("W072", source_name, reason, _REMEDY) for reason in found.refused])
    named, matched = with_matches(joined, sides, found)
    fitted = fit(named, run=run, unlabelled=(seen.model_copy(update={"n_matched": len(matched)}),), matched=matched)
    if of_first is not None and run.ranks.is_first:
        discard_checkpoint(of_first)
    return fitted


def matches(model: FittedModel, sides: Mapping[Modality, View], config: FitConfig) -> Matches:
    """Which unlabelled cells are one cell by a model: those of each modality matched one to one to those of a hub.

    The hub is the modality in the middle of the central dogma, which is next to all others. Cells are matched within
    batches that the sides share, if there are any.
    """
    order = in_order(sides)
    hub = order[len(order) // 2] if len(order) > 2 else order[0]
    doubt = _doubt(model)
    if doubt:
        return Matches(hub, {}, (doubt,))
    rng = np.random.default_rng([config.seed, _SEED])
    drawn = {m: np.sort(rng.permutation(sides[m].n_cells)[: config.self_training.max_cells]) for m in order}
    rows, refused = {}, []
    for other in [m for m in order if m != hub]:
        left, right = (sides[m].take(drawn[m]) for m in (hub, other))
        found = _one_to_one(model, left, right, config)
        if isinstance(found, str):
            refused.append(found)
        else:
            rows[other] = drawn[hub][found[0]], drawn[other][found[1]]
    return Matches(hub, rows, tuple(refused))


def _doubt(model: FittedModel) -> str | None:
    """Why the matches of a model are worth nothing, as far as its fit could tell; None where they are."""
    if model.record.validation is None:
        return "a fit without them had too few validation cells to tell whether it matches better than by chance."
    at_chance = [finding.what for finding in model.record.findings if finding.code == "W059"]
    return f"of a fit without them, {at_chance[0]}" if at_chance else None


def _one_to_one(model: FittedModel, left: View, right: View, config: FitConfig) -> tuple[Rows, Rows] | str:
    """Rows of matched cells, or why none are to be matched."""
    choice = config.self_training
    shared = np.intersect1d(left.batch, right.batch)
    of_left, of_right = (
        np.flatnonzero(np.isin(side.batch, shared)) if len(shared) else np.arange(side.n_cells)
        for side in (left, right)
    )
    left, right = left.take(of_left), right.take(of_right)
    within = (left.batch, right.batch) if len(shared) else None
    posterior = match_posterior(
        model.similarity(left, right),
        within=within,
        k=config.matching.n_candidates,
        prior_unmatched=choice.prior_unmatched,
    )
    smaller = min(left.n_cells, right.n_cells)
    expected = float((1.0 - posterior.p_unmatched).sum()) / smaller
    if expected < choice.min_matched:
        return (
            f"{expected:.0%} of {smaller:,} cells of the smaller side seem to have a partner among {left.modality} and "
            f"{right.modality}, {choice.min_matched:.0%} are needed: the sides hold other kinds of cells."
        )
    answer = apply_rule(posterior, "one-to-one")
    rows = np.flatnonzero(answer.p_unmatched == 0)
    return of_left[rows], of_right[answer.probabilities.indices[answer.probabilities.indptr[rows]]]


def with_matches(joined: Cells, sides: Mapping[Modality, View], found: Matches) -> tuple[Cells, Names]:
    """All cells, those that were matched under one name; and these names.

    Args:
        joined: cells whose last ones in each modality are those of `sides`.
        sides: unlabelled cells, by modality.
        found: their matches.
    """
    new = {m: view.cells.astype(object) for m, view in joined.views.items()}
    start = {m: joined.views[m].n_cells - side.n_cells for m, side in sides.items()}
    name = np.array([f"matched/{number}" for number in range(sides[found.hub].n_cells)], dtype=object)
    for other, (rows, partners) in found.rows.items():
        new[found.hub][start[found.hub] + rows] = name[rows]
        new[other][start[other] + partners] = name[rows]
    views = {m: replace(view, cells=new[m].astype(str)) for m, view in joined.views.items()}
    partnered = [rows for rows, _ in found.rows.values()]
    chosen = np.unique(np.concatenate(partnered)) if partnered else np.empty(0, dtype=np.intp)
    return Cells(views), name[chosen].astype(str)


def _behind(view: View, n_cells: int) -> View:
    """The cells of a view behind the first ones."""
    return view.take(np.arange(n_cells, view.n_cells))
