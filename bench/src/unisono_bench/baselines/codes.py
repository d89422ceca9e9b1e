"""The field's standard low-rank codes, fitted on a training view and frozen: the same input for every baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

import unisono as un
from unisono_bench.baselines.centred import BatchMoments, Centred

Codes = NDArray[np.float32]

PRIOR_CELLS = 20.0
"""Cells at the training mean that the mean of a new batch is shrunken with."""


@final
@dataclass(frozen=True, eq=False)
class InputCodes:
    """One modality's counts to codes: x = (normalised − centre) @ basis.

    RNA: log(1 + 10,000 x / total), centred, SVD. ADT: per-cell CLR, centred, SVD where there are more proteins than
    codes, else the proteins themselves. ATAC: log(1 + 10,000 tf · idf) with tf = x / total and
    idf = cells / total counts of the peak, SVD without its first component, which is depth.

    A feature the query lacks counts as its training mean (ATAC: as closed); one the training view lacks is ignored.

    Attributes:
        features: of the training view.
        idf: one per feature, 1 but for ATAC.
        centre: training mean of each normalised feature; 0 for ATAC.
        basis: feature x code, orthonormal columns.
        standardisation: offsets of batches and scales of components.
        moments: of the normalised features of each training batch.

    References:
        Stuart et al., "Single-cell chromatin state analysis with Signac", 2021 (TF-IDF, method 1).
        Stoeckius et al., "Simultaneous epitope and transcriptome measurement in single cells", 2017 (CLR).
    """

    modality: str
    features: NDArray[np.str_]
    idf: NDArray[np.float64]
    centre: NDArray[np.float64]
    basis: NDArray[np.float32]
    standardisation: un.preprocessing.Standardisation
    moments: BatchMoments

    @classmethod
    def fit(cls, view: un.View, n_codes: int, seed: int) -> InputCodes:
        """Codes of a training view, at most `n_codes` and fewer than it has cells."""
        idf = _inverse_document_frequency(view) if view.modality == "atac" else np.ones(len(view.features))
        values = _normalised(view.modality, view.counts, idf, len(view.features))
        centre = np.asarray(values.mean(axis=0, dtype=np.float64)).ravel()
        if view.modality == "atac":
            centre = np.zeros_like(centre)
        rng = np.random.default_rng([seed, un.modalities.spec_of(view.modality).level])
        centred = Centred(values, centre[None], np.zeros(view.n_cells, dtype=np.intp))
        basis = leading_basis(view.modality, centred, n_codes, rng)
        codes = _project(values, centre, basis)
        standardisation = un.preprocessing.Standardisation.fit(codes, view.batch, np.log1p(view.depth), PRIOR_CELLS)
        moments = BatchMoments.fit(values, view.batch)
        return cls(view.modality, view.features, idf, centre, basis, standardisation, moments)

    def raw(self, view: un.View) -> Codes:
        """Codes with the offset of the batch still in them, cell x code.

        Raises:
            ValueError: the view is of another modality, or shares no feature with the training view.
        """
        counts, is_present = self._aligned(view)
        values = _normalised(self.modality, counts, self.idf, int(is_present.sum()))
        return _project(values, np.where(is_present, self.centre, 0.0), self.basis)

    def deviation(self, view: un.View) -> NDArray[np.float64]:
        """Standard deviation over cells of each normalised feature of the training view."""
        counts, is_present = self._aligned(view)
        values = _normalised(self.modality, counts, self.idf, int(is_present.sum())).astype(np.float64)
        mean = np.asarray(values.mean(axis=0)).ravel()
        square = np.asarray(values.multiply(values).mean(axis=0)).ravel()
        return np.sqrt(np.maximum(square - mean**2, 0.0))

    def standardised(self, view: un.View) -> Codes:
        """Codes without the offset of the batch, each component divided by √(its deviation · the largest one).

        The offset of a training batch is the one stored; that of a new batch is the mean of its cells here, shrunken
        as if 20 more lay at the training mean.
        """
        scaled = self.standardisation.scaled(self.raw(view))
        return np.asarray(scaled - self.standardisation.of_cells(scaled, view.batch)[0], dtype=np.float32)

    def rescaled(self, view: un.View) -> Codes:
        """As `standardised`, on the footing of training feature by feature: less the whole mean of a new batch.

        Proteins are moreover brought to the deviation that they have within the batches of training, since antibodies
        of another laboratory answer otherwise.
        """
        counts, is_present = self._aligned(view)
        values = _normalised(self.modality, counts, self.idf, int(is_present.sum()))
        found = self.moments.centred(values, view.batch, scales=self.modality == "adt")
        known = replace(found, offsets=np.where(is_present, found.offsets, 0.0))
        return np.asarray(known.times(self.basis) / self.standardisation.scale, dtype=np.float32)

    def centred(self, view: un.View) -> Codes:
        """Codes without the offset of the batch, on the scale of the singular values."""
        return np.asarray(self.standardised(view) * self.standardisation.scale, dtype=np.float32)

    def log_depth(self, view: un.View) -> NDArray[np.float64]:
        """Log of 1 + the cell's total over training features."""
        counts, _ = self._aligned(view)
        return np.log1p(np.asarray(counts.sum(axis=1), dtype=np.float64).ravel())

    def _aligned(self, view: un.View) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
        """Counts over the training features, by name, and which of these the view has."""
        if view.modality != self.modality:
            raise ValueError(f"codes of {self.modality} were given a view of {view.modality}")
        if np.array_equal(view.features, self.features):
            return view.counts, np.ones(len(self.features), dtype=bool)
        columns = pd.Index(view.features).get_indexer(pd.Index(self.features))
        is_present = columns >= 0
        if not is_present.any():
            raise ValueError(f"{self.modality}: none of the {len(view.features)} features is in the training view")
        shape = len(view.features), len(self.features)
        place = columns[is_present], np.flatnonzero(is_present)
        return sparse.csr_matrix(
            view.counts @ sparse.csr_matrix((np.ones_like(place[0]), place), shape=shape)
        ), is_present


