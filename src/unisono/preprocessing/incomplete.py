"""Cells in which not all features were measured: what the others would have added to their size and to their codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy import sparse

from unisono.preprocessing.svd import LowRank
from unisono.types import MeasuredFeatures

Mask = NDArray[np.bool_]

_ITERATIONS = 50
_SMALLEST = 1e-12
_MIN_SHARE = 1e-9
_DIGITS = 12
"""A sum of all fractions is 1 to 16 digits; rounded, it is 1."""
_MIN_NOISE = 1e-6
_MIN_SIGNAL = 1e-3


def fractions(terms: sparse.csr_matrix, measured: MeasuredFeatures) -> Float64[np.ndarray, " feature"]:
    """Of the sum of all terms, the fraction of each feature, as if all features had been measured in all cells.

    With s groups of cells, terms have the mean size_s · fraction_g where feature g was measured (Poisson, maximum
    likelihood): the sums of a feature over the cells that measured it are compared with the sizes of these cells.
    """
    sums = np.stack([np.asarray(part.sum(axis=0), dtype=np.float64).ravel() for _, part in measured.parts(terms)])
    rows = np.stack([row for row, _ in measured.groups()])
    seen = sums.sum(axis=0)
    fraction = seen / max(float(seen.sum()), 1.0)
    for _ in range(0 if rows.all() else _ITERATIONS):
        sizes = sums.sum(axis=1) / np.maximum(rows @ fraction, _SMALLEST)
        fraction = seen / np.maximum(sizes @ rows, _SMALLEST)
        fraction = fraction / max(float(fraction.sum()), _SMALLEST)
    return np.asarray(fraction)


def shares(fraction: Float64[np.ndarray, " feature"], measured: MeasuredFeatures) -> Float64[np.ndarray, " cell"]:
    """Of each cell's size, the share of its measured features; 1 where all were measured."""
    share = np.maximum(np.round(measured.rows @ fraction, _DIGITS), _MIN_SHARE)
    return np.asarray(share[measured.row_of])


class Affine(NamedTuple):
    """x → x @ matrix + shift, of centred values; the matrix is 0 for features that were not measured."""

    matrix: NDArray[np.floating]
    shift: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Completion:
    """Expectation of a code given some of the features, under factor analysis with equal noise.

    A cell is x = B z + e in centred values, with codes c = Bᵀ x of mean m and of a variance that is signal and noise.
    Given the measured part x_m, the signal is ẑ = (B_mᵀ B_m + N)⁻¹ (B_mᵀ x_m + N m), with N the ratio of noise to
    signal variance of each code, and the code is B_mᵀ x_m + B_uᵀ B_u ẑ = (1 + N) ẑ − N m: that of the cell in which
    values that were not measured are their expectation. It is c where all were measured.

    Attributes:
        basis: feature x code, orthonormal columns.
        noise: N, one for each code.
        mean: m.

    References:
        Tipping & Bishop, "Probabilistic principal component analysis", 1999.
    """

    basis: Float32[np.ndarray, "feature code"]
    noise: Float64[np.ndarray, " code"]
    mean: Float32[np.ndarray, " code"]

    def signal(self, is_measured: Mask) -> Affine:
        """From values to ẑ."""
        part = self.basis[is_measured].astype(np.float64)
        gram = part.T @ part
        gram[np.diag_indices_from(gram)] += self.noise
        matrix = np.zeros(self.basis.shape)
        matrix[is_measured] = np.linalg.solve(gram, part.T).T
        return Affine(matrix, np.linalg.solve(gram, self.noise * self.mean))

    def codes(self, is_measured: Mask) -> Affine:
        """From values to codes."""
        if is_measured.all():
            return Affine(self.basis, np.zeros_like(self.mean))
        matrix, shift = self.signal(is_measured)
        scale = 1.0 + self.noise
        return Affine((matrix * scale).astype(np.float32), (shift * scale - self.noise * self.mean).astype(np.float32))

    def unmeasured_part(self, is_measured: Mask) -> Float64[np.ndarray, "code code"]:
        """B_uᵀ B_u, what of a code comes from features that were not measured."""
        part = self.basis[~is_measured].astype(np.float64)
        return np.asarray(part.T @ part)


def noise_to_signal(
    variance: Float64[np.ndarray, " code"], total: float, n_cells: int, n_features: int
) -> Float64[np.ndarray, " code"]:
    """Variance of noise over that of signal, for each code.

    The noise of a feature is what codes leave of the total variance. The variance of a code is larger than that of its
    signal by the noise, and by the fit of its direction to these cells.

    Args:
        variance: of each code over the cells that the basis was fitted to.
        total: sum of the variances of the features.
        n_cells: how many cells these are.
        n_features: features of the basis.

    References:
        Johnstone, "On the distribution of the largest eigenvalue in principal components analysis", 2001; Baik &
        Silverstein, "Eigenvalues of large sample covariance matrices of spiked population models", 2006.
    """
    n_left = max(n_features - len(variance), 1)
    noise = max((total - float(variance.sum())) / n_left, _MIN_NOISE * float(variance.mean()), _SMALLEST)
    aspect = n_features / n_cells
    middle = variance + noise - aspect * noise
    spike = middle / 2.0 + np.sqrt(np.maximum((middle / 2.0) ** 2 - variance * noise, 0.0))
    is_signal = variance > noise * (1.0 + np.sqrt(aspect)) ** 2
    signal = np.where(is_signal, spike - noise, 0.0)
    return np.asarray(noise / np.maximum(signal, _MIN_SIGNAL * noise))


def imputed(
    values: sparse.csr_matrix,
    mean: Float64[np.ndarray, " feature"],
    centre: Float64[np.ndarray, " feature"],
    measured: MeasuredFeatures,
    completion: Completion | None,
) -> Iterator[LowRank]:
    """What is added to values less their centre so that those not measured are their expectation.

    Args:
        values: cell x feature, 0 where it was not measured.
        mean: of each feature, the expectation where there is no completion.
        centre: subtracted from all values.
        measured: which were measured.
        completion: from the measured values.
    """
    for is_measured, cells in measured.groups():
        if is_measured.all():
            continue
        left, right = (
            np.ones((len(cells), 1)),
            np.where(is_measured, 0.0, mean if completion is None else centre)[:, None],
        )
        if completion is not None:
            matrix, shift = completion.signal(is_measured)
            signal = np.asarray(values[cells] @ matrix) - centre @ matrix + shift
            basis = np.where(is_measured[:, None], 0.0, completion.basis)
            left, right = np.hstack([left, signal]), np.hstack([right, basis])
        yield LowRank(cells, left.astype(np.float32), right.astype(np.float32))
