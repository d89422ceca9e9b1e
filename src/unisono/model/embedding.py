"""Embedding: cells in the space that all modalities share, tuned and written into tables; trains no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unisono.io.tables import NOVELTY
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.preprocessing.moment_alignment import MomentAlignment, fit_moment_alignment
from unisono.types import Modality

if TYPE_CHECKING:
    from anndata import AnnData

EMBEDDING = "X_unisono"

_MIN_TO_TUNE = 20

Vectors = NDArray[np.float32]


def learnt_moment_alignment(
    network: Network, codes: Mapping[Modality, NDArray[np.float32]]
) -> dict[Modality, MomentAlignment]:
    """By modality, the tuning learnt from the codes of the same cells in each; none with under 20."""
    if min(len(x) for x in codes.values()) < _MIN_TO_TUNE:
        return {}
    return fit_moment_alignment({m: infer.vectors(network, m, x) for m, x in codes.items()})


def write_embedding(part: AnnData, cells: NDArray[np.str_], vectors: Vectors, novelty: NDArray[np.float32]) -> None:
    """Write vectors and novelty of some cells into obsm and obs of `part`, which is changed; others get NaN."""
    rows = part.obs_names.get_indexer(cells)
    embedded = np.full((part.n_obs, vectors.shape[1]), np.nan, dtype=np.float32)
    embedded[rows] = vectors
    part.obsm[EMBEDDING] = embedded
    of_all = np.full(part.n_obs, np.nan, dtype=np.float32)
    of_all[rows] = novelty
    part.obs[NOVELTY] = of_all
