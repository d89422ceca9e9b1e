"""Answers about the cells of a file that the workers of a Dask cluster write together."""

from unisono.cluster.answers import embed, predict, search
from unisono.cluster.run import connected

__all__ = ["connected", "embed", "predict", "search"]
