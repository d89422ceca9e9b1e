"""Which coding each modality has: one by whose codes the linear path names held-out partners best; no networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.matching import partner_losses
from unisono.modalities import in_order, spec_of, with_codings
from unisono.preprocessing.linear_path import fit_linear_path
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.types import Cells, Modality


@dataclass(frozen=True, eq=False)
class _CodesOfFold:
    """Codes of one modality under one coding.

    Attributes:
        learned: of the cells that the codes were fitted to, in their order, 0 where one lacks the modality.
        has: whether each of them has it.
        held_out: of the cells that were held out.
    """

    learned: Float32[np.ndarray, "cell code"]
    has: Bool[np.ndarray, " cell"]
    held_out: Float32[np.ndarray, "held_out code"]


def with_chosen_codings(config: FitConfig, training: Cells, validation: Cells | None) -> FitConfig:
    """The config with one coding for each modality of the training cells.

    Modalities with several codings to choose from are chosen one after the other, the others as chosen so far or at
    their first coding. The validation cells choose; where they are too few, folds of the training cells do.

    Args:
        config: of the fit.
        training: cells that codes are fitted to.
        validation: cells kept apart; None for none.
    """
    chosen = {m: spec_of(m).coding_names(config)[0] for m in in_order(training.modalities)}
    several = [m for m in chosen if len(spec_of(m).coding_names(config)) > 1]
    folds = list(_folds(config, training, validation)) if several else []
    known: dict[tuple[int, Modality, str], _CodesOfFold] = {}

    def losses(codings: Mapping[Modality, str]) -> NDArray[np.float64]:
        found = []
        for number, (learning, held_out) in enumerate(folds):
            for m, coding in codings.items():
                if (number, m, coding) not in known:
                    known[number, m, coding] = _codes(learning, held_out, m, coding, config)
            found.append(_losses({m: known[number, m, coding] for m, coding in codings.items()}, held_out, config))
        return np.concatenate(found)

    for m in several if folds else ():
        names = spec_of(m).coding_names(config)
        chosen[m] = names[
            first_of_the_best([losses({**chosen, m: name}) for name in names], config.validation.coding_margin)
        ]
    return with_codings(config, {m: (coding,) for m, coding in chosen.items()})


def first_of_the_best(losses: Sequence[NDArray[np.float64]], margin: float) -> int:
    """The first whose mean loss is at most so many standard errors above the least, by the paired differences of cells.

    Those that come first are to be preferred, and chance is not to decide against them.

    References:
        Breiman, Friedman, Olshen & Stone, "Classification and regression trees", 1984 (the one-standard-error rule).
    """
    if not len(losses[0]):
        return 0
    best = min(losses, key=np.mean)
    gaps = [each - best for each in losses]
    return next(n for n, gap in enumerate(gaps) if gap.mean() <= margin * gap.std() / np.sqrt(len(gap)))


def _folds(config: FitConfig, training: Cells, validation: Cells | None) -> Iterator[tuple[Cells, Cells]]:
    """Cells to learn from and cells held out: training and validation cells, or folds of the former; none of too few.

    As many folds as hold out enough cells, at most all. Cells of a single modality are always learned from.
    """
    choice, rng = config.validation, np.random.default_rng([config.seed, 47])
    training = training.take(np.sort(rng.permutation(len(training.names))[: choice.n_coding_cells]))
    if validation is not None and len(validation.names) >= choice.min_coding_cells:
        yield training, validation
        return
    n_views = np.sum([rows >= 0 for rows in training.rows.values()], axis=0)
    fold = np.full(len(n_views), -1)
    paired = np.flatnonzero(n_views > 1)
    per_fold = len(paired) // choice.n_coding_folds
    if per_fold < config.kernel.min_pairs:
        return
    fold[paired] = rng.permutation(len(paired)) % choice.n_coding_folds
    for number in range(min(choice.n_coding_folds, -(-choice.min_coding_cells // per_fold))):
        learning, held_out = (training.take(np.flatnonzero(rows)) for rows in (fold != number, fold == number))
        if min(view.n_cells for view in learning.views.values()) >= config.kernel.min_pairs:
            yield learning, held_out


def _codes(learning: Cells, held_out: Cells, modality: Modality, coding: str, config: FitConfig) -> _CodesOfFold:
    preprocessor = Preprocessor.fit(learning.views[modality], with_codings(config, {modality: (coding,)}))
    rows = learning.rows[modality]
    x = preprocessor.transform(learning.views[modality]).x
    return _CodesOfFold(
        learned=np.where(rows[:, None] >= 0, x[rows], np.float32(0.0)),
        has=rows >= 0,
        held_out=preprocessor.transform(held_out.views[modality]).x,
    )


def _losses(codes: Mapping[Modality, _CodesOfFold], held_out: Cells, config: FitConfig) -> NDArray[np.float64]:
    """How well the linear path names partners, of the cells of each pair of modalities; see `partner_losses`."""
    shape, rng = config.architecture, np.random.default_rng([config.seed, 53])
    learned: dict[Modality, NDArray[np.float64]] = {m: each.learned.astype(np.float64) for m, each in codes.items()}
    one_division = config.linear_path.model_copy(update={"max_repeats": 1})
    has = {m: each.has for m, each in codes.items()}
    path = fit_linear_path(learned, has, shape.content_dim, one_division, rng)
    vectors = {m: path.vectors(m, each.held_out, shape.max_correlation, shape.bias_norm) for m, each in codes.items()}
    found = [np.zeros(0)]
    for a, b in combinations(codes, 2):
        rows_a, rows_b = (rows[: config.validation.n_pairs_of_linear_weight] for rows in held_out.paired(a, b))
        if len(rows_a) >= config.kernel.min_pairs:
            within = held_out.views[a].batch[rows_a]
            found.append(partner_losses(vectors[a][rows_a] @ vectors[b][rows_b].T, within))
    return np.concatenate(found)
