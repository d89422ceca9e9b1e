"""ATAC: counts of fragments by peak, read as open or closed, with a Bernoulli whose log odds grow with depth."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from unisono.config import PreprocessingConfig
from unisono.features.peaks import share_of_peaks
from unisono.modalities.normalise import is_counted, peak_weight, scale_columns, tf_idf, times_seen
from unisono.modalities.spec import Coding, Floats, ModalitySpec


def _is_open(counts: sparse.csr_matrix, total: Floats) -> sparse.csr_matrix:
    return is_counted(counts)


def _normalised(counts: sparse.csr_matrix, total: Floats, weights: Floats, n_measured: Floats) -> sparse.csr_matrix:
    """Of a cell as long as all its peaks would make it, of which only some were measured."""
    length = np.sqrt(n_measured / counts.shape[1])
    return tf_idf(counts, total, weights[0], length)


def _terms(counts: sparse.csr_matrix, weight: Floats) -> sparse.csr_matrix:
    """Squared length that an open peak adds to a cell, nearly: term frequencies of a cell differ little."""
    return scale_columns(_is_open(counts, weight), weight**2)


def _weights(counts: sparse.csr_matrix, total: Floats, config: PreprocessingConfig) -> Floats:
    return peak_weight(counts)[None]


ATAC = ModalitySpec(
    name="atac",
    level=0,
    label="chromatin",
    features="peaks",
    unit="probability of being accessible",
    colour="#8e44ad",
    on_scale=_is_open,
    codings={"tf_idf": Coding(_normalised, _weights)},
    likelihoods=("bernoulli",),
    link="logistic",
    log_size=None,
    terms=_terms,
    aliases=("peaks", "peak", "chromatin", "chromatinaccessibility", "scatac"),
    score=times_seen,
    max_features=50_000,
    is_centred=False,
    drops_depth=True,
    are_intervals=True,
    likeness=share_of_peaks,
)
