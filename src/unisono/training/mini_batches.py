"""Training cells by modality, and mini-batches of them, freshly thinned; all draws come from the epoch's generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.modalities import spec_of
from unisono.nn.objective import Batch, MeasuredCells, ViewBatch
from unisono.preprocessing.composition import CodeClusters
from unisono.preprocessing.gains import Gains
from unisono.preprocessing.joint_gaussian import PartView, centred_by_batch
from unisono.preprocessing.preprocessor import Guide, Preprocessor, StandardisedCodes
from unisono.preprocessing.projection import Counts
from unisono.types import Cells, MeasuredFeatures, Modality


@dataclass(frozen=True, eq=False)
class TrainingView:
    """One modality of the training cells.

    Attributes:
        preprocessor: fitted to these cells.
        counts: of the cells that have the modality.
        codes: of the full counts, the same cells.
        rows: row in `counts` of every training cell, -1 where it lacks the modality.
        loo_shrinkage: fraction of each code that a cell owes to having been in the projection's fit.
    """

    preprocessor: Preprocessor
    counts: Counts
    codes: StandardisedCodes
    rows: NDArray[np.intp]
    loo_shrinkage: NDArray[np.float32]

    @classmethod
    def fit(cls, cells: Cells, modality: Modality, config: FitConfig, guide: Guide | None = None) -> TrainingView:
        """Fit the preprocessor of a modality to training cells, next to what an earlier model says of them.

        Raises:
            BadInput: E046, fewer than two features with counts, or than three cells.
        """
        view = cls._clustered(cells, modality, config, guide)
        if len(view.preprocessor.standardisation.batches) < 2:
            return view
        gains, codes = view.preprocessor.projection.gains, view.codes
        if gains is None:
            x = codes.x * (1.0 - view.loo_shrinkage)
            factored = view.preprocessor.standardisation.with_factors(x, codes.batch)
            return cls.of(replace(view.preprocessor, standardisation=factored), cells, config)._with_clusters(config)
        parts = [view.counts.take(np.flatnonzero(view.counts.batch == name)) for name in gains.batches]
        found = gains.for_training([view.preprocessor.new_gains(part) for part in parts])
        return cls._clustered(cells, modality, config, guide, found)

    @classmethod
    def _clustered(
        cls, cells: Cells, modality: Modality, config: FitConfig, guide: Guide | None, gains: Gains | None = None
    ) -> TrainingView:
        """The view by a preprocessor that is fitted to it under some gains, with its clusters."""
        fitted = Preprocessor.fit(cells.views[modality], config, gains, guide)
        return cls.of(fitted, cells, config)._with_clusters(config)

    def _with_clusters(self, config: FitConfig) -> TrainingView:
        """The same view, whose preprocessor knows where training cells lie."""
        projection, standardisation = self.preprocessor.projection, self.preprocessor.standardisation
        clusters = CodeClusters.fit(self.leave_one_out_codes, config.preprocessing, config.seed)
        if projection.gains is not None:
            values, of_selected = (
                projection.values(self.counts),
                self.counts.measured.take_features(projection.selected),
            )
            cluster = clusters.nearest(self.leave_one_out_codes)
            gains = projection.gains.with_clusters(values, self.counts.batch, cluster, of_selected)
            projection = replace(projection, gains=gains)
        standardisation = replace(standardisation, clusters=clusters)
        return replace(
            self, preprocessor=replace(self.preprocessor, projection=projection, standardisation=standardisation)
        )

    @classmethod
    def of(cls, preprocessor: Preprocessor, cells: Cells, config: FitConfig) -> TrainingView:
        """The view of cells by a preprocessor that was fitted before."""
        counts = preprocessor.counts(cells.views[preprocessor.modality])
        codes = preprocessor.transform_counts(counts)
        shrinkage = preprocessor.projection.loo_shrinkage(counts, config.preprocessing.max_loo_shrinkage)
        if counts.guided is not None:  # the earlier model was not fitted to these cells
            shrinkage = np.hstack([shrinkage, np.zeros_like(counts.guided[0])])
        return cls(preprocessor, counts, codes, cells.rows[preprocessor.modality], shrinkage)

    @classmethod
    def of_others(cls, preprocessor: Preprocessor, cells: Cells) -> TrainingView:
        """The view of cells that the preprocessor was not fitted to, whose codes owe nothing to them."""
        counts = preprocessor.counts(cells.views[preprocessor.modality])
        codes = preprocessor.transform_counts(counts)
        shrinkage = np.zeros(codes.x.shape[1], dtype=np.float32)
        return cls(preprocessor, counts, codes, cells.rows[preprocessor.modality], shrinkage)

    def take(self, cells: NDArray[np.intp]) -> TrainingView:
        """Of some of the training cells, in the order given."""
        rows = self.rows[cells]
        own = rows[rows >= 0]
        renumbered = np.where(rows >= 0, np.cumsum(rows >= 0) - 1, -1)
        return replace(self, counts=self.counts.take(own), codes=self.codes.take(own), rows=renumbered)

    @property
    def has(self) -> NDArray[np.bool_]:
        """Whether each training cell has the modality."""
        return self.rows >= 0

    def scatter(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Values of this view's cells in the order of all training cells, zero where one lacks the modality."""
        result = np.zeros((len(self.rows), *values.shape[1:]), dtype=np.float32)
        result[self.has] = values[self.rows[self.has]]
        return result

    @cached_property
    def leave_one_out_codes(self) -> NDArray[np.float32]:
        """Codes of the cells as the networks would read them if each had been left out of the projection's fit."""
        return np.asarray(self.codes.x * (1.0 - self.loo_shrinkage), dtype=np.float32)

    def part_view(self, max_features: int) -> PartView | None:
        """The values of all training cells; None where all features were measured, or there are more than so many."""
        projection, standardisation = self.preprocessor.projection, self.preprocessor.standardisation
        measured = self.counts.measured.take_features(projection.selected)
        if measured.is_complete or len(projection.selected) > max_features:
            return None
        values = centred_by_batch(projection.values(self.counts).toarray(), self.codes.batch, measured)
        rows = np.vstack([measured.rows, np.zeros_like(measured.rows[:1])])
        row_of = np.where(self.has, measured.row_of[self.rows], len(measured.rows))
        to_codes = projection.basis / standardisation.scale[: projection.n_codes]
        return PartView(self.scatter(values), MeasuredFeatures(rows, row_of), to_codes)

    @cached_property
    def code_weight(self) -> NDArray[np.float32]:
        """Weights under which squared errors of scaled codes add up to 1 for the mean of all cells; of guided ones 0.

        No feature is read off those. All are 0 where cells do not vary.
        """
        scale, n_own = self.preprocessor.standardisation.scale, self.preprocessor.projection.n_codes
        variance = (self.codes.scaled.astype(np.float64) ** 2).mean(axis=0)
        weight = np.where(np.arange(len(scale)) < n_own, scale**2, 0.0)
        total = (weight * variance).sum()
        does_vary = total > 1e-9 * weight.sum()
        return np.asarray(weight / total if does_vary else np.zeros_like(weight), dtype=np.float32)

    @cached_property
    def n_seen(self) -> NDArray[np.float32]:
        """Training cells in which each feature of a binary modality was seen, from its fitted mean."""
        projection, mean = self.preprocessor.projection, self.preprocessor.standardisation.mean
        fraction = projection.intercept + projection.loadings @ mean[: projection.n_codes]
        return np.asarray(self.counts.measured.n_cells * np.clip(fraction, 1e-4, 1.0), dtype=np.float32)


