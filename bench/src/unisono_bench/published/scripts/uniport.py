"""The uniPort model: a variational autoencoder over the genes two modalities share, joined by optimal transport.

As its tutorial runs it for RNA and chromatin ("horizontal" mode with common and specific genes, lambda_s = 1): the
other modality as counts of genes, through the links of peaks and proteins to genes; log-normalised, 2,000 highly
variable genes of the common set and of each side, each scaled to a maximum of 1 in each data set. Trained on the
training cells of both sides as if they were different cells: pairs are not used. The query cells take no part; the
encoder is applied to them, scaled to a maximum of 1 themselves. Similarity is minus the squared distance in the
latent space. No prediction.

Ran here: on bmmc_cite and bmmc_multiome, with uniport 1.3.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"
# The method and what it brings are installed in its own environment alone, and its answers have no types.

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData, concat
from numpy.typing import NDArray

VERSIONS = ("uniport", "torch", "scanpy")

GENES = 2000
BATCH = 256

Array = NDArray[np.floating[Any]]


def answer(work: Any) -> Any:
    """Train once a pair of modalities."""
    answers = work.answers()
    for i, asked in enumerate(work.matchings):
        answers.matchings[i] = match(work, asked, answers.notes)
    return answers


def match(work: Any, asked: Any, notes: list[str]) -> tuple[Array, Array]:
    """Vectors whose inner product is minus the squared distance."""
    import uniport

    modalities = (asked.left_modality, asked.right_modality)
    genes = work.genes_of(*modalities)
    if not genes:
        raise SystemExit("no gene is linked to both modalities: give the table of gene positions of this genome")
    training = sides([work.in_genes(one, work.training[one], genes) for one in modalities])
    query = sides([work.in_genes(one, cells, genes) for one, cells in zip(modalities, asked[2:], strict=True)])
    common = scaled(together(training), subset=True)
    others = scaled(together(query), subset=False)[:, common.var_names].copy()
    own = [scaled(cells.copy(), subset=True) for cells in training]
    folder = str(work.folder / f"uniport-{'-'.join(modalities)}")
    size = min(BATCH, common.n_obs)  # whole batches alone are trained on
    epochs = {} if work.epochs is None else {"iteration": work.epochs * max(common.n_obs // size, 1)}
    shared = {"outdir": folder, "seed": work.seed, "batch_size": size}
    uniport.Run(adatas=own, adata_cm=common, lambda_s=1.0, **epochs, **shared)
    latent = uniport.Run(adata_cm=others, out="project", **shared).obsm["project"]
    notes.append(f"not told the pairs, {len(genes):,} genes in common")
    n_left = query[0].n_obs
    return near(np.asarray(latent[:n_left]), np.asarray(latent[n_left:]))


def sides(pair: list[AnnData]) -> list[AnnData]:
    """Both sides marked as uniPort wants them: data set 0 and 1."""
    for i, cells in enumerate(pair):
        cells.obs_names = [f"{i}-{name}" for name in cells.obs_names]
        cells.obs["domain_id"] = np.full(cells.n_obs, i)
        cells.obs["domain_id"] = cells.obs["domain_id"].astype("category")
        cells.obs["source"] = f"side {i}"
    return pair


def together(pair: list[AnnData]) -> AnnData:
    """Both sides below each other."""
    joined = concat(pair)
    joined.obs["domain_id"] = joined.obs["domain_id"].astype(int).astype("category")
    return joined


def scaled(cells: AnnData, *, subset: bool) -> AnnData:
    """Log-normalised, of variable genes where wanted, scaled to a maximum of 1 in each data set; dense."""
    import scanpy
    import uniport

    scanpy.pp.normalize_total(cells)
    scanpy.pp.log1p(cells)
    if subset and cells.n_vars > GENES:
        scanpy.pp.highly_variable_genes(cells, n_top_genes=GENES, subset=True)
    cells.X = cells.X.toarray()
    uniport.batch_scale(cells)
    return cells


def near(left: Array, right: Array) -> tuple[Array, Array]:
    """Vectors whose inner product is minus the squared distance of the rows."""
    squares = [(side**2).sum(axis=1, keepdims=True) for side in (left, right)]
    ones = [np.ones_like(square) for square in squares]
    return np.hstack([2 * left, -squares[0], -ones[0]]), np.hstack([right, ones[1], squares[1]])
