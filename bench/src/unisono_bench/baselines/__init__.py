"""The baselines by name: what the field does without a deep model, and one plain contrastive network."""

from __future__ import annotations

from unisono_bench.baselines.codes import InputCodes
from unisono_bench.baselines.contrastive import fit_clip
from unisono_bench.baselines.kernel import kernel_ridge, scaled_per_cell, scaled_per_component
from unisono_bench.baselines.linear import fit_cca, fit_procrustes
from unisono_bench.baselines.matcher import Matcher
from unisono_bench.baselines.regression import Mean, Regression, fit_ridge, nearest
from unisono_bench.estimators import Estimator

_ALL: tuple[Estimator, ...] = (
    Mean(),
    Regression("ridge", 100, InputCodes.centred, fit_ridge),
    Regression("knn-25", 50, InputCodes.raw, nearest(25)),
    Regression("knn-100", 50, InputCodes.raw, nearest(100)),
    Regression("kernel-ridge", 300, InputCodes.raw, kernel_ridge(scaled_per_cell)),
    Regression("kernel-ridge-std", 50, InputCodes.raw, kernel_ridge(scaled_per_component)),
    Matcher("cca", 50, fit_cca, stops_early=False),
    Matcher("cca-centred", 50, fit_cca, stops_early=False, read=InputCodes.rescaled),
    Matcher("procrustes", 50, fit_procrustes, stops_early=False),
    Matcher("clip-mlp", 50, fit_clip, stops_early=True),
)

BASELINES: dict[str, Estimator] = {estimator.name: estimator for estimator in _ALL}
