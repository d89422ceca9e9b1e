"""How much of what an earlier model says stands next to the codes of a new one: chosen on left-out cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from unisono.config import FitConfig
from unisono.preprocessing.kernel_ridge import left_out_error
from unisono.preprocessing.preprocessor import Guide
from unisono.training.mini_batches import TrainingView, Views, paired_rows
from unisono.types import Cells, Modality


def guided(
    views: Views, guides: Mapping[Modality, Guide], cells: Cells, config: FitConfig
) -> dict[Modality, TrainingView]:
    """The views, each next to its guide at the weight under which it predicts the others best; alone where that is 0.

    Args:
        views: of the cells, without guides.
        guides: what an earlier model has to say, by modality.
        cells: the training cells.
        config: of the fit.
    """
    found = dict(views)
    for modality, guide in guides.items():
        candidates = [views[modality]]
        for weight in config.preprocessing.guide_weights:
            if weight > 0:
                candidates.append(TrainingView.fit(cells, modality, config, replace(guide, weight=weight)))
        found[modality] = min(candidates, key=lambda candidate: _error(modality, candidate, views, config))
    return found


def _error(source: Modality, candidate: TrainingView, views: Views, config: FitConfig) -> float:
    """Sum over the other modalities of the error of a kernel ridge on left-out cells."""
    total = 0.0
    for target, view in views.items():
        rows, rows_target = paired_rows({**views, source: candidate}, source, target)
        if target != source and len(rows) >= config.kernel.min_pairs:
            total += left_out_error(candidate.leave_one_out_codes[rows], view.codes.x[rows_target], config.kernel)
    return total
