"""Binomial thinning: the counts of a cell at a lower sequencing depth; draws only from its generator."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy import sparse


def thin(counts: sparse.csr_matrix, rate: Float64[np.ndarray, " cell"], rng: np.random.Generator) -> sparse.csr_matrix:
    """Keep each count of cell i with probability `rate[i]`: x' ~ Binomial(x, rate), so E[x'] = rate · x.

    Zeros that arise stay stored: the pattern is shared with `counts`, which is not changed.
    """
    per_entry = np.repeat(rate.astype(np.float32), np.diff(counts.indptr))
    kept = (rng.random(len(per_entry), dtype=np.float32) < per_entry).astype(counts.dtype)  # right for counts of 1
    more = np.flatnonzero(counts.data != 1)
    kept[more] = rng.binomial(counts.data[more], per_entry[more])
    return sparse.csr_matrix((kept, counts.indices, counts.indptr), shape=counts.shape)
