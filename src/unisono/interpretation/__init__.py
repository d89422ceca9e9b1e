"""What a fitted model has learnt about features: the effects of source features on target features.

Examples:
    The gene whose rise moves each predicted protein most:

    >>> import unisono as un
    >>> mdata = un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1)
    >>> model = un.fit(mdata, batch_key="batch", preset="fast", progress=False)
    >>> effects = model.feature_effects(mdata, "rna", "adt")
    >>> effects.shape  # gene x protein
    (60, 8)
    >>> table = effects.table(top=1)
    >>> list(table), len(table)
    (['source', 'target', 'effect'], 8)
"""

from unisono.interpretation.feature_effects import FeatureEffects

__all__ = ["FeatureEffects"]
