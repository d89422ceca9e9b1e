"""Functions of raw counts that modalities are made of: scales, weights and scores of features; sees no labels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, Int, Shaped
from scipy import sparse


def log1p_cp10k(counts: sparse.csr_matrix, total: Float64[np.ndarray, " cell"]) -> sparse.csr_matrix:
    """log(1 + 10,000 x / total) of each cell; a cell without counts stays zero.

    The scale of `scanpy.pp.normalize_total(target_sum=1e4)` followed by `scanpy.pp.log1p`.

    Examples:
        A quarter of the counts of a cell is 2,500 of 10,000:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> values = un.preprocessing.log1p_cp10k(csr_matrix([[1, 0, 3]]), total=np.array([4.0]))
        >>> np.expm1(values.toarray()).round()
        array([[2500.,    0., 7500.]], dtype=float32)
    """
    factor = np.divide(1e4, total, out=np.zeros_like(total), where=total > 0)
    return _with_data(counts, np.log1p(_data(counts) * _per_entry(counts, factor)))


def clr(counts: sparse.csr_matrix, n_features: int | Float64[np.ndarray, " cell"] | None = None) -> sparse.csr_matrix:
    """Centred log-ratio of each cell: log1p(x / exp(mean(log1p(x)))), the mean over `n_features` (all columns).

    Non-negative, zero where the count is zero; the scale of `muon.prot.pp.clr(axis=1)` and of Seurat's margin 2.
    Where features were not measured, `n_features` is how many were, in all cells or in each.

    Examples:
        The geometric mean of 1, 1 and 1 + 7 is 2, and log(1 + 7 / 2) is 1.5:

        >>> import unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> un.preprocessing.clr(csr_matrix([[0, 0, 7]])).toarray().round(2)
        array([[0. , 0. , 1.5]], dtype=float32)
    """
    logs = _with_data(counts, np.log1p(_data(counts)))
    mean_log = np.asarray(logs.sum(axis=1), dtype=np.float64).ravel()
    mean_log = mean_log / np.maximum(counts.shape[1] if n_features is None else n_features, 1e-12)
    return _with_data(counts, np.log1p(_data(counts) * _per_entry(counts, np.exp(-mean_log))))


def tf_idf(
    counts: sparse.csr_matrix,
    total: Float64[np.ndarray, " cell"],
    weight: Float64[np.ndarray, " feature"],
    length: Float64[np.ndarray, " cell"] | None = None,
) -> sparse.csr_matrix:
    """log1p(10,000 tf) · weight with tf = x / total, each row then scaled to unit length, or to its `length`.

    Unit rows keep a cell's depth from being its length. `weight` is `peak_weight` of the training cells. A fraction of
    a count, where a peak of a query was divided among several, has that fraction of the value of a whole count: the
    logarithm would make two halves nearly twice the whole.
    """
    factor = np.divide(1e4, total, out=np.zeros_like(total), where=total > 0)
    data = _data(counts)
    values = np.maximum(data, 1) * _per_entry(counts, factor)
    np.log1p(values, out=values)
    values *= np.minimum(data, 1)
    values *= weight.astype(np.float32)[counts.indices]
    norm = np.sqrt(_with_data(counts, np.square(values)) @ np.ones(counts.shape[1]))
    inverse = np.divide(1.0 if length is None else length, norm, out=np.zeros_like(norm), where=norm > 0)
    values *= _per_entry(counts, inverse)
    return _with_data(counts, values)


def peak_weight(counts: sparse.csr_matrix) -> Float64[np.ndarray, " feature"]:
    """Squared inverse document frequency, log(1 + cells / total counts of the peak)²; 0 for a peak never seen.

    Squared, because it enters an inner product of two cells twice: rare peaks tell cell types apart, common ones
    depth. FOSCTTM of linear CCA on a test library of mouse cortex: 0.119 instead of 0.134 (log idf) or 0.125 (square
    root of idf).
    """
    seen = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    frequency = np.divide(counts.shape[0], seen, out=np.zeros_like(seen), where=seen > 0)
    return np.log1p(frequency) ** 2


def gene_weight(values: sparse.csr_matrix) -> Float64[np.ndarray, " feature"]:
    """1 / √(standard deviation) of each column: halfway between covariance and correlation; 0 for a constant one."""
    mean = np.asarray(values.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(values.multiply(values).mean(axis=0), dtype=np.float64).ravel()
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.divide(1.0, np.sqrt(deviation), out=np.zeros_like(deviation), where=deviation > 1e-3)


def power_of_share(
    counts: sparse.csr_matrix, total: Float64[np.ndarray, " cell"], exponent: float
) -> sparse.csr_matrix:
    """(x / total) ** exponent of each cell; a cell without counts stays zero."""
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return _with_data(counts, np.power(_data(counts) * _per_entry(counts, inverse), np.float32(exponent)))


def mean_share(counts: sparse.csr_matrix, total: Float64[np.ndarray, " cell"]) -> Float64[np.ndarray, " feature"]:
    """Share of each feature in all counts of all cells, half a count added to it."""
    seen = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    return np.asarray((seen + 0.5) / max(float(total.sum()), 1.0))


def residual_weight(
    counts: sparse.csr_matrix, total: Float64[np.ndarray, " cell"], exponent: float, overdispersion: float
) -> Float64[np.ndarray, " feature"]:
    """What makes residuals of `power_of_share`, but for a constant of each gene that centring takes out.

    With x̃ the counts of a cell of mean depth n̄, of mean m and variance σ² = m + overdispersion · m² where cells are
    alike, the residual (x̃^q − m^q) / (q m^(q−1) σ) has a variance near 1 there (delta method). q = 1 is Pearson's, 2/3
    Anscombe's, of least skewness, and 1/2 that of the square root, whose variance is stable. Depth is divided out, so
    that the constant part −m / (q σ) is the same in all cells and values stay sparse.

    References:
        Lause, Berens & Kobak, "Analytic Pearson residuals for normalization of single-cell RNA-seq UMI data", 2021;
        McCullagh & Nelder, "Generalized linear models", 1989, section 2.4 (Anscombe residuals).
    """
    depth = float(total.mean())
    mean = depth * mean_share(counts, total)
    noise = np.sqrt(mean + overdispersion * mean**2)
    return np.asarray(depth**exponent * mean ** (1.0 - exponent) / (exponent * noise))


def is_counted(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """1 where there is a count."""
    return _with_data(counts, counts.data > 0)


def scale_columns(values: sparse.csr_matrix, weight: Float64[np.ndarray, " feature"]) -> sparse.csr_matrix:
    """Each column times its weight."""
    return _with_data(values, values.data * weight.astype(np.float32)[values.indices])


def limit_columns(values: sparse.csr_matrix, limit: Float64[np.ndarray, " feature"]) -> sparse.csr_matrix:
    """Each column at most its limit, where it has a value."""
    return _with_data(values, np.minimum(values.data, limit.astype(np.float32)[values.indices]))


def sum_of_values(one: sparse.csr_matrix, other: sparse.csr_matrix) -> sparse.csr_matrix:
    """Values of the same entries, added."""
    return _with_data(one, one.data + other.data)


def total_variance(values: sparse.csr_matrix) -> float:
    """Sum of the variances of all columns."""
    mean, square = (
        np.asarray(part.mean(axis=0), dtype=np.float64).ravel() for part in (values, values.multiply(values))
    )
    return float((square - mean**2).sum())


def _data(counts: sparse.csr_matrix) -> Float32[np.ndarray, " entry"]:
    """Counts as values are kept: of integers numpy would reckon at twice the width, and the time."""
    return counts.data.astype(np.float32, copy=False)


def _per_entry(counts: sparse.csr_matrix, per_row: Float64[np.ndarray, " cell"]) -> Float32[np.ndarray, " entry"]:
    return np.repeat(per_row.astype(np.float32), np.diff(counts.indptr))


def _with_data(like: sparse.csr_matrix, data: Shaped[np.ndarray, " entry"]) -> sparse.csr_matrix:
    return sparse.csr_matrix((data.astype(np.float32, copy=False), like.indices, like.indptr), shape=like.shape)


def multinomial_deviance(counts: sparse.csr_matrix) -> Float64[np.ndarray, " feature"]:
    """Deviance of each gene from a constant fraction of every cell's total: 2 Σ x log(x / (total · fraction)), in nats.

    References:
        Townes et al., "Feature selection and dimension reduction for single-cell RNA-seq based on a multinomial
        model", 2019 (Poisson approximation).
    """
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    fraction = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() / max(total.sum(), 1.0)
    expected = np.repeat(total, np.diff(counts.indptr)) * fraction[counts.indices]
    observed = counts.data.astype(np.float64)
    seen = observed > 0
    terms = np.zeros_like(observed)
    terms[seen] = observed[seen] * np.log(observed[seen] / expected[seen])
    return np.asarray(2.0 * np.bincount(counts.indices, weights=terms, minlength=counts.shape[1]))


def times_seen(counts: sparse.csr_matrix) -> Float64[np.ndarray, " feature"]:
    """Number of cells in which each feature has a count."""
    return np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1]).astype(np.float64)


def best(score: Float64[np.ndarray, " feature"], at_most: int) -> Int[np.ndarray, " selected"]:
    """Positions of the `at_most` largest scores above zero, in their original order; ties go to the earlier."""
    ranked = np.argsort(-score, kind="stable")[:at_most]
    return np.sort(ranked[score[ranked] > 0])
