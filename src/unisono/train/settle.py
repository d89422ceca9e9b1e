"""What is read off the networks once they are trained: mean styles, and the temperatures of matching."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from unisono.match import DepthTerm, fit_beta, fit_beta_and_depth_weight
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.nn.styles import StyleBook
from unisono.train.feed import TrainingView
from unisono.train.held_out import HeldOut
from unisono.types import Modality

_MOST_PAIRS = 1500
_WITHOUT_HELD_OUT = DepthTerm(beta=10.0, weight=0.0, r=0.0)


def style_book(network: Network, view: TrainingView) -> StyleBook:
    """Mean style of the training cells of each batch."""
    modality, reading = view.voice.modality, view.reading
    styles = infer.styles(network, modality, reading.x, reading.depth, reading.offset)
    batches, index = np.unique(reading.batch, return_inverse=True)
    means = np.stack([styles[:, index == b].mean(axis=1) for b in range(len(batches))])
    return StyleBook(batches, means, view.voice.standardisation.offsets, styles.mean(axis=1))


def match_terms(
    network: Network, held_out: HeldOut | None, modalities: tuple[Modality, ...]
) -> Mapping[tuple[Modality, Modality], tuple[float, DepthTerm]]:
    """For each pair of modalities the inverse temperature without depth, and the terms with it.

    Without held-out cells the temperature is a guess, and the numbers a score rather than a probability.
    """
    if held_out is None:
        return dict.fromkeys(combinations(modalities, 2), (_WITHOUT_HELD_OUT.beta, _WITHOUT_HELD_OUT))
    return {(a, b): _terms_of(network, held_out, a, b) for a, b in combinations(modalities, 2)}


def _terms_of(network: Network, held_out: HeldOut, a: Modality, b: Modality) -> tuple[float, DepthTerm]:
    rows_a, rows_b = (rows[:_MOST_PAIRS] for rows in held_out.paired_rows(a, b))
    if len(rows_a) < 5:
        return _WITHOUT_HELD_OUT.beta, _WITHOUT_HELD_OUT
    left = infer.vectors(network, a, held_out.readings[a].x[rows_a])
    right = infer.vectors(network, b, held_out.readings[b].x[rows_b])
    within = held_out.readings[a].batch[rows_a]
    depths = held_out.readings[a].log_depth[rows_a], held_out.readings[b].log_depth[rows_b]
    beta = fit_beta(left, right, within=within)
    return beta, fit_beta_and_depth_weight(left, right, *depths, within=within)