Views = Mapping[Modality, TrainingView]


def paired_rows(views: Views, a: Modality, b: Modality) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the training cells that have both modalities, in each of the two views."""
    both = views[a].has & views[b].has
    return views[a].rows[both], views[b].rows[both]


def log_size(preprocessor: Preprocessor, counts: Counts) -> NDArray[np.float32]:
    """What normalisation divided by, logged; log total within the batch for a modality whose values are log odds."""
    log_sizes = spec_of(preprocessor.modality).log_sizes(counts.selected, counts.total, counts.term_share)
    if log_sizes is None:
        return preprocessor.standardisation.relative_depth(counts.log_depth, counts.batch)
    return log_sizes


@dataclass(frozen=True, eq=False)
class Draw:
    """What an epoch draws before its first step.

    Attributes:
        cells: positions of its cells among the training cells.
        features: positions of the sampled ones among the selected features, by modality.
        columns: what was drawn for each of its cells, by modality; see `MiniBatches`.
        rng: goes on with the steps.
    """

    cells: NDArray[np.intp]
    features: Mapping[Modality, NDArray[np.intp]]
    columns: Mapping[Modality, Mapping[str, torch.Tensor]]
    rng: np.random.Generator


class MiniBatches:
    """Mini-batches of the training cells, epoch by epoch; what does not change between epochs is kept on the device."""

    def __init__(
        self,
        views: Mapping[Modality, TrainingView],
        technical: NDArray[np.intp],
        config: FitConfig,
        device: torch.device,
        *,
        code_weights: Mapping[Modality, NDArray[np.float32]] | None = None,
        n_steps: int | None = None,
    ) -> None:
        """Mini-batches of training cells.

        Args:
            views: of the cells.
            technical: number of the technical batch of each cell.
            config: of the fit.
            device: of the networks.
            code_weights: see `losses.code_error`; those of the views by default.
            n_steps: of an epoch; by default what the number of cells gives.
        """
        self._views = views
        self._code_weights = code_weights or {m: view.code_weight for m, view in views.items()}
        self._n_steps = n_steps
        self._technical = technical
        self._config = config
        self._device = device
        self._lasting = {m: self._lasting_columns(view) for m, view in views.items()}
        self._measured = {m: self._lasting_measured(view) for m, view in views.items()}

    @property
    def steps_per_epoch(self) -> int:
        """As many as the batch size gives; where cells are few `min_steps_per_epoch`, if each has enough cells."""
        config = self._config
        if self._n_steps is not None:
            return self._n_steps
        n_cells = min(len(self._technical), config.max_cells_per_epoch)
        at_least = min(config.min_steps_per_epoch, n_cells // config.min_cells_per_step)
        return max(-(-n_cells // config.batch_size), at_least)

    def epoch(self, number: int) -> Iterator[Batch]:
        """One pass over the cells: thinned anew, features sampled anew, each member in an order of its own.

        Of very many cells, over some that are drawn anew.
        """
        yield from self.steps(self.draw(number))

    def draw(self, number: int) -> Draw:
        """What an epoch draws before its first step."""
        rng = np.random.default_rng([self._config.seed, number])
        n_cells, at_most = len(self._technical), self._config.max_cells_per_epoch
        cells = np.arange(n_cells) if n_cells <= at_most else np.sort(rng.permutation(n_cells)[:at_most])
        views = self._views if n_cells <= at_most else {m: view.take(cells) for m, view in self._views.items()}
        features = {m: self._sampled_features(view, rng) for m, view in views.items()}
        columns = {m: self._drawn_columns(view, features[m], rng) for m, view in views.items()}
        return Draw(cells, features, columns, rng)

    def steps(self, draw: Draw) -> Iterator[Batch]:
        """The mini-batches of an epoch, whose generator they use up."""
        technical, rng = self._technical[draw.cells], draw.rng
        orders = [_order(technical, rng) for _ in range(self._config.n_members)]
        steps = [np.array_split(order, self.steps_per_epoch) for order in orders]
        for step in zip(*steps, strict=True):
            cells = np.stack(step)
            permuted = np.stack([_permuted(technical[row], rng) for row in cells])
            local, index = (torch.as_tensor(rows, device=self._device) for rows in (cells, draw.cells[cells]))
            own = {m: {name: column[local] for name, column in draw.columns[m].items()} for m in self._views}
            yield Batch(
                views={m: self._view_batch(m, draw.features[m], own[m], index) for m in self._views},
                technical=torch.as_tensor(technical[cells], device=self._device),
                permuted=torch.as_tensor(permuted, device=self._device),
            )

    def _lasting_columns(self, view: TrainingView) -> dict[str, torch.Tensor]:
        """What stays the same from epoch to epoch, one row per cell."""
        return {
            "offset": self._tensor(view.scatter(view.codes.offset)),
            "target": self._tensor(view.scatter(view.codes.scaled)),
            "log_size": self._tensor(view.scatter(log_size(view.preprocessor, view.counts))),
            "has": torch.as_tensor(view.has, device=self._device),
        }

    def _lasting_measured(self, view: TrainingView) -> MeasuredCells | None:
        """Which of the selected features were measured; None where all were.

        With B the basis of the projection and S the scale of its codes, |R e|² is the squared error e of a code over
        the measured features, in the units of `code_weight`: RᵀR = S B_mᵀ B_m S / norm.
        """
        projection = view.preprocessor.projection
        measured = view.counts.measured.take_features(projection.selected)
        if measured.is_complete:
            return None
        root = np.sqrt(self._code_weights[view.preprocessor.modality].astype(np.float64))
        guided = (0, len(root) - projection.n_codes)
        unmeasured = (
            np.outer(root, root) * np.pad(projection.completion.unmeasured_part(row), guided) for row in measured.rows
        )
        roots = np.stack([_square_root(np.diag(root**2) - part) for part in unmeasured])
        return MeasuredCells(
            row_of=torch.as_tensor(np.where(view.has, measured.row_of[view.rows], 0), device=self._device),
            features=torch.as_tensor(measured.rows, device=self._device),
            roots=self._tensor(roots),
        )

    def _sampled_features(self, view: TrainingView, rng: np.random.Generator) -> NDArray[np.intp]:
        """Positions among the selected features."""
        n_features = len(view.preprocessor.projection.selected)
        return np.sort(rng.permutation(n_features)[: self._config.n_sampled_features])

    def _drawn_columns(
        self, view: TrainingView, sampled: NDArray[np.intp], rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """What an epoch draws anew, one row per cell: codes and depth of the thinned counts, counts of the sample."""
        preprocessor, (low, high) = view.preprocessor, self._config.thinning
        counts = view.counts if low == high == 1.0 else view.counts.thinned(low, high, rng)
        x = preprocessor.standardisation.scaled(preprocessor.codes(counts)) - view.codes.offset
        x *= view.codes.factor
        depth = preprocessor.standardisation.scaled_depth(counts.log_depth)
        measured = view.counts.selected[:, sampled].toarray()
        measured = np.minimum(measured, 1) if spec_of(preprocessor.modality).is_binary else measured
        return {
            "x": self._tensor(view.scatter(x)),
            "depth": self._tensor(view.scatter(depth)),
            "counts": self._tensor(view.scatter(measured)),
        }

    def _view_batch(
        self, modality: Modality, sampled: NDArray[np.intp], drawn: Mapping[str, torch.Tensor], index: torch.Tensor
    ) -> ViewBatch:
        """Of the cells of a step, what the epoch drew for them and what stays the same."""
        view, measured = self._views[modality], self._measured[modality]
        return ViewBatch(
            **drawn,
            **{name: column[index] for name, column in self._lasting[modality].items()},
            features=torch.as_tensor(view.preprocessor.projection.selected[sampled], device=self._device),
            code_weight=self._tensor(self._code_weights[modality]),
            measured=None if measured is None else measured.take(index, torch.as_tensor(sampled, device=self._device)),
            factors=self._factors(view, sampled, index),
        )

    def _factors(self, view: TrainingView, sampled: NDArray[np.intp], index: torch.Tensor) -> torch.Tensor | None:
        """Those of the sampled features, of cells that have the modality; None where all are 1."""
        factors = view.counts.factors
        if factors is None or len(factors.rows) < 2:
            return None
        row_of = torch.as_tensor(np.where(view.has, factors.row_of[view.rows], 0), device=self._device)
        return self._tensor(factors.rows[:, sampled])[row_of[index]]

    def _tensor(self, values: NDArray[np.float32]) -> torch.Tensor:
        return torch.as_tensor(values, device=self._device)


def _square_root(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """The symmetric root of a matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T, dtype=np.float32)


def _order(technical: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Cells shuffled, those of a technical batch next to each other: they are each other's negatives."""
    shuffled = rng.permutation(len(technical))
    rank = rng.permutation(int(technical.max()) + 1)
    return shuffled[np.argsort(rank[technical[shuffled]], kind="stable")]


def _permuted(technical: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """For each position another one of the same technical batch, drawn as one cycle through each batch."""
    permuted = np.arange(len(technical))
    for name in np.unique(technical):
        members = rng.permutation(np.flatnonzero(technical == name))
        permuted[members] = np.roll(members, 1)
    return permuted
