"""The simulated co-assay as a MuData of raw counts with its truth; imports anndata and mudata only when called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unisono.datasets.simulator import NO_GENE, Recipe, Simulation, simulate_cells
from unisono.types import Modality

if TYPE_CHECKING:
    from mudata import MuData


def simulate(
    n_cells: int = 1000,
    n_genes: int = 400,
    n_peaks: int = 1200,
    n_proteins: int = 24,
    *,
    n_types: int = 6,
    n_batches: int = 2,
    n_factors: int = 8,
    within_type: float = 0.5,
    batch_effect: float = 0.3,
    atac_depth: float = 100.0,
    rna_depth: float = 200.0,
    adt_depth: float = 1500.0,
    depth_spread: float = 0.35,
    shared_depth: float = 0.5,
    dropout: float = 0.05,
    lag: float = 0.3,
    seed: int = 0,
) -> MuData:
    """A simulated co-assay of chromatin, RNA and protein.

    The arguments are those of `Recipe`, which says what each means.

    Returns:
        Raw counts of `atac`, `rna` and `adt` over the same cells; `batch` and `cell_type` in `obs` of all; the true
        content in `obsm["content"]`; each peak's gene and each protein's gene in `var["gene"]`.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6, n_batches=2, n_factors=8)
        >>> {name: part.shape for name, part in mdata.mod.items()}
        {'atac': (40, 50), 'rna': (40, 30), 'adt': (40, 6)}
        >>> mdata.obs["batch"].value_counts().to_dict(), mdata.obsm["content"].shape
        ({'b1': 20, 'b2': 20}, (40, 8))
        >>> bool(mdata["adt"].var["gene"].isin(mdata["rna"].var_names).all())
        True
    """
    recipe = Recipe(
        n_cells=n_cells,
        n_genes=n_genes,
        n_peaks=n_peaks,
        n_proteins=n_proteins,
        n_types=n_types,
        n_batches=n_batches,
        n_factors=n_factors,
        within_type=within_type,
        batch_effect=batch_effect,
        atac_depth=atac_depth,
        rna_depth=rna_depth,
        adt_depth=adt_depth,
        depth_spread=depth_spread,
        shared_depth=shared_depth,
        dropout=dropout,
        lag=lag,
        seed=seed,
    )
    return to_mudata(simulate_cells(recipe))


def to_mudata(simulation: Simulation) -> MuData:
    """The counts and truth of a simulation as MuData.

    Examples:
        >>> import unisono as un
        >>> recipe = un.datasets.Recipe(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> mdata = un.datasets.to_mudata(un.datasets.simulate_cells(recipe))
        >>> list(mdata.mod), list(mdata.obs)
        (['atac', 'rna', 'adt'], ['batch', 'cell_type'])
    """
    import anndata
    import mudata

    names = pd.Index(simulation.cells.names)
    obs = pd.DataFrame(
        {"batch": pd.Categorical(simulation.batch), "cell_type": pd.Categorical(simulation.cell_type)}, index=names
    )
    modalities = {
        modality: anndata.AnnData(view.counts, obs=obs.copy(), var=_var(simulation, modality))
        for modality, view in simulation.cells.views.items()
    }
    with mudata.set_options(pull_on_update=False):
        mdata = mudata.MuData(modalities)
    mdata.obs = obs
    mdata.obsm["content"] = simulation.content
    return mdata


def _var(simulation: Simulation, modality: Modality) -> pd.DataFrame:
    """Feature names and the gene each belongs to, empty for a distal peak."""
    genes = np.append(simulation.cells.views["rna"].features, "")
    gene = {
        "atac": genes[np.where(simulation.linked_gene == NO_GENE, -1, simulation.linked_gene)],
        "rna": genes[:-1],
        "adt": genes[simulation.coding_gene],
    }[modality]
    return pd.DataFrame({"gene": gene}, index=pd.Index(simulation.cells.views[modality].features))
