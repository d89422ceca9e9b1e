"""Pictures of what a model says, as Axes of matplotlib, which is imported when one is drawn and not before.

Examples:
    Each takes `ax`, `show` and `save`, and gives the Axes, to be changed as any of matplotlib:

    >>> import unisono as un
    >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
    >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
    >>> ax = un.pl.embedding(model.embed(mdata), color="cell_type", title="120 cells")
    >>> ax.get_title(), ax.get_xlabel()
    ('120 cells', 'unisono 1')
"""

from unisono.pl.accuracy import coverage, features
from unisono.pl.calibration import calibration
from unisono.pl.embedding import embedding
from unisono.pl.style_swap import style_swap

__all__ = ["calibration", "coverage", "embedding", "features", "style_swap"]
