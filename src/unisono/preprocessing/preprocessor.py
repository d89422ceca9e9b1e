"""Preprocessor: from raw counts of one modality to standardised codes; fitted once, the same for any query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float32, Float64, Shaped
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.limits import NOT_NEGATIVE, OwnAxes
from unisono.preprocessing.align import Alignment
from unisono.preprocessing.composition import bic_penalty
from unisono.preprocessing.gains import CellFactors, Gains
from unisono.preprocessing.kernel_ridge import KernelRidge
from unisono.preprocessing.projection import Counts, Projection
from unisono.preprocessing.standardisation import Standardisation
from unisono.preprocessing.unmeasured_in_query import with_unmeasured
from unisono.types import Modality, View

_PER_CELL = ("cells", "x", "offset", "factor", "depth", "relative_depth", "log_depth", "shift", "batch")


@dataclass(frozen=True, eq=False)
class StandardisedCodes:
    """A view as input of the networks.

    Attributes:
        modality: of the view.
        cells: name of each cell.
        x: cell x code, scaled, free of the batch's offset, and times the batch's factor.
        offset: cell x code, the offset that was taken out.
        factor: cell x code, by which deviations were multiplied.
        depth: standardised log depth.
        relative_depth: log depth about the mean of the cell's batch.
        log_depth: log(1 + total counts).
        shift: how unlike training the cell's batch was measured, 0 for a batch of training; see `Preprocessor.shift`.
        batch: technical batch of each cell.
        alignment: how the view's features correspond to the model's.
    """

    modality: Modality
    cells: Shaped[np.ndarray, " cell"]
    x: Float32[np.ndarray, "cell code"]
    offset: Float32[np.ndarray, "cell code"]
    factor: Float32[np.ndarray, "cell code"]
    depth: Float32[np.ndarray, " cell"]
    relative_depth: Float32[np.ndarray, " cell"]
    log_depth: Float64[np.ndarray, " cell"]
    shift: Float32[np.ndarray, " cell"]
    batch: Shaped[np.ndarray, " cell"]
    alignment: Alignment

    @property
    def scaled(self) -> Float32[np.ndarray, "cell code"]:
        """Scaled codes with the batch's offset still in them, deviations as in training."""
        return np.asarray(self.x + self.offset, dtype=np.float32)

    @staticmethod
    def joined(parts: Sequence[StandardisedCodes]) -> StandardisedCodes:
        """The codes of consecutive cells as one."""
        if len(parts) == 1:
            return parts[0]
        joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _PER_CELL}
        return replace(parts[0], **joined)

    def take(self, rows: NDArray[np.intp]) -> StandardisedCodes:
        """The same codes of some of the cells."""
        parts = {name: getattr(self, name)[rows] for name in _PER_CELL}
        return replace(self, **parts)


