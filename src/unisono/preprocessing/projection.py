"""Projection: one modality's raw counts to codes; fitted on a training view alone, frozen, saved with the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.config import FitConfig
from unisono.messages import Finding, refuse
from unisono.modalities import Known, spec_of
from unisono.preprocessing.align import Alignment, align, aligned_counts
from unisono.preprocessing.svd import truncated_svd
from unisono.preprocessing.thinning import thin
from unisono.types import Modality, View

_ROWS_AT_A_TIME = 16_384


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts over a projection's selected features, and what each cell has in the model's other features.

    Attributes:
        selected: cell x selected feature.
        rest: total count outside the selection.
        cells: name of each cell.
        batch: technical batch of each cell.
        alignment: how the view's features correspond to the model's.
    """

    selected: sparse.csr_matrix
    rest: NDArray[np.float64]
    cells: NDArray[np.str_]
    batch: NDArray[np.str_]
    alignment: Alignment

    @property
    def n_cells(self) -> int:
        return len(self.rest)

    @cached_property
    def total(self) -> NDArray[np.float64]:
        return np.asarray(self.selected.sum(axis=1), dtype=np.float64).ravel() + self.rest

    @property
    def log_depth(self) -> NDArray[np.float64]:
        return np.log1p(self.total)

    def thinned(self, low: float, high: float, rng: np.random.Generator) -> Counts:
        """The same cells read less deeply, each at its own rate between `low` and `high`."""
        rate = rng.uniform(low, high, size=self.n_cells)
        rest = rng.binomial(self.rest.astype(np.int64), rate).astype(np.float64)
        return replace(self, selected=thin(self.selected, rate, rng), rest=rest)


@dataclass(frozen=True, eq=False)
class Projection:
    """Frozen recipe of one modality: normalise, weight, centre, project.

    Attributes:
        known: names of every feature of the training view, G of them.
        selected: positions of the S features that make the code.
        fraction: of all training counts, by feature: what missing ones would have added to the total.
        weight: of each selected feature in the code.
        centre: mean of each selected feature after weighting; zeros where the modality is not centred.
        basis: selected feature x code, orthonormal columns.
        loadings: feature x code, the least-squares map from codes back to every feature, on the modality's scale.
        intercept: value of every feature at code zero, on the modality's scale.
        missing_feature_ridge: ridge of the codes of a query that lacks features, where 1 is all features.
    """

    modality: Modality
    known: Known
    selected: NDArray[np.intp]
    fraction: NDArray[np.float64]
    weight: NDArray[np.float64]
    centre: NDArray[np.float64]
    basis: NDArray[np.float32]
    loadings: NDArray[np.float32]
    intercept: NDArray[np.float32]
    missing_feature_ridge: float

    @property
    def features(self) -> NDArray[np.str_]:
        """Names of all features."""
        return self.known.names

    @property
    def n_codes(self) -> int:
        return int(self.basis.shape[1])

    @classmethod
    def fit(cls, view: View, config: FitConfig) -> Projection:
        """Choose features and find the projection from training cells.

        Raises:
            BadInput: E046, fewer than two features with counts, or than three cells.
        """
        spec = spec_of(view.modality)
        selected = spec.select(view.counts, config)
        refuse(too_small(view, len(selected), view.modality))
        total = view.depth
        counts = view.counts[:, selected]
        weight = spec.weigh(counts, total)
        values = spec.normalise(counts, total, weight, len(selected))
        mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
        centre = mean if spec.is_centred else np.zeros_like(mean)
        rank = min(config.n_codes, values.shape[0] - 1, values.shape[1])
        rng = np.random.default_rng([config.seed, spec.level])
        choice = config.preprocessing
        basis = truncated_svd(values, centre, rank, rng, choice.svd_passes, choice.svd_oversampling)
        codes = values @ basis - (centre @ basis).astype(np.float32)
        if spec.drops_depth:
            log_depth, limit = np.log1p(total), choice.max_depth_correlation
            kept = ~_follows_depth(codes, log_depth, view.batch, limit)
            basis, codes = basis[:, kept], codes[:, kept]
        loadings, intercept = _regress(on_scale(view), codes)
        seen = np.asarray(view.counts.sum(axis=0), dtype=np.float64).ravel()
        fraction = seen / max(seen.sum(), 1.0)
        known = Known(view.features, view.ids)
        ridge = choice.missing_feature_ridge
        return cls(view.modality, known, selected, fraction, weight, centre, basis, loadings, intercept, ridge)

    def align(self, view: View, *, source_name: str = "query") -> Alignment:
        """How a view's features correspond to this projection's; `source_name` is what messages call the view.

        Raises:
            ValueError: the view is of another modality.
            BadInput: E039 or E040, the peaks cannot be compared.
        """
        if view.modality != self.modality:
            raise ValueError(f"a projection of {self.modality} was given a view of {view.modality}")
        return align(
            self.modality, self.known, view.features, view.ids, source_name=source_name, expected=self.fraction
        )

    def counts(self, view: View) -> Counts:
        """A view's counts in this projection's order: reordered by name, unknown features ignored.

        Raises:
            ValueError: the view is of another modality, or shares no feature with the model.
            BadInput: E039 or E040, the peaks cannot be compared.
        """
        alignment = self.align(view)
        if not alignment.is_present.any():
            raise ValueError(f"{self.modality}: none of the {len(view.features)} features is known to the model")
        counts = aligned_counts(view, alignment)
        selected = counts if len(self.selected) == len(self.features) else counts[:, self.selected]
        rest = np.asarray(counts.sum(axis=1) - selected.sum(axis=1), dtype=np.float64).ravel()
        return Counts(selected, rest, view.cells, view.batch, alignment)

    def codes(self, counts: Counts) -> NDArray[np.float32]:
        """Codes of cells, cell x code; where features are missing, the least-squares code given those present."""
        seen = counts.alignment.is_present[self.selected]
        project = self.basis if seen.all() else _least_squares_projection(self.basis, seen, self.missing_feature_ridge)
        offset = (self.centre @ project).astype(np.float32)
        codes = np.empty((counts.n_cells, self.n_codes), dtype=np.float32)
        for rows in _slices(len(codes)):
            codes[rows] = self.values(counts, rows) @ project
        return codes - offset

    def loo_shrinkage(self, counts: Counts, at_most: float) -> NDArray[np.float32]:
        """Fraction, 0 to 1, by which each code of a training cell shrinks when that cell is left out of the fit.

        A component points a little towards every cell that it was fitted to. If one cell is left out, its code along a
        component that explains the sum of squares s² loses the fraction |r|² / s², to first order, with r the residual
        of the cell. That is half of most codes of sparse chromatin, a tenth of RNA, and hardly anything of proteins.

        Args:
            counts: of the training cells.
            at_most: bound of each fraction.

        References:
            Stewart & Sun, "Matrix perturbation theory", 1990 (singular vectors under a change of one row).
        """
        total = counts.n_cells * float(self.centre @ self.centre)
        for rows in _slices(counts.n_cells):
            values = self.values(counts, rows)
            total += float(np.square(values.data, dtype=np.float64).sum() - 2.0 * (values @ self.centre).sum())
        explained = np.square(self.codes(counts), dtype=np.float64).sum(axis=0)
        unexplained = max(total - explained.sum(), 0.0) / counts.n_cells
        fraction = np.minimum(unexplained / np.maximum(explained, 1e-12), at_most)
        return np.asarray(fraction, dtype=np.float32)

    def values(self, counts: Counts, rows: slice = slice(None)) -> sparse.csr_matrix:
        """Normalised and weighted values of some cells, cell x selected feature: what the basis projects to codes."""
        is_present = counts.alignment.is_present
        total = counts.total[rows] / max(float(self.fraction[is_present].sum()), 1e-9)
        n_measured = int(is_present[self.selected].sum())
        return spec_of(self.modality).normalise(counts.selected[rows], total, self.weight, n_measured)


