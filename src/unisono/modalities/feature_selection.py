"""Which features carry information: genes by deviance, peaks by how often they are open; never looks at labels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse


def multinomial_deviance(counts: sparse.csr_matrix) -> Float64[np.ndarray, " feature"]:
    """Deviance of each gene from a constant share of every cell's total: 2 Σ x log(x / (total · share)), in nats.

    References:
        Townes et al., "Feature selection and dimension reduction for single-cell RNA-seq based on a multinomial
        model", 2019 (Poisson approximation).
    """
    total = np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    share = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel() / max(total.sum(), 1.0)
    expected = np.repeat(total, np.diff(counts.indptr)) * share[counts.indices]
    observed = counts.data.astype(np.float64)
    seen = observed > 0
    terms = np.zeros_like(observed)
    terms[seen] = observed[seen] * np.log(observed[seen] / expected[seen])
    return np.asarray(2.0 * np.bincount(counts.indices, weights=terms, minlength=counts.shape[1]))


def times_seen(counts: sparse.csr_matrix) -> Float64[np.ndarray, " feature"]:
    """In how many cells each feature has a count."""
    return np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1]).astype(np.float64)


def best(score: Float64[np.ndarray, " feature"], at_most: int) -> Int[np.ndarray, " selected"]:
    """Positions of the `at_most` largest scores above zero, in their original order; ties go to the earlier."""
    ranked = np.argsort(-score, kind="stable")[:at_most]
    return np.sort(ranked[score[ranked] > 0])
