"""Views in which not all was measured, completed by a joint Gaussian of all of them; knows arrays alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Shaped
from numpy.typing import NDArray

from unisono.config import CompletionConfig
from unisono.types import MeasuredFeatures, Modality

_SMALLEST = 1e-12

Codes = Mapping[Modality, Float[np.ndarray, "cell _"]]
Has = Mapping[Modality, Bool[np.ndarray, " cell"]]


@dataclass(frozen=True, eq=False)
class PartView:
    """A view whose features were not all measured in all of its cells; one row for every training cell.

    Attributes:
        values: cell x feature, about the mean of the cell's batch; 0 where not measured.
        measured: which features were measured in which cells; none in a cell without the modality.
        to_codes: feature x code.
    """

    values: Float[np.ndarray, "cell feature"]
    measured: MeasuredFeatures
    to_codes: Float[np.ndarray, "feature code"]


@dataclass(frozen=True, eq=False)
class Incomplete:
    """The modalities of which not all was measured, and how they are completed.

    Attributes:
        parts: by modality; none where all was measured.
        config: noise and passes.
    """

    parts: Mapping[Modality, PartView]
    config: CompletionConfig


@dataclass(frozen=True, eq=False)
class JointGaussian:
    """The covariance of all columns of all views, and what it says of those of a cell that were not measured.

    Attributes:
        covariance: column x column.
        noise: of each column that is read, variance beyond `covariance`: the penalty of the regressions.
    """

    covariance: Float64[np.ndarray, "column column"]
    noise: Float64[np.ndarray, " column"]

    @classmethod
    def fit(
        cls,
        values: Float64[np.ndarray, "cell column"],
        known: MeasuredFeatures,
        views: Sequence[slice],
        config: CompletionConfig,
    ) -> JointGaussian:
        """Maximum likelihood, by expectation maximisation, with some noise in what is read.

        Args:
            values: about their mean; 0 where not known.
            known: which columns are known in which cells.
            views: the columns of each view.
            config: noise and passes.

        References:
            Little & Rubin, "Statistical analysis with missing data", 2002, section 8.2.
        """
        groups = [(is_known, values[np.ix_(cells, is_known)], len(cells)) for is_known, cells in known.groups()]
        moments = [(is_known, part.T @ part, n_cells) for is_known, part, n_cells in groups]
        found = cls._of(np.diag((values**2).sum(axis=0) / np.maximum(known.n_cells, 1.0)), views, config)
        for _ in range(config.passes):
            total = np.zeros_like(found.covariance)
            for is_known, moment, n_cells in moments:
                both = np.ix_(is_known, is_known)
                total[both] += moment
                if not is_known.all():
                    gain, spread = found.of_unknown(is_known)
                    cross = gain @ moment
                    total[np.ix_(~is_known, is_known)] += cross
                    total[np.ix_(is_known, ~is_known)] += cross.T
                    total[np.ix_(~is_known, ~is_known)] += cross @ gain.T + n_cells * spread
            found = cls._of(total / len(values), views, config)
        return found

    @classmethod
    def _of(cls, covariance: NDArray[np.float64], views: Sequence[slice], config: CompletionConfig) -> JointGaussian:
        """With noise in units of each view's mean variance."""
        variance, noise = np.diag(covariance), np.empty(len(covariance))
        for view in views:
            noise[view] = config.noise * max(float(variance[view].mean()), _SMALLEST)
        return cls(covariance, noise)

    def directions(self, rank: int) -> Float32[np.ndarray, "column rank"]:
        """Leading eigenvectors of the covariance; the largest entry of each is positive."""
        vectors = np.linalg.eigh(self.covariance)[1][:, ::-1][:, :rank]
        signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(rank)])
        return np.ascontiguousarray(vectors * signs, dtype=np.float32)

    def of_unknown(self, is_known: Bool[np.ndarray, " column"]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """From known columns to the expectation of the others, unknown x known; and their covariance about it."""
        read = self.covariance[np.ix_(is_known, is_known)] + np.diag(self.noise[is_known])
        cross = self.covariance[np.ix_(~is_known, is_known)]
        gain = np.linalg.solve(read, cross.T).T
        return gain, self.covariance[np.ix_(~is_known, ~is_known)] - gain @ cross.T


@dataclass(frozen=True, eq=False)
class Completed:
    """Codes of cells as if all features had been measured.

    Attributes:
        codes: their expectation, given all that was measured of the cell in any modality.
        spread: by modality, the mean over its cells of the covariance about that expectation, code x code; absent where
            all was measured.
    """

    codes: Codes
    spread: Mapping[Modality, Float64[np.ndarray, "code code"]]

    def covariance(self, modality: Modality, has: Has) -> Float64[np.ndarray, "code code"]:
        """Of a modality over the cells that have it, its spread included."""
        x, rows = self.codes[modality], has[modality]
        found = cross_covariance(x, x, rows)
        if modality in self.spread:
            own = slice(0, len(self.spread[modality]))
            found[own, own] += self.spread[modality]
        return found


def completed(codes: Codes, has: Has, incomplete: Incomplete | None) -> Completed:
    """Codes of all cells, of modalities of which not all was measured completed by what the others say.

    The completion of a view by itself, see `Completion`, is far too small where few cells measured a feature: a
    regression on such codes learns from all the cells in which the feature hardly moves. By the joint Gaussian it
    moves as the other modalities say, and the regression is that of the cells that measured it.

    Args:
        codes: modality → cell x code, centred; any values where the cell lacks the modality.
        has: modality → whether each cell has it.
        incomplete: the modalities of which not all was measured; None for none.
    """
    if incomplete is None or not incomplete.parts:
        return Completed(codes, {})
    parts, config = incomplete.parts, incomplete.config
    cells = np.flatnonzero(np.any(list(has.values()), axis=0))
    columns = {m: (parts[m].values if m in parts else codes[m])[cells].astype(np.float64) for m in codes}
    measured = {m: parts[m].measured if m in parts else _whole_or_none(has[m], codes[m].shape[1]) for m in codes}
    known = _joined([measured[m].take(cells) for m in codes])
    ends = np.cumsum([0, *(part.shape[1] for part in columns.values())])
    views = {m: slice(start, end) for m, start, end in zip(codes, ends[:-1], ends[1:], strict=True)}
    values = np.hstack(list(columns.values())) * known.rows[known.row_of]
    joint = JointGaussian.fit(values, known, list(views.values()), config)
    result, spreads = {m: np.array(codes[m], dtype=np.float64) for m in codes}, {}
    for m, part in parts.items():
        n_codes = part.to_codes.shape[1]
        spread = np.zeros((n_codes, n_codes))
        for is_known, rows in known.groups():
            own = rows[has[m][cells[rows]]]
            if len(own) and not is_known[views[m]].all():
                x, about = _expected(joint, values[own], is_known, views[m], part.to_codes)
                result[m][cells[own], :n_codes] = x
                spread += len(own) * about
        spreads[m] = spread / max(int(has[m].sum()), 1)
    return Completed(result, spreads)


def _expected(
    joint: JointGaussian,
    values: Float64[np.ndarray, "cell column"],
    is_known: Bool[np.ndarray, " column"],
    view: slice,
    to_codes: Float[np.ndarray, "feature code"],
) -> tuple[Float64[np.ndarray, "cell code"], Float64[np.ndarray, "code code"]]:
    """Codes of one view of cells of which the same columns are known, and the covariance about them."""
    gain, about = joint.of_unknown(is_known)
    whole = values.copy()
    whole[:, ~is_known] = values[:, is_known] @ gain.T
    is_of_view = np.zeros_like(is_known)
    is_of_view[view] = True
    own, lacking = is_of_view[~is_known], to_codes[~is_known[view]]
    return whole[:, view] @ to_codes, lacking.T @ about[np.ix_(own, own)] @ lacking


def _whole_or_none(has: Bool[np.ndarray, " cell"], n_codes: int) -> MeasuredFeatures:
    """All codes in the cells that have the modality, none in the others."""
    rows = np.repeat(np.array([[False], [True]]), n_codes, axis=1)
    return MeasuredFeatures(rows, has.astype(np.intp))


def _joined(parts: Sequence[MeasuredFeatures]) -> MeasuredFeatures:
    """The columns of all parts, side by side."""
    pairs, row_of = np.unique(np.column_stack([part.row_of for part in parts]), axis=0, return_inverse=True)
    rows = [np.hstack([part.rows[n] for part, n in zip(parts, pair, strict=True)]) for pair in pairs]
    return MeasuredFeatures(np.stack(rows), np.asarray(row_of).ravel())


def cross_covariance(
    left: NDArray[np.floating], right: NDArray[np.floating], rows: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Of centred codes over some cells, left code x right code."""
    return np.asarray(left[rows].T @ right[rows] / max(int(rows.sum()), 1), dtype=np.float64)


def centred_by_batch(
    values: NDArray[np.floating], batch: Shaped[np.ndarray, " cell"], measured: MeasuredFeatures
) -> Float64[np.ndarray, "cell feature"]:
    """Values less the mean of their batch; 0 where a batch did not measure them."""
    found = values.astype(np.float64)
    for name in np.unique(batch):
        rows = batch == name
        found[rows] -= found[rows].mean(axis=0)
    return np.asarray(found * measured.rows[measured.row_of])
