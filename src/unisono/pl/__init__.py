"""Pictures of what a model says, as Axes of matplotlib, which is imported when one is drawn and not before."""

from unisono.pl.accuracy import coverage, features
from unisono.pl.calibration import calibration
from unisono.pl.embedding import embedding
from unisono.pl.style_swap import style_swap

__all__ = ["calibration", "coverage", "embedding", "features", "style_swap"]
