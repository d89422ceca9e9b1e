"""From raw counts to low-rank codes: fitted on training cells, then frozen; numpy and scipy only."""

from unisono.modalities.normalise import clr, log1p_cp10k
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.projection import on_scale
from unisono.preprocessing.standardisation import Standardisation
from unisono.preprocessing.svd import LowRank, truncated_svd

__all__ = ["LowRank", "Preprocessor", "Standardisation", "clr", "log1p_cp10k", "on_scale", "truncated_svd"]
