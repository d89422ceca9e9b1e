"""Truncated SVD of a sparse matrix whose columns may be centred without ever making it dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy import linalg, sparse

from unisono.config import PreprocessingConfig

_DEFAULTS = PreprocessingConfig()


@dataclass(frozen=True, eq=False)
class LowRank:
    """left @ right.T in some rows of a matrix.

    Attributes:
        rows: which they are.
        left: one for each of them x rank.
        right: column x rank.
    """

    rows: NDArray[np.intp]
    left: NDArray[np.float32]
    right: NDArray[np.float32]


def truncated_svd(
    matrix: sparse.csr_matrix,
    centre: Float64[np.ndarray, " column"],
    rank: int,
    rng: np.random.Generator,
    n_passes: int = _DEFAULTS.svd_passes,
    n_extra: int = _DEFAULTS.svd_oversampling,
    added: Sequence[LowRank] = (),
) -> Float32[np.ndarray, "column rank"]:
    """Leading right singular vectors, column x rank, of `matrix - centre`, plus what is `added` in some rows.

    Block Krylov iteration on `rank + n_extra` directions: the spaces of all passes are kept, so that few suffice. The
    sign of a vector makes its largest entry positive, so equal input gives equal codes whatever the draw.

    Raises:
        ValueError: `rank` exceeds the smaller side of the matrix.

    References:
        Musco & Musco, "Randomized block Krylov methods for stronger and faster approximate SVD", 2015.

    Examples:
        All rows lie along the diagonal:

        >>> import numpy as np, unisono as un
        >>> from scipy.sparse import csr_matrix
        >>> matrix = csr_matrix([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
        >>> un.preprocessing.truncated_svd(matrix, np.zeros(2), rank=1, rng=np.random.default_rng(0)).round(2)
        array([[0.71],
               [0.71]], dtype=float32)
    """
    smaller = min(matrix.shape)
    if rank > smaller:
        raise ValueError(f"rank {rank} of a matrix with {matrix.shape[0]} rows and {matrix.shape[1]} columns")
    matrix = matrix.astype(np.float32, copy=False)
    centre = centre.astype(np.float32)

    def times(block: NDArray[np.float32]) -> NDArray[np.float32]:
        product = np.asarray(matrix @ block - centre @ block)
        for part in added:
            product[part.rows] += part.left @ (part.right.T @ block)
        return product

    def transposed_times(block: NDArray[np.float32]) -> NDArray[np.float32]:
        product = np.asarray(matrix.T @ block - np.outer(centre, block.sum(axis=0)))
        for part in added:
            product += part.right @ (part.left.T @ block[part.rows])
        return product

    width = min(rank + n_extra, smaller)
    block = _orthonormal(times(rng.standard_normal((matrix.shape[1], width), dtype=np.float32)))
    krylov = [block]
    for _ in range(n_passes - 1):
        block = _orthonormal(times(transposed_times(block)))
        krylov.append(block)
    space = _orthonormal(np.concatenate(krylov, axis=1))
    rows = np.linalg.svd(transposed_times(space).T, full_matrices=False)[2]
    vectors = rows[:rank].T
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.ascontiguousarray(vectors * signs)


def _orthonormal(block: Float32[np.ndarray, "row _"]) -> Float32[np.ndarray, "row _"]:
    """A basis of its columns; in single precision throughout, which numpy's own does not keep."""
    return np.asarray(linalg.qr(block, mode="economic", overwrite_a=True, check_finite=False)[0])
