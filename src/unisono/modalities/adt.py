"""ADT: counts of antibody tags by surface protein, read as centred log ratios, with a Gaussian."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.features.proteins import antigens, is_control, match_proteins, share_known
from unisono.modalities.normalise import clr
from unisono.modalities.spec import Coding, Floats, Known, ModalitySpec, Names, equal_weights


def _on_scale(counts: sparse.csr_matrix, total: Floats) -> sparse.csr_matrix:
    return clr(counts)


def _normalised(counts: sparse.csr_matrix, total: Floats, weights: Floats, n_measured: Floats) -> sparse.csr_matrix:
    return clr(counts, n_measured)


def _terms(counts: sparse.csr_matrix, weight: Floats) -> sparse.csr_matrix:
    return counts.astype(np.float32).log1p()


def _log_size(counts: sparse.csr_matrix, total: Floats) -> NDArray[np.float32]:
    """Mean of log1p of the cell's counts."""
    logs = counts.astype(np.float32).log1p()
    return (np.asarray(logs.sum(axis=1)).ravel() / counts.shape[1]).astype(np.float32)


def _columns(known: Known, names: Names, ids: Names | None) -> NDArray[np.intp]:
    return match_proteins(known.names, names, known.aliases)


ADT = ModalitySpec(
    name="adt",
    level=2,
    label="protein",
    features="proteins",
    unit="per-cell CLR",
    colour="#e67e22",
    on_scale=_on_scale,
    codings={"clr": Coding(_normalised, equal_weights)},
    likelihoods=("gaussian", "negative_binomial"),
    link="nonnegative",
    log_size=_log_size,
    terms=_terms,
    aliases=("prot", "protein", "proteins", "surfaceprotein", "antibodycapture", "cite", "ab"),
    match_names=_columns,
    likeness=share_known,
    obsm_key=re.compile(r"(?!X_)(?:.*[_-])?(?:proteins?|prot|adt|antibody|ab)(?:[_-].*)?", re.IGNORECASE),
    min_features=5,
    is_control=is_control,
    has_gains=True,
    one_of=antigens,
)
