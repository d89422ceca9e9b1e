"""Answers about the cells of a file that the workers of a Dask cluster write together.

Examples:
    On the scheduler that `dask scheduler` has started; model, file and output lie where its workers reach them:

    >>> import unisono as un
    >>> model = un.load("human-blood-cite")
    >>> with un.cluster.connected("tcp://node1:8786") as client:  # doctest: +SKIP
    ...     un.cluster.predict(client, model, "cells.zarr", "proteins.zarr", source="rna", target="adt")
    ...     un.cluster.embed(client, model, "cells.zarr", "embedding.zarr")
"""

from unisono.cluster.answers import embed, predict, search
from unisono.cluster.run import connected

__all__ = ["connected", "embed", "predict", "search"]
