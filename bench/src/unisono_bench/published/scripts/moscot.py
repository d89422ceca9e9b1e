"""The translation problem of moscot: an optimal transport plan between the query cells of two modalities.

Fused Gromov-Wasserstein as in the tutorial "Translating multiomics single-cell data": each side by distances in its
own representation (50 principal components of RNA or protein, LSI of chromatin without its first component, unit
rows), and across by the genes that both say something about, through the links of peaks and proteins to genes; where
there are no such genes, the pure form. It learns nothing: training cells serve to fit the representations, pairs are
not used, and two query sets of the same cells are all it sees. Similarity is the plan; memory grows as left x right.
No prediction.

Ran here: on bmmc_cite and bmmc_multiome, with moscot 0.5.2.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"
# The method and what it brings are installed in its own environment alone, and its answers have no types.

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

VERSIONS = ("moscot", "ott-jax", "jax", "scanpy")

COMPONENTS = 50
ALPHA, EPSILON = 0.5, 5e-3
"""Weight of the quadratic term and entropic regularisation of the fused form."""
PURE_EPSILON = 1e-3

Array = NDArray[np.floating[Any]]


def answer(work: Any) -> Any:
    """One plan a question."""
    answers = work.answers()
    for i, asked in enumerate(work.matchings):
        answers.matchings[i] = match(work, asked, answers.notes)
    return answers


def match(work: Any, asked: Any, notes: list[str]) -> tuple[Array, Array]:
    """The plan times the number of right cells, and the identity: their product is the plan."""
    from moscot.problems.cross_modality import TranslationProblem

    sides = {"left": (asked.left_modality, asked.left), "right": (asked.right_modality, asked.right)}
    genes = work.genes_of(*(modality for modality, _ in sides.values()))
    cells = {side: query.copy() for side, (_, query) in sides.items()}
    for side, (modality, query) in sides.items():
        cells[side].obsm["own"] = represented(modality, work.training[modality], query)
        if genes:
            cells[side].obsm["genes"] = scaled(work.in_genes(modality, query, genes))
    problem = TranslationProblem(cells["left"], cells["right"])
    problem = problem.prepare(src_attr="own", tgt_attr="own", joint_attr="genes" if genes else None)
    problem = problem.solve(alpha=ALPHA, epsilon=EPSILON) if genes else problem.solve(alpha=1.0, epsilon=PURE_EPSILON)
    plan = np.asarray(next(iter(problem.solutions.values())).transport_matrix)
    notes.append(f"unpaired, transport between the query cells by {len(genes):,} genes in common")
    return plan * plan.shape[1], np.eye(plan.shape[1])


def represented(modality: str, training: AnnData, query: AnnData) -> Array:
    """The query cells in components fitted on the training cells."""
    from sklearn.decomposition import PCA, TruncatedSVD

    n = min(COMPONENTS, training.n_obs - 1, training.n_vars - 1)
    if modality == "atac":
        frequency = np.asarray((training.X > 0).mean(axis=0)).ravel()
        idf = np.log1p(np.divide(1, frequency, out=np.zeros_like(frequency), where=frequency > 0))
        svd = TruncatedSVD(n, random_state=0).fit(tf_idf(training, idf))
        return unit(svd.transform(tf_idf(query, idf))[:, 1:])
    pca = PCA(n, random_state=0).fit(logs(modality, training))
    return unit(pca.transform(logs(modality, query)))


def logs(modality: str, cells: AnnData) -> Array:
    """The log1p of counts per 10,000, and for proteins the per-cell CLR."""
    counts = cells.X.toarray()
    if modality == "adt":
        return np.log1p(counts / np.exp(np.log1p(counts).mean(axis=1, keepdims=True)))
    return np.log1p(counts * 1e4 / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def tf_idf(cells: AnnData, idf: Array) -> Any:
    """The log of 1 + 10,000 tf idf, sparse."""
    total = np.maximum(np.asarray(cells.X.sum(axis=1)), 1)
    values = cells.X.multiply(1e4 / total).multiply(idf[None, :]).tocsr()
    return values.log1p()


def scaled(cells: AnnData) -> Array:
    """Log-normalised genes, each of mean 0 and deviation 1 over these cells."""
    values = logs("rna", cells)
    deviation = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def unit(rows: Array) -> Array:
    """Rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
