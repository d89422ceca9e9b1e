"""Tools that write what a model says into the MuData it is asked about, as scanpy's do; each changes its argument."""

from unisono.tl.tools import embed, match, predict

__all__ = ["embed", "match", "predict"]
