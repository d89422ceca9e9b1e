"""RNA: counts of transcripts by gene, predicted as log1p of counts per 10,000, with a negative binomial."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.config import PreprocessingConfig
from unisono.features.genes import is_control, match_genes
from unisono.modalities.normalise import (
    gene_weight,
    limit_columns,
    log1p_cp10k,
    mean_share,
    multinomial_deviance,
    power_of_share,
    residual_weight,
    scale_columns,
    sum_of_values,
    total_variance,
)
from unisono.modalities.spec import Coding, Floats, Known, ModalitySpec, Names

_SMALLEST = 1e-12

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


def _logs(counts: sparse.csr_matrix, total: Floats, weight: Floats, n_measured: Floats) -> sparse.csr_matrix:
    return scale_columns(log1p_cp10k(counts, total), weight[0])


def _log_weight(counts: sparse.csr_matrix, total: Floats, config: PreprocessingConfig) -> Floats:
    return gene_weight(log1p_cp10k(counts, total))[None]


_LOG = Coding(_logs, _log_weight)


def _residuals(exponent: float) -> Coding:
    """Residuals of a power of counts but for a constant of each gene, see `residual_weight`."""

    def normalise(
        counts: sparse.csr_matrix, total: Floats, parameters: Floats, n_measured: Floats
    ) -> sparse.csr_matrix:
        weight, limit = parameters
        return limit_columns(scale_columns(power_of_share(counts, total, exponent), weight), limit)

    def learn(counts: sparse.csr_matrix, total: Floats, config: PreprocessingConfig) -> Floats:
        weight = residual_weight(counts, total, exponent, config.overdispersion)
        return np.stack([weight, weight * mean_share(counts, total) ** exponent + config.max_residual])

    return Coding(normalise, learn, 2)


_PEARSON = _residuals(1.0)


def _blended(counts: sparse.csr_matrix, total: Floats, parameters: Floats, n_measured: Floats) -> sparse.csr_matrix:
    residuals = _PEARSON.normalise(counts, total, parameters[:2], n_measured)
    return sum_of_values(residuals, _logs(counts, total, parameters[2:], n_measured))


def _blend(counts: sparse.csr_matrix, total: Floats, config: PreprocessingConfig) -> Floats:
    """Parameters of residuals, and weights of logs under which both vary alike in sum."""
    of_residuals, weight = _PEARSON.learn(counts, total, config), _LOG.learn(counts, total, config)
    n_measured = np.full(len(total), counts.shape[1])
    varies, wanted = (
        total_variance(coding.normalise(counts, total, parameters, n_measured))
        for coding, parameters in ((_LOG, weight), (_PEARSON, of_residuals))
    )
    return np.vstack([of_residuals, weight * np.sqrt(wanted / max(varies, _SMALLEST))])


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
    codings={
        "anscombe": _residuals(2 / 3),
        "root": _residuals(1 / 2),
        "pearson": _PEARSON,
        "log": _LOG,
        "blend": Coding(_blended, _blend, 3),
    },
    candidates=("blend", "anscombe", "root"),
    candidates_across=("log",),
    likelihoods=("negative_binomial",),
    link="nonnegative",
    log_size=_log_size,
    aliases=("gex", "geneexpression", "expression", "mrna", "scrna", "transcriptome"),
    id_columns=_GENE_COLUMNS,
    score=multinomial_deviance,
    max_features=5000,
    match_names=_columns,
    likeness=_any_name,
    is_control=is_control,
)
