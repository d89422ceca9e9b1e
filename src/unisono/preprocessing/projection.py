"""Projection: one modality's raw counts to codes; fitted on a training view alone, frozen, saved with the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.config import FitConfig, PreprocessingConfig
from unisono.limits import NOT_NEGATIVE, SHARE, Bool, Float32, Float64, Int64, Limits
from unisono.messages import Finding, refuse
from unisono.modalities import Coding, Known, spec_of
from unisono.preprocessing.align import Alignment, align, aligned_counts, aligned_measured
from unisono.preprocessing.gains import CellFactors, Gains
from unisono.preprocessing.incomplete import Completion, fractions, imputed, noise_to_signal, shares
from unisono.preprocessing.joint_gaussian import JointGaussian, centred_by_batch
from unisono.preprocessing.svd import truncated_svd
from unisono.preprocessing.thinning import thin
from unisono.preprocessing.unmeasured import Reference
from unisono.types import MeasuredFeatures, Modality, View

_ROWS_AT_A_TIME = 4_096
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts over a projection's selected features, and what each cell has in the model's other features.

    Attributes:
        selected: cell x selected feature.
        rest: total count outside the selection.
        cells: name of each cell.
        batch: technical batch of each cell.
        alignment: how the view's features correspond to the model's.
        measured: which of the model's features were measured in which cells; a missing one in none.
        share: of the counts of each cell, that of its measured features.
        term_share: the same of the terms by which values are normalised, over the selected features.
        factors: of the values of the selected features, by batch; None where batches do not differ so.
        guided: what an earlier model says of the cells, cell x code; None without one.
    """

    selected: sparse.csr_matrix
    rest: NDArray[np.float64]
    cells: NDArray[np.str_]
    batch: NDArray[np.str_]
    alignment: Alignment
    measured: MeasuredFeatures
    share: NDArray[np.float64]
    term_share: NDArray[np.float64]
    factors: CellFactors | None = None
    guided: NDArray[np.float32] | None = None

    @property
    def n_cells(self) -> int:
        return len(self.rest)

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """Counts that each cell would have in all features, those included that were not measured."""
        return (_row_sums(self.selected) + self.rest) / self.share

    @property
    def log_depth(self) -> NDArray[np.float64]:
        return np.log1p(self.total)

    def take(self, cells: NDArray[np.intp]) -> Counts:
        """Of some of the cells."""
        return replace(
            self,
            selected=self.selected[cells],
            rest=self.rest[cells],
            cells=self.cells[cells],
            batch=self.batch[cells],
            measured=self.measured.take(cells),
            share=self.share[cells],
            term_share=self.term_share[cells],
            factors=None if self.factors is None else self.factors.take(cells),
            guided=None if self.guided is None else self.guided[cells],
        )

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
        mean_share: of a training cell's counts, the share of the features that its batch measured, mean over cells.
        term_fraction: the same of the modality's terms, by selected feature.
        coding: how counts become values, by its name in the modality.
        parameters: parameter x selected feature, by which the coding makes values; the first is the feature's weight.
        centre: mean of each selected feature after weighting; zeros where the modality is not centred.
        basis: selected feature x code, orthonormal columns.
        noise: variance of noise over that of signal, of each code; see `Completion`.
        loadings: feature x code, the least-squares map from codes back to every feature, on the modality's scale.
        intercept: value of every feature at code zero, on the modality's scale.
        mean_code: of the training cells.
        reference: how many training cells had each feature, of those in which it was measured.
        unmeasured: training batch → whether it did not measure each feature, of the batches that lack some.
        gains: by which values of the selected features are made alike between batches; None where they are as they are.
    """

    modality: Modality
    known: Known
    selected: Annotated[Int64[np.ndarray, " selected"], Limits(positions_in="feature")]
    fraction: Annotated[Float64[np.ndarray, " feature"], SHARE]
    mean_share: Annotated[float, SHARE]
    term_fraction: Annotated[Float64[np.ndarray, " selected"], SHARE]
    coding: str
    parameters: Float64[np.ndarray, "parameter selected"]
    centre: Float64[np.ndarray, " selected"]
    basis: Float32[np.ndarray, "selected component"]
    noise: Annotated[Float64[np.ndarray, " component"], NOT_NEGATIVE]
    loadings: Float32[np.ndarray, "feature component"]
    intercept: Float32[np.ndarray, " feature"]
    mean_code: Float32[np.ndarray, " component"]
    reference: Reference
    unmeasured: Mapping[str, Bool[np.ndarray, " feature"]]
    gains: Gains | None = None

    @property
    def features(self) -> NDArray[np.str_]:
        """Names of all features."""
        return self.known.names

    @property
    def n_codes(self) -> int:
        return int(self.basis.shape[1])

    @property
    def completion(self) -> Completion:
        """Expectation of codes of cells in which not all features were measured."""
        return Completion(self.basis, self.noise, self.mean_code)

    @classmethod
    def fit(cls, view: View, config: FitConfig, gains: Gains | None = None) -> Projection:
        """Choose features and find the projection from training cells, whose batches may have gains.

        Every statistic of a feature is over the cells that measured it.

        Raises:
            BadInput: E046, fewer than two features with counts, or than three cells.
        """
        weighted = cls._weighted(view, config)
        spec, counts = spec_of(view.modality), weighted.counts(view)
        if spec.has_gains and config.preprocessing.gains:
            names, n_features = np.unique(view.batch), len(weighted.selected)
            gains = gains or Gains.none(names, n_features, config.preprocessing.gain_prior_cells)
            weighted = replace(weighted, gains=gains)
            counts = replace(counts, factors=gains.of_batches(view.batch, {}))
        values = weighted.values(counts)
        mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel() * _inflation(view.measured)[weighted.selected]
        centre = mean if spec.is_centred else np.zeros_like(mean)
        projected = replace(weighted, centre=centre)._with_basis(values, mean, counts, config)
        codes = projected._codes_of(values, counts)
        if spec.drops_depth:
            limit = config.preprocessing.max_depth_correlation
            kept = ~_follows_depth(codes, counts.log_depth, view.batch, limit)
            basis, noise, mean_code = projected.basis[:, kept], projected.noise[kept], projected.mean_code[kept]
            projected = replace(projected, basis=basis, noise=noise, mean_code=mean_code)
            codes = codes[:, kept] if view.measured.is_complete else projected._codes_of(values, counts)
        loadings, intercept = _regress_measured(projected.on_scale(view), codes, view.measured)
        return replace(projected, loadings=loadings, intercept=intercept)

    @classmethod
    def _weighted(cls, view: View, config: FitConfig) -> Projection:
        """The projection up to the parameters of features, without a basis, by the first coding of the config."""
        spec, measured = spec_of(view.modality), view.measured
        name = spec.coding_names(config)[0]
        coding = spec.codings[name]
        selected = spec.select(view.counts, config, measured)
        refuse(too_small(view, len(selected), view.modality))
        fraction = fractions(view.counts, measured)
        share = shares(fraction, measured)
        total = view.depth / share
        counts = view.counts if len(selected) == len(view.features) else view.counts[:, selected]
        of_selected = measured.take_features(selected)
        parameters = _parameters(coding, counts, total, of_selected, config.preprocessing)
        seen = np.bincount(view.counts.indices[view.counts.data > 0], minlength=len(view.features)).astype(np.float64)
        return cls(
            modality=view.modality,
            known=Known(view.features, view.ids),
            selected=selected,
            fraction=fraction,
            mean_share=float(share.mean()),
            term_fraction=fraction[selected]
            if spec.terms is None
            else fractions(spec.terms(counts, parameters[0]), of_selected),
            coding=name,
            parameters=parameters,
            centre=np.zeros(len(selected)),
            basis=np.zeros((len(selected), 0), dtype=np.float32),
            noise=np.zeros(0),
            loadings=np.zeros((len(view.features), 0), dtype=np.float32),
            intercept=np.zeros(len(view.features), dtype=np.float32),
            mean_code=np.zeros(0, dtype=np.float32),
            reference=Reference(seen, measured.n_cells),
            unmeasured={name: mask for name, mask in view.unmeasured.items() if (view.batch == name).any()},
        )

    def _with_basis(
        self, values: sparse.csr_matrix, mean: NDArray[np.float64], counts: Counts, config: FitConfig
    ) -> Projection:
        """The projection with the leading directions of the values.

        Where not all was measured, they are those of a Gaussian of all features, or, of very many features, found again
        with the expectations of values that were not.
        """
        choice, measured = config.preprocessing, counts.measured.take_features(self.selected)
        rank = min(config.n_codes, values.shape[0] - 1, values.shape[1])
        found, total = replace(self, noise=np.ones(rank)), _total_variance(values, measured)
        by_gaussian: NDArray[np.float32] | None = None
        if not measured.is_complete and values.shape[1] <= config.completion.max_features:
            centred = centred_by_batch(values.toarray(), counts.batch, measured)
            joint = JointGaussian.fit(centred, measured, [slice(0, values.shape[1])], config.completion)
            by_gaussian = joint.directions(rank)
        for number in range(1 if measured.is_complete else 1 + choice.imputation_passes):
            basis = by_gaussian
            if basis is None:
                rng = np.random.default_rng([config.seed, spec_of(self.modality).level])
                added = tuple(imputed(values, mean, self.centre, measured, found.completion if number else None))
                size = rank, rng, choice.svd_passes, choice.svd_oversampling
                basis = truncated_svd(values, self.centre, *size, added=added)
            start = found.mean_code if number else (mean - self.centre) @ basis
            found = replace(found, basis=basis, mean_code=np.asarray(start, dtype=np.float32))
            codes = found._codes_of(values, counts)
            variance = codes.var(axis=0, dtype=np.float64)
            found = replace(
                found,
                noise=noise_to_signal(variance, total, *values.shape),
                mean_code=codes.mean(axis=0, dtype=np.float64).astype(np.float32),
            )
        return found

    def gains_of(self, batches: NDArray[np.str_]) -> NDArray[np.float32] | None:
        """How steeply each feature answers in some training batches, batch x feature; None without gains."""
        if self.gains is None or len(self.gains.batches) < 2:
            return None
        return self.over_all_features(self.gains.of_batches(batches, {}).rows)

    def over_all_features(self, factors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Gains of all features from factors of the selected ones, batch x feature: their inverse, 1 for the others."""
        gains = np.ones((len(factors), len(self.features)), dtype=np.float32)
        gains[:, self.selected] = 1.0 / factors
        return gains

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
        selected, rest = counts, np.zeros(counts.shape[0])
        if len(self.selected) < len(self.features):
            selected = counts[:, self.selected]
            rest = _row_sums(counts) - _row_sums(selected)
        measured = aligned_measured(view.measured, alignment)
        share, term_share = (
            shares(fraction, part)
            for fraction, part in (
                (self.fraction, measured),
                (self.term_fraction / self.term_fraction.sum(), measured.take_features(self.selected)),
            )
        )
        factors = None if self.gains is None else self.gains.of_batches(view.batch, {})
        return Counts(selected, rest, view.cells, view.batch, alignment, measured, share, term_share, factors)

    def codes(self, counts: Counts) -> NDArray[np.float32]:
        """Codes of cells, cell x code; where features were not measured, the expectation given those that were."""
        codes = np.empty((counts.n_cells, self.n_codes), dtype=np.float32)
        for rows in _slices(len(codes)):
            codes[rows] = self._codes_of(self._values(counts, rows), counts, rows)
        return codes

    def _codes_of(self, values: sparse.csr_matrix, counts: Counts, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Codes of some cells from their values."""
        measured = counts.measured.take_features(self.selected).take(rows)
        codes = np.empty((values.shape[0], self.n_codes), dtype=np.float32)
        for is_measured, cells in measured.groups():
            matrix, shift = self.completion.codes(is_measured)
            part = values if len(cells) == len(codes) else values[cells]
            codes[cells] = part @ matrix - ((self.centre @ matrix).astype(np.float32) - shift)
        return codes

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
        measured = counts.measured.take_features(self.selected)
        total = counts.n_cells * float(self.centre @ self.centre)
        total -= float((counts.n_cells - measured.n_cells) @ self.centre**2)
        for rows in _slices(counts.n_cells):
            values = self._values(counts, rows)
            total += float(np.square(values.data, dtype=np.float64).sum() - 2.0 * (values @ self.centre).sum())
        codes = self.codes(counts)
        explained = np.square(codes, dtype=np.float64).sum(axis=0)
        of_measured = explained.sum() - sum(
            float(np.square(codes[cells] @ self.basis[~is_measured].T, dtype=np.float64).sum())
            for is_measured, cells in measured.groups()
        )
        unexplained = max(total - of_measured, 0.0) / counts.n_cells
        fraction = np.minimum(unexplained / np.maximum(explained, 1e-12), at_most)
        return np.asarray(fraction, dtype=np.float32)

    def values(self, counts: Counts) -> sparse.csr_matrix:
        """Normalised and weighted values, cell x selected feature: what the basis projects to codes.

        They share their pattern with the counts: it is not to be changed in place.
        """
        selected = counts.selected
        data = np.empty(selected.nnz, dtype=np.float32)
        for rows in _slices(counts.n_cells):
            data[selected.indptr[rows.start] : selected.indptr[rows.stop]] = self._values(counts, rows).data
        return sparse.csr_matrix((data, selected.indices, selected.indptr), shape=selected.shape)

    def _values(self, counts: Counts, rows: slice) -> sparse.csr_matrix:
        """Those of some cells."""
        n_measured = counts.term_share[rows] * len(self.selected)
        normalise = spec_of(self.modality).codings[self.coding].normalise
        values = normalise(counts.selected[rows], counts.total[rows], self.parameters, n_measured)
        return values if counts.factors is None else counts.factors.times(values, rows)

    def variance_held(self, counts: Counts) -> tuple[float, float]:
        """The fraction of the variance of some cells' values that lies in the space of the codes, and that by chance.

        Of the features that were measured in the first cell. Directions at random would hold as large a fraction as
        they are of all directions.
        """
        is_measured = counts.measured.rows[counts.measured.row_of[0]][self.selected]
        values = self.values(counts).tocsc()[:, np.flatnonzero(is_measured)].toarray().astype(np.float64)
        space = np.linalg.qr(self.basis[is_measured].astype(np.float64))[0]
        total = float(values.var(axis=0).sum())
        held = float((values @ space).var(axis=0).sum()) / max(total, _SMALLEST)
        return held, space.shape[1] / max(int(is_measured.sum()), 1)

    def on_scale(self, view: View) -> sparse.csr_matrix:
        """As the function `on_scale`, by the fractions of training."""
        if view.measured.is_complete:
            return on_scale(view)
        term_fraction = np.zeros_like(self.fraction)
        term_fraction[self.selected] = self.term_fraction
        return _of_whole_cells(view, *(self._of_columns(view, part) for part in (self.fraction, term_fraction)))

    def _of_columns(self, view: View, fraction: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fractions of the features of a view, 0 of those that are unknown."""
        alignment = self.align(view)
        known, found = alignment.is_present, np.zeros(len(view.features))
        np.add.at(found, alignment.columns[known], fraction[known])
        return found


def too_small(view: View, n_selected: int, where: str) -> list[Finding]:
    """E046 where a view has too few cells or features with counts for a code."""
    if n_selected >= 2 and view.n_cells >= 3:
        return []
    what = f"{view.n_cells} cells and {n_selected} {spec_of(view.modality).features} with counts cannot make a code."
    return [Finding("E046", where, what, "give 3 cells and 2 features or more")]


def _slices(n_cells: int) -> Iterator[slice]:
    """The cells in blocks that fit into memory when they are normalised."""
    starts = range(0, n_cells, _ROWS_AT_A_TIME)
    return (slice(start, min(start + _ROWS_AT_A_TIME, n_cells)) for start in starts)


def _row_sums(counts: sparse.csr_matrix) -> NDArray[np.float64]:
    """Sums of rows; scipy widens all the entries that it adds, so that they are added in blocks."""
    sums = np.empty(counts.shape[0])
    for rows in _slices(counts.shape[0]):
        sums[rows] = np.asarray(counts[rows].sum(axis=1)).ravel()
    return sums


def on_scale(view: View) -> sparse.csr_matrix:
    """Measured values on the scale on which predictions are given: see `ModalitySpec.on_scale`.

    Where a batch did not measure all features, sizes of cells are those that all features would have.

    Examples:
        Of peaks it says which are open:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> cells, peaks = np.array(["c1", "c2"]), np.array(["chr1:100-200", "chr1:300-400"])
        >>> view = un.View("atac", csr_matrix([[2, 0], [0, 1]]), cells, peaks, batch=np.array(["b1", "b1"]))
        >>> un.preprocessing.on_scale(view).toarray()
        array([[1., 0.],
               [0., 1.]], dtype=float32)
    """
    spec, measured = spec_of(view.modality), view.measured
    if measured.is_complete:
        return spec.on_scale(view.counts, view.depth)
    fraction = fractions(view.counts, measured)
    terms = spec.terms(view.counts, np.ones(len(view.features))) if spec.terms else None
    return _of_whole_cells(view, fraction, fraction if terms is None else fractions(terms, measured))


def _of_whole_cells(view: View, fraction: NDArray[np.float64], term_fraction: NDArray[np.float64]) -> sparse.csr_matrix:
    """Values of cells of the size that all features would give them which some cell measured."""
    kept = np.flatnonzero(view.measured.n_cells > 0)
    measured, counts = view.measured.take_features(kept), view.counts[:, kept]
    share, term_share = (
        shares(part[kept] / max(float(part[kept].sum()), _SMALLEST), measured) for part in (fraction, term_fraction)
    )
    values = spec_of(view.modality).measured_on_scale(counts, view.depth / share, term_share)
    return sparse.csr_matrix((values.data, kept[values.indices], values.indptr), shape=view.counts.shape)


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


def _regress_measured(
    values: sparse.csr_matrix, codes: NDArray[np.float32], measured: MeasuredFeatures
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `_regress`, each feature over the cells in which it was measured."""
    if measured.is_complete:
        return _regress(values, codes)
    n_features = values.shape[1]
    loadings, intercept = np.zeros((n_features, codes.shape[1]), np.float32), np.zeros(n_features, np.float32)
    for cells, features in measured.blocks():
        if len(cells):
            loadings[features], intercept[features] = _regress(values[cells][:, features], codes[cells])
    return loadings, intercept


def _inflation(measured: MeasuredFeatures) -> NDArray[np.float64]:
    """From the mean over all cells to that over the cells in which a feature was measured."""
    return np.asarray(len(measured.row_of) / np.maximum(measured.n_cells, 1.0))


def _parameters(
    coding: Coding,
    counts: sparse.csr_matrix,
    total: NDArray[np.float64],
    measured: MeasuredFeatures,
    config: PreprocessingConfig,
) -> NDArray[np.float64]:
    """The parameters of each feature, from the cells in which it was measured; 0 where it was in none."""
    if measured.is_complete:
        return coding.learn(counts, total, config)
    found = [
        (features, coding.learn(counts[cells][:, features], total[cells], config))
        for cells, features in measured.blocks()
        if len(cells)
    ]
    parameters = np.zeros((len(found[0][1]), counts.shape[1]))
    for features, part in found:
        parameters[:, features] = part
    return parameters


def _total_variance(values: sparse.csr_matrix, measured: MeasuredFeatures) -> float:
    """Sum of the variances of all columns, each over the cells in which it was measured."""
    mean, square = (
        np.asarray(part.sum(axis=0), dtype=np.float64).ravel() / np.maximum(measured.n_cells, 1.0)
        for part in (values, values.multiply(values))
    )
    return float((square - mean**2).sum())
