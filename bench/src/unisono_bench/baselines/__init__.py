"""The baselines by name: what the field does without a deep model, and one plain contrastive network."""

from __future__ import annotations

from unisono_bench.baselines.canonical import fit_cca
from unisono_bench.baselines.codes import InputCodes
from unisono_bench.baselines.constant import Mean
from unisono_bench.baselines.contrastive import fit_clip
from unisono_bench.baselines.kernel import kernel_ridge, scaled_per_cell, scaled_per_component
from unisono_bench.baselines.matching import Matcher
from unisono_bench.baselines.neighbours import nearest
from unisono_bench.baselines.procrustes import fit_procrustes
from unisono_bench.baselines.regression import Regression
from unisono_bench.baselines.ridge import fit_ridge
from unisono_bench.methods import Method

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
