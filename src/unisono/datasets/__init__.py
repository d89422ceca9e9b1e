"""Data sets: simulated co-assays with known truth, and public ones by name.

Examples:
    >>> import unisono as un
    >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
    >>> {name: part.shape for name, part in mdata.mod.items()}
    {'atac': (40, 50), 'rna': (40, 30), 'adt': (40, 6)}
    >>> un.datasets.available().loc["bmmc_cite", "modalities"]
    'rna, adt'

    `un.datasets.load("bmmc_cite")` reads it from a mirror or the cache, or downloads it.
"""

from unisono.datasets.catalogue import names
from unisono.datasets.mudata import simulate, to_mudata
from unisono.datasets.public import available, load
from unisono.datasets.simulator import Recipe, Simulation, simulate_cells

__all__ = ["Recipe", "Simulation", "available", "load", "names", "simulate", "simulate_cells", "to_mudata"]
