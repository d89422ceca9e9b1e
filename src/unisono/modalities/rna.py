"""RNA: counts of transcripts by gene, read as log1p of counts per 10,000, with a negative binomial."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.features.genes import match_genes
from unisono.modalities.normalise import gene_weight, log1p_cp10k, multinomial_deviance, scale_columns
from unisono.modalities.spec import Floats, Known, ModalitySpec, Names

_GENE_COLUMNS = (
    "gene_ids",
    "gene_id",
    "ensembl_id",
    "ensembl",
    "feature_id",
    "gene_symbols",
    "gene_symbol",
    "gene_name",
    "gene_names",
    "feature_name",
    "symbol",
)
"""Where the readers of 10x, CELLxGENE and scanpy put the names of genes that are not var_names."""


def _normalised(counts: sparse.csr_matrix, total: Floats, weight: Floats, n_measured: Floats) -> sparse.csr_matrix:
    return scale_columns(log1p_cp10k(counts, total), weight)


def _weight(counts: sparse.csr_matrix, total: Floats) -> Floats:
    return gene_weight(log1p_cp10k(counts, total))


def _log_size(counts: sparse.csr_matrix, total: Floats) -> NDArray[np.float32]:
    """Log of total / 10,000."""
    return np.log(np.maximum(total, 1.0) / 1e4).astype(np.float32)


def _columns(known: Known, names: Names, ids: Names | None) -> NDArray[np.intp]:
    return match_genes(known.names, names, known.ids, ids)


def _any_name(names: Names) -> float:
    """Any name may be a gene's: what does not look like another modality by more than half is taken for RNA."""
    return 0.5


RNA = ModalitySpec(
    name="rna",
    level=1,
    label="RNA",
    features="genes",
    unit="log1p counts per 10,000",
    colour="#2980b9",
    on_scale=log1p_cp10k,
    normalise=_normalised,
    likelihoods=("negative_binomial",),
    link="nonnegative",
    log_size=_log_size,
    aliases=("gex", "geneexpression", "expression", "mrna", "scrna", "transcriptome"),
    id_columns=_GENE_COLUMNS,
    score=multinomial_deviance,
    max_features=5000,
    weigh=_weight,
    match_names=_columns,
    likeness=_any_name,
)