def _normalised(
    modality: str, counts: sparse.csr_matrix, idf: NDArray[np.float64], n_features: int
) -> sparse.csr_matrix:
    if modality == "adt":
        return un.preprocessing.clr(counts, n_features)
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    if modality == "rna":
        return un.preprocessing.log1p_cp10k(counts, total)
    per_count = np.divide(1e4, total, out=np.zeros_like(total), where=total > 0)
    weighted = counts.data * np.repeat(per_count, np.diff(counts.indptr)) * idf[counts.indices]
    return sparse.csr_matrix((np.log1p(weighted).astype(np.float32), counts.indices, counts.indptr), shape=counts.shape)


def _inverse_document_frequency(view: un.View) -> NDArray[np.float64]:
    """un.Cells / total counts of each peak; 0 for a peak never seen."""
    seen = np.asarray(view.counts.sum(axis=0), dtype=np.float64).ravel()
    return np.divide(view.n_cells, seen, out=np.zeros_like(seen), where=seen > 0)


def leading_basis(modality: str, values: Centred, n_codes: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Feature x code: the SVD, or the proteins themselves where there are no more of them than codes."""
    shape = values.matrix.shape
    if modality == "adt" and shape[1] <= n_codes:
        return np.eye(shape[1], dtype=np.float32)
    n_dropped = 1 if modality == "atac" else 0
    rank = min(n_codes + n_dropped, *(side - 1 for side in shape))
    return values.basis(rank, rng)[:, n_dropped:]


def _project(values: sparse.csr_matrix, centre: NDArray[np.float64], basis: NDArray[np.float32]) -> Codes:
    return np.asarray(values @ basis - (centre @ basis).astype(np.float32), dtype=np.float32)
