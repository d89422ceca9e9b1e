"""The totalVI model for RNA and protein, MultiVI for RNA and chromatin, as the tutorials of scvi-tools run them.

totalVI predicts proteins from RNA the way of "Integration of CITE-seq and scRNA-seq data": the query cells are
registered alongside the training cells, as batches of their own whose proteins are all zero, which scvi-tools takes for
missing; the model is trained on both and decodes the query cells as if they were of the training batches. So it is
transductive: it sees the RNA of the query cells while it learns, never their proteins. It predicts no RNA from
protein and offers no matching: its latent space is that of RNA and protein together.

MultiVI is trained on the paired training cells and, alongside them, the query cells with the modality they have, the
other all zero, which it takes for missing ("Joint analysis of paired and unpaired multiomic data with MultiVI"). It
predicts both ways, and matches by distance in its latent space. Transductive as well, unpaired for the query cells.

Ran here with scvi-tools 1.4.2 and its defaults: totalVI on bmmc_cite; MultiVI on bmmc_multiome and on 900 simulated
cells, where its 500 epochs at a rate of 1e-4 are too few steps (ATAC→RNA Pearson 0.01; 0.14 after 250 epochs at 1e-3,
ridge 0.21): on so few cells its row says little.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"
# The method and what it brings are installed in its own environment alone, and its answers have no types.

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, concat
from numpy.typing import NDArray
from scipy import sparse

VERSIONS = ("scvi-tools", "torch", "lightning", "mudata")

PROTEINS = "protein_expression"
SAMPLES = 25
"""Of the posterior, as in the tutorial of totalVI."""

Array = NDArray[np.floating[Any]]


def answer(work: Any) -> Any:
    """Train once a question: each has its own query cells to train with."""
    import scvi

    scvi.settings.verbosity = 30
    answers = work.answers()
    for i, asked in enumerate(work.predictions):
        scvi.settings.seed = work.seed
        answers.predictions[i] = predict(work, asked)
    for i, asked in enumerate(work.matchings):
        scvi.settings.seed = work.seed
        answers.matchings[i] = match(work, asked)
    answers.notes.append("trained with the query cells, without what is asked of them")
    return answers


def predict(work: Any, asked: Any) -> Array | None:
    """The values of the target modality; None for what neither model offers."""
    both = (asked.source, asked.target)
    if both == ("rna", "adt"):
        return total_vi(work, asked.cells)
    if set(both) == {"rna", "atac"}:
        return multi_vi_predict(work, asked)
    return None


def match(work: Any, asked: Any) -> tuple[Array, Array] | None:
    """Vectors of both sides; None but for RNA and chromatin."""
    if {asked.left_modality, asked.right_modality} != {"rna", "atac"}:
        return None
    model, joined = multi_vi(work, {asked.left_modality: asked.left, asked.right_modality: asked.right})
    latent = model.get_latent_representation()
    side = joined.obs["side"].to_numpy()
    return near(latent[side == asked.left_modality], latent[side == asked.right_modality])


def total_vi(work: Any, query: AnnData) -> Array:
    """Proteins of the query cells on the CLR scale, from the expected counts, background and all."""
    from scvi.model import TOTALVI

    training = work.training["rna"].copy()
    training.obsm[PROTEINS] = dense(work.training["adt"])
    query = query.copy()
    query.obs["batch"] = ["query " + batch for batch in query.obs["batch"].astype(str)]
    query.obsm[PROTEINS] = pd.DataFrame(0.0, index=query.obs_names, columns=training.obsm[PROTEINS].columns)
    of_training = sorted(training.obs["batch"].astype(str).unique())
    joined = concat([training, query], join="outer", merge="same")
    joined.obs["batch"] = joined.obs["batch"].astype(str).astype("category")
    TOTALVI.setup_anndata(joined, batch_key="batch", protein_expression_obsm_key=PROTEINS)
    model = TOTALVI(joined, latent_distribution="normal", n_layers_decoder=2)
    model.train(max_epochs=work.epochs, enable_progress_bar=False, **whole_batches(joined.n_obs, 256))
    _, proteins = model.get_normalized_expression(
        indices=np.arange(training.n_obs, joined.n_obs),
        n_samples=SAMPLES,
        return_mean=True,
        transform_batch=of_training,
        include_protein_background=True,
        sample_protein_mixing=False,
        return_numpy=True,
    )
    return clr(np.asarray(proteins, dtype=np.float64))


def multi_vi_predict(work: Any, asked: Any) -> Array:
    """Accessibility with the factor of each region, or log1p of 10,000 times the decoded frequencies of genes.

    Decoded as if the cells were paired ones: only those had the target to learn from.
    """
    model, joined = multi_vi(work, {asked.source: asked.cells})
    query = {"indices": np.flatnonzero(joined.obs["side"].to_numpy() == asked.source), "return_numpy": True}
    if asked.target == "atac":
        return model.get_normalized_accessibility(transform_batch="paired", normalize_regions=True, **query)
    return np.log1p(1e4 * model.get_normalized_expression(transform_batch="paired", **query))


def multi_vi(work: Any, query: dict[str, AnnData]) -> tuple[Any, Any]:
    """The trained model, and its cells: paired ones first, then each side's, told apart by `obs["side"]`."""
    from mudata import MuData
    from scvi.model import MULTIVI

    n_paired = work.training["rna"].n_obs
    sides = np.concatenate([["paired"] * n_paired, *([side] * cells.n_obs for side, cells in query.items())])
    obs = pd.concat([cells.obs for cells in (work.training["rna"], *query.values())])
    obs = pd.DataFrame({"batch": obs["batch"].astype(str).astype("category"), "side": sides}, index=obs.index)
    views = {}
    for modality in ("rna", "atac"):
        features = work.training[modality].var_names
        parts = [work.training[modality].X]
        for side, cells in query.items():
            parts.append(cells.X if side == modality else nothing(cells.n_obs, len(features)))
        counts = sparse.vstack(parts, format="csr")
        views[modality] = AnnData(counts, obs=obs.copy(), var=pd.DataFrame(index=features))
    joined = MuData(views)
    joined.obs = obs
    MULTIVI.setup_mudata(
        joined,
        batch_key="side",
        categorical_covariate_keys=["batch"] if len(obs["batch"].cat.categories) > 1 else None,
        modalities={"rna_layer": "rna", "atac_layer": "atac"},
    )
    model = MULTIVI(joined)
    epochs = {} if work.epochs is None else {"max_epochs": work.epochs}
    model.train(enable_progress_bar=False, **epochs, **whole_batches(len(obs), 128))
    return model, joined


