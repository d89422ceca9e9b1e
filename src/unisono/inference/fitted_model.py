"""The parts of a fitted model, and its predictions and similarities of views; reads no file, trains nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unisono.config import FitConfig
from unisono.inference.predictor import Predictor, Style
from unisono.inference.record import Record
from unisono.limits import UInt64
from unisono.matching import Anchors, DepthTerm, Similarity, mean_potential
from unisono.messages import bad_input
from unisono.modalities import in_order, spec_of
from unisono.nn import infer
from unisono.preprocessing.align import aligned_counts
from unisono.preprocessing.moment_alignment import MomentAlignment
from unisono.preprocessing.preprocessor import Guide, Preprocessor, StandardisedCodes
from unisono.preprocessing.row_hashes import row_hashes
from unisono.types import Annotation, Bounds, Modality, Pair, Prediction, View
from unisono.uncertainty.conformal import Conformal
from unisono.uncertainty.novelty import Novelty

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class FittedModel:
    """The parts of a fitted model: all that is saved of it, by these names.

    Attributes:
        config: the choices of the fit.
        predictor: from the codes of one modality to the features of another.
        anchors: by pair of modalities, they turn the similarity of contents into a log density ratio.
        depth_terms: the same when the agreement of depths is added.
        moment_alignment: by modality, the map of its vectors to the shared space; empty where none was fitted.
        novelties: by modality, how far a cell lies from those of training.
        intervals: by (source, target), the widths of intervals; none where validation cells were too few.
        record: where the model came from.
        seen: by modality, the sorted numbers of the training cells; see `unisono.preprocessing.row_hashes`.
        var: by modality, what the training data say of their features next to names.
    """

    config: FitConfig
    predictor: Predictor
    anchors: Mapping[Pair, Anchors]
    depth_terms: Mapping[Pair, DepthTerm]
    moment_alignment: Mapping[Modality, MomentAlignment]
    novelties: Mapping[Modality, Novelty]
    intervals: Mapping[Pair, Conformal]
    record: Record
    seen: Mapping[Modality, UInt64[np.ndarray, " number"]]
    var: Mapping[Modality, Annotation] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Twelve letters that tell models apart: of the SHA-256 over config and weights of the networks."""
        digest = hashlib.sha256(self.config.model_dump_json().encode())
        for name, values in sorted(self.predictor.network.state_dict().items()):
            digest.update(name.encode() + np.ascontiguousarray(values.cpu().numpy()).tobytes())
        return digest.hexdigest()[:12]

    @property
    def preprocessors(self) -> Mapping[Modality, Preprocessor]:
        return self.predictor.preprocessors

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities the model knows, in the order of the central dogma."""
        return in_order(self.preprocessors)

    def predict(
        self, view: View, target: Modality, style: Style | None = None, *, via: Modality | None = None, n_draws: int = 0
    ) -> Prediction:
        """The target of each cell of a view, and how novel the cell is; see `Predictor.predict`."""
        codes = self.predictor.transform(view)
        prediction = self.predictor.predict(codes, target, style, via=via, n_draws=n_draws)
        _require_finite(prediction.reach, f"predictions of {target}")
        return replace(prediction, novelty=self._novelty(codes))

    def knowing(self, view: View) -> FittedModel:
        """The same model, to which every batch of a view is known; see `Preprocessor.knowing`."""
        known = {**self.preprocessors, view.modality: self.preprocessors[view.modality].knowing(view)}
        return replace(self, predictor=replace(self.predictor, preprocessors=known))

    def guides(self, views: Mapping[Modality, View]) -> dict[Modality, Guide]:
        """What the model has to say of cells of these views to a new one, by modality that it knows.

        Raises:
            BadInput: E037, the views share no feature with the model in any modality.
        """
        network, found = self.predictor.network, {}
        for modality in [m for m in self.modalities if m in views]:
            preprocessor = self.preprocessors[modality]
            if not preprocessor.projection.align(views[modality]).is_present[preprocessor.projection.selected].any():
                continue
            kernels = {t: self.predictor.terms[modality, t].kernel for t in self.modalities if t != modality}
            content, constant = infer.linear_map(network, modality)
            known = {t: kernel for t, kernel in kernels.items() if kernel is not None}
            found[modality] = Guide(preprocessor, content, constant, known)
        if not found:
            what = f"its features are not those of the model that it is to start from ({', '.join(self.modalities)})."
            raise bad_input("E037", "init", what, "give a model of the same kind of cells, or none")
        return found

    def bounds(self, source: Modality, target: Modality, coverage: float, groups: NDArray[np.str_]) -> Bounds:
        """The widths of intervals of a coverage, for cells of these groups.

        Raises:
            BadInput: E053, the coverage is out of range, or there are no widths in this direction.
        """
        if not 0 < coverage < 1:
            raise bad_input("E053", "predict", f"interval={coverage} is no coverage.", "pass a number between 0 and 1")
        if spec_of(target).is_binary:
            what = f"{target} is measured as 0 or 1, which no interval about a probability would hold."
            raise bad_input("E053", "predict", what, f"leave interval out for {target}")
        if (source, target) not in self.intervals:
            what = f"no intervals are known from {source} to {target}: the fit had too few validation cells."
            raise bad_input("E053", "predict", what, "call model.calibrate with cells that it was not trained on")
        return self.intervals[source, target].bounds(coverage, groups)

    def content_vectors(self, view: View) -> Array:
        """Cells by content, cell x dimension, unit length: inner products are similarities of content."""
        return self._contents(self.predictor.transform(view))

    def _contents(self, codes: StandardisedCodes) -> Array:
        vectors = infer.vectors(self.predictor.network, codes.modality, codes.x)
        return _require_finite(vectors, f"contents of {codes.modality}")

    def embedding(self, view: View) -> Array:
        """Cells in the space that `embed` writes, cell x dimension, unit length; see `MomentAlignment`."""
        return self._embedded(view.modality, self.content_vectors(view))

    def embedding_and_novelty(self, view: View) -> tuple[Array, Array]:
        """`embedding` and `novelty` of the same cells."""
        codes = self.predictor.transform(view)
        return self._embedded(view.modality, self._contents(codes)), self._novelty(codes)

    def embedding_dim(self, modality: Modality) -> int:
        """Dimensions of `embedding`, the same for all modalities that are aligned."""
        codes = np.zeros((1, len(self.preprocessors[modality].standardisation.mean)), dtype=np.float32)
        return int(self._embedded(modality, infer.vectors(self.predictor.network, modality, codes)).shape[1])

    def _embedded(self, modality: Modality, vectors: Array) -> Array:
        """Vectors of content in the space that `embed` writes."""
        alignment = self.moment_alignment.get(modality)
        if alignment is None:
            return vectors
        placed = alignment.apply(vectors, mean_potential(self.anchors, modality, vectors))
        return _require_finite(placed, f"the embedding of {modality}")

    def has_seen(self, view: View) -> NDArray[np.bool_]:
        """Which cells were training cells, by their counts over the model's features."""
        projection = self.preprocessors[view.modality].projection
        counts = aligned_counts(view, projection.align(view))
        if not np.issubdtype(counts.dtype, np.integer):
            return np.zeros(view.n_cells, dtype=bool)  # counts of peaks were divided among those that overlap
        numbers = row_hashes(counts, projection.features)
        return np.asarray(np.isin(numbers, self.seen[view.modality]) & (numbers != 0))

    def novelty(self, view: View) -> Array:
        """How far each cell lies from those of training; above 1 where it lies further than 95 % of them."""
        return self._novelty(self.predictor.transform(view))

    def _novelty(self, codes: StandardisedCodes) -> Array:
        return _require_finite(self.novelties[codes.modality].of(codes.x), f"the novelty of {codes.modality}")

    def similarity(
        self,
        left: View,
        right: View,
        *,
        depth: bool = False,
        groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None,
    ) -> Similarity:
        """The log density ratios of the cells of two views; see `similarity_of_codes`."""
        codes = self.predictor.transform(left), self.predictor.transform(right)
        return self.similarity_of_codes(*codes, depth=depth, groups=groups)

    def similarity_of_codes(
        self,
        left: StandardisedCodes,
        right: StandardisedCodes,
        *,
        depth: bool = False,
        groups: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None,
    ) -> Similarity:
        """The log density ratios of cells of two modalities, by which `match` compares them.

        Args:
            left: one modality.
            right: another one.
            depth: whether the agreement of total counts is added.
            groups: of each cell on both sides, within which depth is standardised; None for one group.
        """
        pair = left.modality, right.modality
        factor = self._beta_factor(left, right)
        anchors = self.anchors[pair] if pair in self.anchors else self.anchors[pair[::-1]].swapped()
        anchors = anchors.flattened(factor)
        x, y = (self._contents(side) for side in (left, right))
        similarity = Similarity(x, y, anchors.beta, flattened=factor).with_anchors(anchors)
        if not depth:
            return similarity
        term = self.depth_terms[pair] if pair in self.depth_terms else self.depth_terms[pair[::-1]]
        flattened = replace(term, beta=term.beta * factor)
        return similarity.with_depth(flattened, (left.log_depth, right.log_depth), groups)

    def _beta_factor(self, left: StandardisedCodes, right: StandardisedCodes) -> float:
        """By which the inverse temperature shrinks as cells were measured less like those of training."""
        choice, shift = self.config.matching, float(left.shift.mean() + right.shift.mean())
        return max(float(np.exp(-choice.shift_decay * shift)), choice.min_beta_factor)


def _require_finite(values: Array, what: str) -> Array:
    """The values themselves.

    Raises:
        BadInput: E049, some are not finite: the numbers of the model are too large to compute with.
    """
    n_bad = int((~np.isfinite(values)).sum())
    if n_bad:
        found = f"{n_bad:,} of {values.size:,} values of {what} are not finite: its numbers are too large."
        raise bad_input("E049", "model", found, "copy the model again from its origin, or fit it again")
    return values