def too_small(view: View, n_selected: int, where: str) -> list[Finding]:
    """E046 where a view has too few cells or features with counts for a code."""
    if n_selected >= 2 and view.n_cells >= 3:
        return []
    what = f"{view.n_cells} cells and {n_selected} {spec_of(view.modality).features} with counts cannot make a code."
    return [Finding("E046", where, what, "give 3 cells and 2 features or more")]


def _slices(n_cells: int) -> Iterator[slice]:
    """The cells in blocks that fit into memory when they are normalised."""
    return (slice(start, start + _ROWS_AT_A_TIME) for start in range(0, n_cells, _ROWS_AT_A_TIME))


def on_scale(view: View) -> sparse.csr_matrix:
    """Measured values on the scale on which predictions are given: see `ModalitySpec.on_scale`."""
    return spec_of(view.modality).on_scale(view.counts, view.depth)


def _follows_depth(
    codes: NDArray[np.float32], log_depth: NDArray[np.float64], batch: NDArray[np.str_], limit: float
) -> NDArray[np.bool_]:
    """Which components correlate with log depth within batches by more than a limit; never all of them."""
    codes, log_depth = codes.astype(np.float64), log_depth.copy()
    for name in np.unique(batch):
        rows = batch == name
        codes[rows] -= codes[rows].mean(axis=0)
        log_depth[rows] -= log_depth[rows].mean()
    norm = np.sqrt((codes**2).sum(axis=0) * (log_depth**2).sum())
    correlation = np.abs(codes.T @ log_depth) / np.maximum(norm, 1e-12)
    follows: NDArray[np.bool_] = correlation > max(limit, float(correlation.min()))
    return follows


def _regress(values: sparse.csr_matrix, codes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Least squares of every feature on the codes: loadings (feature x code) and the value at code zero."""
    mean_code = codes.mean(axis=0, dtype=np.float64)
    centred = codes.astype(np.float64) - mean_code
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += 1e-6 * max(float(np.trace(gram)) / len(gram), 1e-12)
    loadings = np.linalg.solve(gram, np.asarray(values.T @ centred).T).T
    intercept = np.asarray(values.mean(axis=0), dtype=np.float64).ravel() - loadings @ mean_code
    return loadings.astype(np.float32), intercept.astype(np.float32)


def _least_squares_projection(basis: NDArray[np.float32], seen: NDArray[np.bool_], ridge: float) -> NDArray[np.float32]:
    """The map from features to codes when only some are measured, shrunk where they hardly determine the code."""
    part = basis[seen].astype(np.float64)
    gram = part.T @ part
    gram[np.diag_indices_from(gram)] += ridge
    project = np.zeros(basis.shape, dtype=np.float64)
    project[seen] = np.linalg.solve(gram, part.T).T
    return project.astype(np.float32)
