"""Pictures of what a model says, as Axes of matplotlib, which is imported when one is drawn and not before."""

from unisono.pl.calibration import calibration
from unisono.pl.coverage import coverage
from unisono.pl.embedding import embedding
from unisono.pl.features import features
from unisono.pl.style_swap import style_swap

__all__ = ["calibration", "coverage", "embedding", "features", "style_swap"]
