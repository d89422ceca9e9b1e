"""Match vectors: what matching compares cells of two sides by, content and, if asked, depth; pairs no cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from unisono.matching import Anchors, DepthTerm, standardise_depth, with_depth
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.types import Modality, Pair, View


class MatchVectors(NamedTuple):
    """Cells of both sides, cell x dimension, and the inverse temperature of their inner products."""

    left: NDArray[np.float32]
    right: NDArray[np.float32]
    beta: float


def match_vectors(
    network: Network,
    preprocessors: Mapping[Modality, Preprocessor],
    anchors: Mapping[Pair, Anchors],
    depth_terms: Mapping[Pair, DepthTerm],
    left: View,
    right: View,
    *,
    depth: bool,
    groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None,
) -> MatchVectors:
    """Vectors of two views of which `beta` times an inner product is the log density ratio of a pair of cells.

    Args:
        network: content encoders.
        voices: by modality.
        anchors: by pair of modalities, in one of its two orders.
        depth_terms: the same, for when depth counts.
        left: one modality.
        right: another one.
        depth: whether the agreement of total counts is added.
        groups: of each cell on both sides, within which depth is standardised; None for one group.
    """
    pair = left.modality, right.modality
    standardised = preprocessors[pair[0]].transform(left), preprocessors[pair[1]].transform(right)
    of_pair = anchors[pair] if pair in anchors else anchors[pair[::-1]].style_transfer()
    term = depth_terms[pair] if pair in depth_terms else depth_terms[pair[::-1]]
    beta = term.beta if depth else of_pair.beta
    contents = [infer.vectors(network, m, standardised.x) for m, standardised in zip(pair, standardised, strict=True)]
    vectors = of_pair.normalised(contents[0], contents[1], beta)
    if not depth:
        return MatchVectors(*vectors, beta)
    labels = groups or (None, None)
    depths = [standardise_depth(r.log_depth, g) for r, g in zip(standardised, labels, strict=True)]
    return MatchVectors(*with_depth(*vectors, depths[0], depths[1], term), beta)
