"""The SCGLUE model, which links modalities by a graph of genes, and its form that uses the pairs of training cells.

As its tutorial runs it: 2,000 highly variable genes; encoders on 100 principal components of RNA and 100 LSI
components of chromatin, both fitted on training cells; negative binomial decoders; peaks linked to the genes whose
body or promoter (2,000 base pairs) they overlap, weight 1, only linked peaks modelled. Its function for that graph
needs the program bedtools; the links come with the request instead. Proteins follow `generate_prot_guidance_graph`: an
edge for each protein and its gene, the mixture of negative binomials for their counts.

The plain form sees the training cells of the modalities as different cells; the paired form (`PairedSCGLUEModel`)
joins them by name. Query cells take no part in the training: the encoders are applied to them. Similarity is the
cosine, as in the tutorial. No prediction: `decode_data` is marked experimental by its authors.

Ran here with scglue 0.4.1: both forms on bmmc_cite and bmmc_multiome, cut to 40 to 300 epochs. Its defaults are counted
in steps: on the 311 training cells of bmmc_cite that is up to 2 × 11,000 epochs of half a second on one core, which was
not waited for.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"
# The method and what it brings are installed in its own environment alone, and its answers have no types.

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

VERSIONS = ("scglue", "torch", "networkx", "scanpy")

GENES = 2000
COMPONENTS = 100
KINDS = {"rna": "NB", "atac": "NB", "adt": "NBMixture"}
REPRESENTATIONS = {"rna": "X_pca", "atac": "X_lsi"}

Array = NDArray[np.floating[Any]]


def answer(work: Any) -> Any:
    """Train once a pair of modalities."""
    answers = work.answers()
    for i, asked in enumerate(work.matchings):
        sides = {asked.left_modality: asked.left, asked.right_modality: asked.right}
        vectors = match(work, sides)
        answers.matchings[i] = (vectors[asked.left_modality], vectors[asked.right_modality])
    answers.notes.append("trained on the training cells" + ("" if work.variant == "paired" else ", not told the pairs"))
    return answers


def match(work: Any, sides: dict[str, AnnData]) -> dict[str, Array]:
    """Unit vectors of the query cells of each side."""
    import scglue

    is_paired = work.variant == "paired"
    training = {modality: named(modality, work.training[modality]) for modality in sides}
    query = {modality: named(modality, cells) for modality, cells in sides.items()}
    links = [(f"rna:{gene}", f"{kind}:{feature}") for kind, feature, gene in work.links.itertuples(index=False)]
    for modality, cells in training.items():
        choose(modality, cells)
        represent(modality, cells, query[modality], work.seed)
    only_linked(training, links)
    graph = guidance(training, links)
    for modality, cells in training.items():
        scglue.models.configure_dataset(
            cells,
            KINDS[modality],
            use_highly_variable=True,
            use_rep=REPRESENTATIONS.get(modality),
            use_batch="batch" if len(cells.obs["batch"].unique()) > 1 else None,
            use_obs_names=is_paired,
        )
    if not is_paired:  # rows in no common order, as cells of two assays are
        rng = np.random.default_rng(work.seed)
        training = {modality: cells[rng.permutation(cells.n_obs)].copy() for modality, cells in training.items()}
    model = scglue.models.fit_SCGLUE(
        training,
        graph,
        model=scglue.models.PairedSCGLUEModel if is_paired else scglue.models.SCGLUEModel,
        skip_balance=work.epochs is not None,  # after a few epochs no clusters match, and its weights are 0 / 0
        init_kws={"random_seed": work.seed},
        fit_kws={"directory": str(work.folder / "glue"), **({"max_epochs": work.epochs} if work.epochs else {})},
    )
    return {modality: unit(model.encode_data(modality, cells)) for modality, cells in query.items()}


def named(modality: str, cells: AnnData) -> AnnData:
    """A copy whose features say their modality: the gene CD4 and the protein CD4 are two vertices."""
    copy = cells.copy()
    copy.var_names = [f"{modality}:{name}" for name in copy.var_names]
    return copy


def choose(modality: str, cells: AnnData) -> None:
    """Mark the features to model in `var["highly_variable"]`, by training cells alone."""
    import scanpy

    cells.var["highly_variable"] = True
    if modality == "rna" and cells.n_vars > GENES:
        scanpy.pp.highly_variable_genes(cells, n_top_genes=GENES, flavor="seurat_v3")


def represent(modality: str, training: AnnData, query: AnnData, seed: int) -> None:
    """Put the encoders' inputs into `obsm` of both: fitted on training cells, applied to the query cells."""
    import scglue

    n = min(COMPONENTS, training.n_obs - 1, training.n_vars - 1)
    if modality == "rna":
        from sklearn.decomposition import PCA

        chosen = training.var["highly_variable"].to_numpy()
        target = float(np.median(np.asarray(training.X.sum(axis=1))))
        values, others = (log_normalised(cells, target)[:, chosen] for cells in (training, query))
        mean, deviation = values.mean(axis=0), values.std(axis=0, ddof=1)
        deviation[deviation == 0] = 1
        pca = PCA(n, random_state=seed).fit((values - mean) / deviation)
        training.obsm["X_pca"] = pca.transform((values - mean) / deviation)
        query.obsm["X_pca"] = pca.transform((others - mean) / deviation)
    if modality == "atac":
        lsi = scglue.data.AllCoolsLSI(n_components=n, random_state=seed).fit(training)
        lsi.transform(training, obsm_name="X_lsi")
        lsi.transform(query, obsm_name="X_lsi")


def only_linked(training: dict[str, AnnData], links: list[tuple[str, str]]) -> None:
    """Of the peaks, keep marked those linked to a marked gene."""
    if not {"rna", "atac"} <= training.keys():
        return
    genes = set(training["rna"].var_names[training["rna"].var["highly_variable"]])
    peaks = {feature for gene, feature in links if gene in genes}
    training["atac"].var["highly_variable"] = training["atac"].var_names.isin(peaks)
    if not training["atac"].var["highly_variable"].any():
        raise SystemExit("no peak is linked to a gene: give the table of gene positions of this genome")


def guidance(training: dict[str, AnnData], links: list[tuple[str, str]]) -> Any:
    """Edges both ways between the marked features that are linked, and a loop at each."""
    import networkx

    graph = networkx.MultiDiGraph()
    for cells in training.values():
        for name in cells.var_names[cells.var["highly_variable"]]:
            graph.add_edge(name, name, weight=1.0, sign=1, type="loop")
    for gene, feature in links:
        if gene in graph and feature in graph:
            graph.add_edge(gene, feature, weight=1.0, sign=1, type="fwd")
            graph.add_edge(feature, gene, weight=1.0, sign=1, type="rev")
    return graph


def log_normalised(cells: AnnData, target: float) -> Array:
    """The log1p of counts per `target`."""
    total = np.maximum(np.asarray(cells.X.sum(axis=1)), 1)
    return np.log1p(cells.X.toarray() / total * target)


def unit(rows: Array) -> Array:
    """Rows of length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
