"""Names for the arrays that metrics read and return, and the check that two of them fit; holds no metric."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped
from scipy import sparse

Values = Shaped[np.ndarray, "_ _"]
"""cell x feature."""

Sparse = sparse.csr_matrix | sparse.csc_matrix
Truth = Values | Sparse
"""Measured values, cell x feature; sparse ones are made dense a block at a time."""

Vectors = Float[np.ndarray, "_ _"]
"""cell x dimension; the inner product of two cells is their similarity."""

Floats = Float64[np.ndarray, "..."]
Rows = Int[np.ndarray, " _"]
Flags = Bool[np.ndarray, "..."]
Labels = Shaped[np.ndarray, " _"]

Groups = tuple[Labels, Labels]
"""The group of each left cell, and of each right cell."""


def check_shapes(truth: Truth, prediction: Values) -> None:
    """Refuse two arrays that numpy would broadcast."""
    if truth.shape != prediction.shape:
        raise ValueError(f"shapes {truth.shape} and {prediction.shape} differ, expected the same cells and features")