def nothing(n_cells: int, n_features: int) -> Any:
    """Counts of a modality that no cell has."""
    no = np.zeros(0, dtype=np.float32)
    return sparse.csr_matrix((no, (no.astype(int), no.astype(int))), shape=(n_cells, n_features))


def whole_batches(n_cells: int, size: int) -> dict[str, Any]:
    """A batch size with which no batch holds a single cell, at which the batch norm of these models stops.

    Training takes 90 % of the cells and validation the rest, as is the default.
    """
    n_training = int(np.ceil(0.9 * n_cells))
    while n_training % size == 1 or (n_cells - n_training) % size == 1:
        size -= 1
    return {"batch_size": size}


def near(left: Array, right: Array) -> tuple[Array, Array]:
    """Vectors whose inner product is minus the squared distance of the rows."""
    squares = [(side**2).sum(axis=1, keepdims=True) for side in (left, right)]
    ones = [np.ones_like(square) for square in squares]
    return np.hstack([2 * left, -squares[0], -ones[0]]), np.hstack([right, ones[1], squares[1]])


def clr(counts: Array) -> Array:
    """The per-cell CLR of Unisono: log1p(x / exp(mean(log1p x)))."""
    return np.log1p(counts / np.exp(np.log1p(counts).mean(axis=1, keepdims=True)))


def dense(adata: AnnData) -> pd.DataFrame:
    """The counts as a table with the names of the features."""
    return pd.DataFrame(adata.X.toarray(), index=adata.obs_names, columns=adata.var_names)
