"""What outputs carry next to values: the query's obs, the training var, and the model they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unisono.inference.fitted_model import FittedModel
from unisono.io.annotations import obs_of
from unisono.io.matching import Matching
from unisono.matching import Similarity
from unisono.messages import Finding
from unisono.model.query import kinds
from unisono.types import Modality, Prediction, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def joined_predictions(parts: Sequence[Prediction]) -> Prediction:
    """The predictions of consecutive cells as one."""
    first, draws = parts[0], [part.draws for part in parts if part.draws is not None]
    novelty = [part.novelty for part in parts if part.novelty is not None]
    return replace(
        first,
        cells=np.concatenate([part.cells for part in parts]),
        codes=np.concatenate([part.codes for part in parts]),
        draws=np.concatenate(draws, axis=1) if draws else None,
        novelty=np.concatenate(novelty) if novelty else None,
    )


def annotated_prediction(
    prediction: Prediction, fitted: FittedModel, query: MuData | AnnData, view: View
) -> Prediction:
    """The prediction with what query and training data say of cells and features."""
    var = _var(fitted, prediction.target)
    return replace(prediction, obs=_obs(fitted, query, view), var=var, origin=origin_of(fitted))


def annotated_matching(
    matching: Matching, fitted: FittedModel, sides: tuple[MuData | AnnData, MuData | AnnData], views: tuple[View, View]
) -> Matching:
    """The matching with what both sides say of their cells."""
    left, right = (_obs(fitted, side, view) for side, view in zip(sides, views, strict=True))
    return replace(matching, left_obs=left, right_obs=right, origin=origin_of(fitted))


_FLATTENED = 0.6
"""Factor of the inverse temperature below which it is said; new batches of a laboratory that is known stay above."""


def measured_otherwise(similarity: Similarity, matching: Matching) -> list[Finding]:
    """W070 where probabilities were made flatter, with how many of the likeliest partners are expected to be right."""
    if similarity.flattened >= _FLATTENED:
        return []
    confidence = matching.match_posterior.confidence
    expected = 0.0 if confidence is None or not len(confidence) else float(confidence.mean())
    what = (
        "these cells were measured unlike those of training (other panel, genes, levels or spread): probabilities are "
        f"{1 / similarity.flattened:.1f} times flatter, and of the likeliest partners some {expected:.1%} are right."
    )
    remedy = "trust groups of cells more than single partners, or fit with cells of that laboratory"
    return [Finding("W070", f"{matching.left_modality}, {matching.right_modality}", what, remedy)]


def origin_of(fitted: FittedModel) -> dict[str, str | int | float]:
    """Version of the package, seed and fingerprint of a model."""
    return {"version": version("unisono"), "seed": fitted.config.seed, "model": fitted.fingerprint}


def _obs(fitted: FittedModel, data: MuData | AnnData, view: View) -> pd.DataFrame:
    if not hasattr(data, "mod"):
        return obs_of(data, [], view.cells)
    parts = [name for name, kind in kinds(data, fitted.record).items() if kind == view.modality]
    return obs_of(data, parts, view.cells)


def _var(fitted: FittedModel, modality: Modality) -> pd.DataFrame | None:
    annotation = fitted.var.get(modality)
    features = fitted.preprocessors[modality].projection.features
    return None if annotation is None else annotation.frame(pd.Index(features.astype(object)))
