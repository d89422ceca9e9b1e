"""Features that a batch did not measure: told from counts that are 0 where chance would hardly leave them so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammainc

from unisono.limits import NOT_NEGATIVE, Float64
from unisono.preprocessing.subset import evenly_spread
from unisono.preprocessing.svd import truncated_svd

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

MAX_CHANCE = 1e-3
"""Chance, over all features of a batch, that one which was measured is taken for one that certainly was not."""

_MIN_POSTERIOR = 0.5
"""Once some are certain, a feature is taken as not measured where that is the likelier explanation: then the errors
of both kinds balance, and with them the levels of features too rare to be told one by one."""

_MIN_VARIANCE = 0.02
"""Of the multiplier by which rates differ between batches: its standard deviation is at least 14 %."""

_MAX_VARIANCE = 2.0
_USUAL_VARIANCE, _PRIOR_EXPECTED = 0.3, 20.0
"""The variance where no feature is in both, as of disjoint panels; else it weighs as much as so many expected cells."""

_MIN_EXPECTED = 5.0
_MAX_RATE = 0.5
_LEVELS = (0.1, 0.01, 1e-3, 1e-4)
_SLACK = 4.0
_MAX_TAIL = 1e-6
_ITERATIONS = 100
_MAX_FRACTION = 1.0 - 1e-6
_SMALLEST = 1e-12
_N_CODES = 10
_N_NEAREST = 5
_MAX_CELLS = 2000
_PRIOR_CELLS = 1.0
_MIN_SHARED = 0.8


@dataclass(frozen=True, eq=False)
class Reference:
    """What is known of features from cells elsewhere.

    Attributes:
        n_seen: of those cells in which each feature was measured, the ones that have a count of it.
        n_cells: those cells, one number for each feature.
    """

    n_seen: Annotated[Float64[np.ndarray, " feature"], NOT_NEGATIVE]
    n_cells: Annotated[Float64[np.ndarray, " feature"], NOT_NEGATIVE]

    @property
    def rate(self) -> Floats:
        return np.asarray(self.n_seen / np.maximum(self.n_cells, 1.0))


def unmeasured_by_batch(counts: sparse.csr_matrix, batch: NDArray[np.str_]) -> dict[str, Mask]:
    """Batch → mask over features that it did not measure, of the batches that lack some.

    A feature is a candidate where all cells of the batch have 0 and some cell of another batch has a count. First each
    batch is looked at alone; batches that lack the same features are then looked at together, since many peaks are too
    rare to be told from one batch.
    """
    names, index = np.unique(batch, return_inverse=True)
    if len(names) < 2:
        return {}
    n_seen, n_cells = _seen_by_batch(counts, index, len(names)), np.bincount(index).astype(np.float64)
    is_clear = _is_clear(n_seen, n_cells)
    found = is_clear  # rates are first over the batches that saw a feature, then over those that measured it
    for _ in range(2):
        lacking = found & is_clear
        found = np.stack([_of_group(counts, index, n_seen, n_cells, lacking, [b]) for b in range(len(names))])
    joined, lacking = found.copy(), found & is_clear
    for group in _alike(lacking if lacking.any() else found, n_seen):
        if len(group) > 1:
            joined[group] = _of_group(counts, index, n_seen, n_cells, lacking, group)
    return {str(name): mask for name, mask in zip(names, joined, strict=True) if mask.any()}


def _is_clear(n_seen: Floats, n_cells: Floats) -> Mask:
    """Batch x feature that is 0 although the batches that saw the feature make 5 cells or more expected.

    Rates of rarer features are over all batches: over those that saw it they would be too high, by selection.
    """
    rate = n_seen.sum(axis=0) / np.maximum(n_cells @ (n_seen > 0), 1.0)
    return np.asarray((n_seen == 0) & (n_cells[:, None] * rate >= _MIN_EXPECTED))


def _seen_by_batch(counts: sparse.csr_matrix, index: NDArray[np.intp], n_batches: int) -> Floats:
    n_features, is_seen = counts.shape[1], counts.data > 0
    batch = np.repeat(index, np.diff(counts.indptr))[is_seen]
    flat = np.bincount(batch * n_features + counts.indices[is_seen], minlength=n_batches * n_features)
    return flat.reshape(n_batches, n_features).astype(np.float64)


def _of_group(
    counts: sparse.csr_matrix,
    index: NDArray[np.intp],
    n_seen: Floats,
    n_cells: Floats,
    lacking: Mask,
    group: list[int],
) -> Mask:
    """The features that a group of batches did not measure, judged by the other batches that measured them."""
    others = np.setdiff1d(np.arange(len(n_cells)), group)
    measured = ~lacking[others]
    reference = Reference((n_seen[others] * measured).sum(axis=0), n_cells[others] @ measured)
    seen, n = n_seen[group].sum(axis=0), float(n_cells[group].sum())
    if not may_lack(seen, n, reference):
        return np.zeros(counts.shape[1], dtype=bool)
    is_candidate = (seen == 0) & (reference.n_seen > 0)
    ratio = _matched_ratio(counts, np.isin(index, group), is_candidate, reference)
    return unmeasured(seen, n, reference, ratio)


def may_lack(n_seen: Floats, n_cells: float, reference: Reference) -> bool:
    """Whether more features are 0 than chance explains, if the cells were of the same kinds as those elsewhere."""
    return _are_too_many(_chance_of_zero(n_seen, n_cells, reference, np.ones(len(n_seen))), n_seen, reference)


def unmeasured(n_seen: Floats, n_cells: float, reference: Reference, ratio: Floats) -> Mask:
    """The features that these cells did not measure: 0 in all of them, and hardly so by chance.

    Where one or more are certain, the fraction π of features that were not measured is estimated from all that are 0,
    and each of them is judged by its posterior π / (π + (1 − π) P₀), with P₀ the chance of 0.

    Args:
        n_seen: of the cells, how many have a count of each feature.
        n_cells: how many cells there are.
        reference: the cells elsewhere.
        ratio: of each feature, how often cells of these kinds have it, relative to all cells elsewhere; at most 1.
    """
    chance = _chance_of_zero(n_seen, n_cells, reference, ratio)
    if not _are_too_many(chance, n_seen, reference):
        return np.zeros(len(n_seen), dtype=bool)
    is_zero, n_known = (n_seen == 0) & (reference.n_seen > 0), int((reference.n_seen > 0).sum())
    posterior, fraction = np.zeros(len(n_seen)), 0.5
    for _ in range(_ITERATIONS):
        posterior[is_zero] = fraction / (fraction + (1.0 - fraction) * chance[is_zero])
        fraction = min(float(posterior.sum()) / n_known, _MAX_FRACTION)
    return np.asarray(posterior > _MIN_POSTERIOR)


def _are_too_many(chance: Floats, n_seen: Floats, reference: Reference) -> bool:
    """Whether a single feature is hardly 0 by chance, or many are of which each might be.

    Of the features whose chance of 0 is below a level, as many are 0 as the sum of their chances, or on data where all
    were measured up to three times as many (cortex, marrow, PBMC, spleen; whole, 60 cells a batch, or one cell type).
    """
    is_known = reference.n_seen > 0
    chance, is_zero = chance[is_known], n_seen[is_known] == 0
    if (chance[is_zero] < MAX_CHANCE / max(len(chance), 1)).any():
        return True
    below = [chance < level for level in _LEVELS]
    return any(_tail(int(is_zero[b].sum()), _SLACK * float(chance[b].sum())) < _MAX_TAIL for b in below)


def _tail(n: int, mean: float) -> float:
    """Chance that a Poisson variable of this mean is n or more."""
    return float(gammainc(n, mean)) if n > 0 else 1.0


def _chance_of_zero(n_seen: Floats, n_cells: float, reference: Reference, ratio: Floats) -> Floats:
    """Chance that no cell has a count of a feature that was measured: (1 + v m)^(−1/v).

    m cells are expected to have one, times a gamma multiplier of mean 1 and variance v, by which rates differ between
    batches and by which that of the reference is uncertain (1 / its cells with a count).
    """
    expected, variance = _expected(n_seen, n_cells, reference)
    v = variance + 1.0 / np.maximum(reference.n_seen, 1.0)
    return np.asarray((1.0 + v * expected * ratio) ** (-1.0 / v))


def _expected(n_seen: Floats, n_cells: float, reference: Reference) -> tuple[Floats, float]:
    """Cells expected to have each feature, and the variance of the multiplier, both from the features seen in both."""
    expected = n_cells * reference.rate
    is_in_both = (n_seen > 0) & (reference.n_seen > 0)
    if not is_in_both.any():
        return expected, _USUAL_VARIANCE
    expected = expected * min(float(n_seen[is_in_both].sum() / expected[is_in_both].sum()), 1.0)
    used = is_in_both & (expected >= _MIN_EXPECTED)
    used = used & (reference.rate < _MAX_RATE) if (used & (reference.rate < _MAX_RATE)).any() else used
    m, x = expected[used], n_seen[used]
    by_chance = m * (1.0 - reference.rate[used]) + m**2 / np.maximum(reference.n_seen[used], 1.0)
    excess = float((((x - m) ** 2 - by_chance) / m).sum())
    variance = (excess + _USUAL_VARIANCE * _PRIOR_EXPECTED) / (float(m.sum()) + _PRIOR_EXPECTED)
    return expected, float(np.clip(variance, _MIN_VARIANCE, _MAX_VARIANCE))


def _matched_ratio(counts: sparse.csr_matrix, is_own: Mask, is_candidate: Mask, reference: Reference) -> Floats:
    """How often each feature is seen elsewhere in cells of the kinds that the own ones are, relative to all; ≤ 1.

    A gene of a cell type that the batch lacks is truly 0. Other cells are weighted so that their mean code, of the
    features that are no candidates, becomes that of the own cells (calibration weights, Deville & Särndal 1992); or by
    how many of the own cells they are nearest to. The lower of both rates counts.
    """
    own, others = (_spread(np.flatnonzero(mask)) for mask in (is_own, ~is_own))
    kept = np.flatnonzero(~is_candidate & (reference.n_seen > 0))
    rank = min(_N_CODES, len(kept) - 1, len(others) - 1)
    if rank < 1:
        return np.ones(len(is_candidate))
    values = _log_values(counts[others][:, kept]), _log_values(counts[own][:, kept])
    centre = np.asarray(values[0].mean(axis=0), dtype=np.float64).ravel()
    basis = truncated_svd(values[0], centre, rank, np.random.default_rng(0))
    code, own_code = (np.asarray(part @ basis, dtype=np.float64) - centre @ basis for part in values)
    seen, scale = counts[others] > 0, len(own) / len(others)
    plain = np.asarray(np.ones(len(others)) @ seen, dtype=np.float64)
    by_weights = (calibration_weights(code, own_code.mean(axis=0)), neighbour_weights(code, own_code))
    return np.asarray(np.min([pessimistic_ratio(np.asarray(w @ seen), plain, scale) for w in by_weights], axis=0))


def calibration_weights(codes: Floats, mean: Floats) -> Floats:
    """Weights of mean 1 of cells whose mean code is 0, under which it becomes `mean`; none is negative."""
    variance = np.mean(codes**2, axis=0)
    weight = np.maximum(1.0 + codes @ (mean / np.maximum(variance, _SMALLEST)), 0.0)
    return np.asarray(weight / max(float(weight.mean()), _SMALLEST))


def neighbour_weights(codes: Floats, others: Floats) -> Floats:
    """Weights of mean 1 of cells: how often each is among the nearest to one of the others."""
    squares = (codes**2).sum(axis=1) - 2.0 * others @ codes.T
    n_nearest = min(_N_NEAREST, len(codes))
    nearest = np.argpartition(squares, n_nearest - 1, axis=1)[:, :n_nearest]
    weight = np.bincount(nearest.ravel(), minlength=len(codes)).astype(np.float64)
    return np.asarray(weight / weight.mean())


def pessimistic_ratio(matched: Floats, plain: Floats, scale: float) -> Floats:
    """Cells seen with a feature under weights over those without, shrunk towards 1 where few are expected; ≤ 1."""
    return np.minimum((matched * scale + _PRIOR_CELLS) / (plain * scale + _PRIOR_CELLS), 1.0)


def _log_values(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    values = counts.astype(np.float32)
    total = np.asarray(values.sum(axis=1)).ravel()
    factor = np.divide(np.median(total), total, out=np.zeros_like(total), where=total > 0)
    values.data = np.log1p(values.data * np.repeat(factor, np.diff(values.indptr)))
    return values


def _spread(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return rows[evenly_spread(len(rows), _MAX_CELLS)]


def _alike(found: Mask, n_seen: Floats) -> Iterator[list[int]]:
    """Groups of batches that lack the same features."""
    left = [b for b in range(len(found)) if found[b].any()]
    weight = n_seen.sum(axis=0) ** 2
    while left:
        first = left[0]
        group = [b for b in left if _are_alike(found[[first, b]], n_seen[[first, b]], weight)]
        left = [b for b in left if b not in group]
        yield group


def _are_alike(found: Mask, n_seen: Floats, weight: Floats) -> bool:
    """Whether what was found in either of two batches is 0 in the other one too."""
    return min(_share_zero(found[i], n_seen[1 - i], weight) for i in (0, 1)) > _MIN_SHARED


def _share_zero(found: Mask, n_seen: Floats, weight: Floats) -> float:
    """Of the features found in one batch, how many are 0 in another one, the common ones above all."""
    return float(weight[found & (n_seen == 0)].sum() / weight[found].sum())
