"""From raw counts to low-rank codes: fitted on training cells, then frozen; numpy and scipy only.

Examples:
    Codes of proteins, by what their preprocessor has learnt from the same cells:

    >>> import unisono as un
    >>> view = un.read_cells(un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)).views["adt"]
    >>> un.preprocessing.on_scale(view).shape  # cell x protein, as `clr` of the counts
    (40, 6)
    >>> preprocessor = un.preprocessing.Preprocessor.fit(view, un.FitConfig(n_codes=4))
    >>> preprocessor.transform(view).x.shape  # cell x code
    (40, 4)
"""

from unisono.modalities.normalise import clr, log1p_cp10k
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import on_scale
from unisono.preprocessing.standardisation import Standardisation
from unisono.preprocessing.svd import LowRank, truncated_svd

__all__ = ["LowRank", "Preprocessor", "Standardisation", "clr", "log1p_cp10k", "on_scale", "truncated_svd"]