@dataclass(frozen=True, eq=False)
class Preprocessor:
    """From counts to codes and from codes to standardised codes, both fitted to training cells and frozen.

    Attributes:
        projection: from counts to codes.
        standardisation: statistics of the codes.
        guide: an earlier model, whose codes follow those of the projection; None without one.
    """

    projection: Projection
    standardisation: Standardisation
    guide: Annotated[Guide | None, OwnAxes()] = None

    @classmethod
    def fit(cls, view: View, config: FitConfig, gains: Gains | None = None, guide: Guide | None = None) -> Preprocessor:
        """Fit to training cells, whose batches may have gains, and of which an earlier model may have something to say.

        Raises:
            BadInput: E046, fewer than two features with counts, or than three cells.
        """
        projection = Projection.fit(view, config, gains)
        counts = projection.counts(view)
        codes, choice = projection.codes(counts), config.preprocessing
        if guide is not None:
            guide = guide.scaled_to(float(codes.var(axis=0, dtype=np.float64).sum()), view)
            codes = np.hstack([codes, guide.codes(view)])
        powers = (0.0,) if projection.gains is not None else choice.scale_powers
        fitted = Standardisation.fit(codes, counts.batch, counts.log_depth, choice.batch_prior_cells, powers)
        return cls(projection, fitted, guide)

    def codes(self, counts: Counts) -> Float32[np.ndarray, "cell code"]:
        """Codes of the projection, then those of the guide."""
        codes = self.projection.codes(counts)
        return codes if counts.guided is None else np.hstack([codes, counts.guided])

    @property
    def modality(self) -> Modality:
        return self.projection.modality

    @property
    def signal(self) -> NDArray[np.float64]:
        """Fraction of the variance of the training codes that each feature carries, one per feature, adding up to 1."""
        scale = self.standardisation.scale[: self.projection.n_codes]
        variance = (scale**2 / scale.max()) ** 2
        carried = self.projection.basis.astype(np.float64) ** 2 @ variance
        signal = np.zeros(len(self.projection.features))
        signal[self.projection.selected] = carried / carried.sum()
        return signal

    def transform(self, view: View) -> StandardisedCodes:
        """The standardised codes of a view; nothing is refitted.

        Raises:
            ValueError: the view is of another modality or shares no feature with the model.
        """
        return self.transform_counts(self.counts(view))

    def counts(self, view: View) -> Counts:
        """A view's counts over the projection's features, with the gains of its batches.

        Raises:
            ValueError: see `Projection.counts`.
            BadInput: see `Projection.counts`.
        """
        counts, gains = self.projection.counts(view), self.projection.gains
        if self.guide is not None:
            counts = replace(counts, guided=self.guide.codes(view))
        if gains is None or not len(gains.means):
            return counts
        new = {
            str(name): self.new_gains(counts.take(np.flatnonzero(counts.batch == name)))
            for name in np.setdiff1d(counts.batch, gains.batches)
        }
        return replace(counts, factors=gains.of_batches(counts.batch, new))

    def mean_gains(self, view: View) -> NDArray[np.float32] | None:
        """How steeply each feature answers in a view, mean over its batches; None without gains."""
        factors = self.counts(view).factors
        if factors is None:
            return None
        gains: NDArray[np.float32] = np.exp(np.log(self.projection.over_all_features(factors.rows)).mean(axis=0))
        return gains

    def with_batches(self, counts: Counts) -> Preprocessor:
        """The same with the batches added that are new, their offsets, factors and gains estimated from these cells."""
        scaled = self.standardisation.scaled(self.codes(counts))
        shift = self.shift(counts, self.standardisation.of_cells(scaled, counts.batch)[0])
        standardisation = self.standardisation.with_batches(scaled, counts.batch, counts.log_depth, shift)
        gains, projection = self.projection.gains, self.projection
        if gains is not None and counts.factors is not None:
            names = [str(name) for name in np.unique(counts.batch)]
            projection = replace(projection, gains=gains.with_batches(names, counts.factors, counts.batch))
        return replace(self, projection=projection, standardisation=standardisation)

    def knowing(self, view: View) -> Preprocessor:
        """The same, to which every batch of a view is known, as is what it did not measure.

        Cells of these batches are then read alike, whichever others they come with.
        """
        guide = None if self.guide is None else self.guide.knowing(view)
        known = replace(self, guide=guide, projection=with_unmeasured(self.projection, view))
        return known.with_batches(known.counts(view))

    def new_gains(self, counts: Counts) -> Float64[np.ndarray, " feature"]:
        """Factors of the values of a new batch, or 1 for all: what suits its composition, as `CodeClusters.place`."""
        gains, clusters = self.projection.gains, self.standardisation.clusters
        assert gains is not None
        assert clusters is not None
        counts = counts.take(clusters.some(counts.n_cells))
        values = self.projection.values(replace(counts, factors=None))
        is_measured = counts.measured.rows[counts.measured.row_of[0]][self.projection.selected]
        basis = self.projection.basis.astype(np.float64)
        candidates = [np.ones(len(basis))]
        scaled, offset = self._scaled_and_mean(counts, candidates[0])
        for share in clusters.shares:
            fractions = clusters.fractions(scaled - share * offset)
            candidates.append(gains.of_mixture(values, fractions, is_measured))

        def log_likelihood(factors: NDArray[np.float64]) -> float:
            scaled, mean = self._scaled_and_mean(counts, factors)
            density = float(np.linalg.slogdet(basis.T @ (factors[:, None] * basis))[1])
            found = max(clusters.log_likelihood(scaled - share * mean) for share in clusters.shares)
            return density + found - bic_penalty(int((factors != 1.0).sum()), counts.n_cells)

        return max(candidates, key=log_likelihood)

    def _scaled_and_mean(
        self, counts: Counts, factors: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scaled codes of a batch with these gains, and their shrunken mean."""
        same = CellFactors(factors.astype(np.float32)[None], np.zeros(counts.n_cells, dtype=np.intp))
        scaled = self.standardisation.scaled(self.codes(replace(counts, factors=same))).astype(np.float64)
        return scaled, self.standardisation.shrunken_mean(scaled).astype(np.float64)

    def offset_shares(self, view: View, batches: Iterable[str]) -> dict[str, float]:
        """For each of some batches of a view, how much of its mean is taken for its offset."""
        codes = self.standardisation.scaled(self.codes(self.counts(view)))
        return {str(name): self.standardisation.place(codes[view.batch == name]).share for name in batches}

    def transform_counts(self, counts: Counts) -> StandardisedCodes:
        """As `transform`, from counts over the selected features."""
        scaled = self.standardisation.scaled(self.codes(counts))
        offset, factor = self.standardisation.of_cells(scaled, counts.batch)
        log_depth = counts.log_depth
        return StandardisedCodes(
            modality=self.modality,
            cells=counts.cells,
            x=(scaled - offset) * factor,
            offset=offset,
            factor=factor,
            depth=self.standardisation.scaled_depth(log_depth),
            relative_depth=self.standardisation.relative_depth(log_depth, counts.batch),
            log_depth=log_depth,
            shift=self.shift(counts, offset),
            batch=counts.batch,
            alignment=counts.alignment,
        )

    def shift(self, counts: Counts, offset: Float32[np.ndarray, "cell code"]) -> Float32[np.ndarray, " cell"]:
        """How unlike training the batch of each cell was measured; of a batch that is known, what is stored.

        Of a new one it is, from the batch of training that it is closest to, the sum of

        - the root mean square difference of their offsets, in units of scaled codes,
        - the mean of the absolute log ratio of their gains,

        and of the share of the modality's counts that it lacks features for, beyond what batches of training lack. New
        batches of the laboratories that were learned from lie between 0 and 0.3 in the sum over two modalities, those
        of other laboratories, panels or technologies at 0.6 to 2.7.
        """
        shift = np.empty(counts.n_cells, dtype=np.float32)
        known = self.standardisation.batches
        for name in np.unique(counts.batch):
            cells = np.flatnonzero(counts.batch == name)
            place = np.flatnonzero(known == name)
            if len(place):
                shift[cells] = self.standardisation.shifts[place[0]]
                continue
            lacking = max(self.projection.mean_share - float(counts.share[cells[0]]), 0.0)
            apart = np.sqrt(np.square(self.standardisation.offsets - offset[cells[0]]).mean(axis=1))
            if counts.factors is not None and self.projection.gains is not None:
                own = counts.factors.rows[counts.factors.row_of[cells[0]]]
                stored = self.projection.gains.of_batches(known, {})
                apart = apart + np.abs(np.log(stored.rows / own)).mean(axis=1)[stored.row_of]
            shift[cells] = apart[self.standardisation.shifts == 0].min() + lacking
        return shift

    def with_aliases(self, aliases: Mapping[str, str]) -> Preprocessor:
        """The same preprocessor, which also knows its features by other names: name in a query → its own name."""
        known = self.projection.known
        known = replace(known, aliases={**known.aliases, **aliases})
        return replace(self, projection=replace(self.projection, known=known))


@dataclass(frozen=True, eq=False)
class Guide:
    """What an earlier model says of a cell, as codes next to those of a new one: content, and predicted codes.

    Content is that of the earlier model's linear path, a vector of unit length; its kernel ridges predict the codes of
    the other modalities. Everything is of the earlier model's features; cells need to share some with it. To the
    earlier model, every batch is a new one, whatever it is called.

    Attributes:
        preprocessor: of the earlier model.
        content: code x content, weighted as contents are compared.
        constant: appended to content before its length becomes 1.
        kernels: by other modality, what predicts its codes.
        weight: of each part, in units of the new model's own codes.
        scale: of each part, content first.
    """

    preprocessor: Preprocessor
    content: Float32[np.ndarray, "code content"]
    constant: float
    kernels: Mapping[Modality, KernelRidge]
    weight: Annotated[float, NOT_NEGATIVE] = 1.0
    scale: Annotated[tuple[float, ...], NOT_NEGATIVE] = ()

    def codes(self, view: View) -> Float32[np.ndarray, "cell guided"]:
        """The parts of each cell, each times its scale."""
        parts = self._parts(view)
        return np.hstack([part * np.float32(scale) for part, scale in zip(parts, self.scale, strict=True)])

    def scaled_to(self, variance: float, view: View) -> Guide:
        """The same guide, each of whose parts has this variance times `weight`², summed over codes, in these cells."""
        own = [float(part.var(axis=0, dtype=np.float64).sum()) for part in self._parts(view)]
        return replace(self, scale=tuple(self.weight * float(np.sqrt(variance / max(each, 1e-12))) for each in own))

    def knowing(self, view: View) -> Guide:
        """The same, to whose earlier model every batch of a view is known."""
        return replace(self, preprocessor=self.preprocessor.knowing(_of_new_batches(view)))

    def _parts(self, view: View) -> list[NDArray[np.float32]]:
        x = self.preprocessor.transform(_of_new_batches(view)).x
        content = np.column_stack([x @ self.content, np.full(len(x), self.constant, dtype=np.float32)])
        content /= np.linalg.norm(content, axis=1, keepdims=True)
        return [content[:, :-1], *(kernel.predict(x) for kernel in self.kernels.values())]


def _of_new_batches(view: View) -> View:
    """The view with each batch under a name that no batch of training has."""
    unmeasured = {f"new {name}": mask for name, mask in view.unmeasured.items()}
    return replace(view, batch=np.array([f"new {name}" for name in view.batch], dtype=str), unmeasured=unmeasured)
