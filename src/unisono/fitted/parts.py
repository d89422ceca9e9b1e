"""Parts: what a fitted model is made of and what is saved of it; no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unisono.config import FitConfig
from unisono.fitted.record import Record
from unisono.match import DepthTerm
from unisono.nn.model import Network
from unisono.nn.styles import StyleBook
from unisono.transforms.route import Route
from unisono.transforms.voice import Voice
from unisono.types import MODALITIES, Modality, Pair


@dataclass(frozen=True, eq=False)
class Parts:
    """All that a fit has found.

    Attributes:
        config: the choices of the fit.
        network: encoders, decoders and heads.
        voices: by modality, the way from counts to codes.
        styles: by modality, the styles known by name.
        betas: for each pair of modalities the inverse temperature of matching by content.
        depth_terms: the same when the agreement of depths is added.
        routes: for each (source, target) what stands beside the networks.
        record: where the model came from.
    """

    config: FitConfig
    network: Network
    voices: Mapping[Modality, Voice]
    styles: Mapping[Modality, StyleBook]
    betas: Mapping[Pair, float]
    depth_terms: Mapping[Pair, DepthTerm]
    routes: Mapping[Pair, Route]
    record: Record

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities the model knows, in the order of the central dogma."""
        return tuple(m for m in MODALITIES if m in self.voices)
