"""Tools that write what a model says into the MuData it is asked about, as scanpy's do; each changes its argument.

Examples:
    >>> import unisono as un
    >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
    >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
    >>> un.tl.predict(mdata, model, "rna", "adt")
    >>> mdata["rna"].obsm["unisono_adt"].shape
    (120, 8)
"""

from unisono.tl.tools import embed, match, predict

__all__ = ["embed", "match", "predict"]
