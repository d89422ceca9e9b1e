"""The baselines by name: what the field does without a deep model, and one plain contrastive network."""

from __future__ import annotations

from unisono.evaluation.baselines.canonical import fit_cca
from unisono.evaluation.baselines.codes import InputCodes
from unisono.evaluation.baselines.constant import Mean
from unisono.evaluation.baselines.contrastive import fit_clip
from unisono.evaluation.baselines.kernel import kernel_ridge, scaled_per_cell, scaled_per_component
from unisono.evaluation.baselines.matching import Matcher
from unisono.evaluation.baselines.neighbours import nearest
from unisono.evaluation.baselines.procrustes import fit_procrustes
from unisono.evaluation.baselines.regression import Regression
from unisono.evaluation.baselines.ridge import fit_ridge
from unisono.evaluation.methods import Method

_METHODS: tuple[Method, ...] = (
    Mean(),
    Regression("ridge", 100, InputCodes.centred, fit_ridge),
    Regression("knn-25", 50, InputCodes.raw, nearest(25)),
    Regression("knn-100", 50, InputCodes.raw, nearest(100)),
    Regression("kernel-ridge", 300, InputCodes.raw, kernel_ridge(scaled_per_cell)),
    Regression("kernel-ridge-std", 50, InputCodes.raw, kernel_ridge(scaled_per_component)),
    Matcher("cca", 50, fit_cca, stops_early=False),
    Matcher("procrustes", 50, fit_procrustes, stops_early=False),
    Matcher("clip-mlp", 50, fit_clip, stops_early=True),
)

BASELINES: dict[str, Method] = {method.name: method for method in _METHODS}
