"""Predictor: from the codes of one modality to the features of another, in a style; reads no file, trains nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unisono.inference.closed_form import ClosedFormTerms
from unisono.limits import POSITIVE, UNIQUE, Float32, Shaped
from unisono.messages import bad_input
from unisono.modalities import spec_of
from unisono.nn import infer
from unisono.nn.infer import mean_jacobian
from unisono.nn.model import Network
from unisono.preprocessing.preprocessor import Preprocessor, StandardisedCodes
from unisono.types import Modality, Pair, Prediction, View

N_CHAIN_DRAWS = 32
"""Draws of a chain by default: the standard error of their mean is then a sixth of their spread."""
_SEED = 41

Array = NDArray[np.float32]


class Style(NamedTuple):
    """The style of a prediction.

    Attributes:
        latent: member x style, drives AdaIN.
        offset: one per code, mean of the batch's codes about that of all cells.
        gains: how steeply each feature answers; None where all answer as on average.
    """

    latent: NDArray[np.float32]
    offset: NDArray[np.float32]
    gains: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class StyleBook:
    """Styles of the training batches of one modality.

    Attributes:
        batches: their names.
        latents: batch x member x style.
        offsets: batch x code.
        average_latent: member x style, the mean over all training cells.
        gains: batch x feature; None where all are 1.
    """

    batches: Annotated[Shaped[np.ndarray, " batch"], UNIQUE]
    latents: Float32[np.ndarray, "batch member style"]
    offsets: Float32[np.ndarray, "batch code"]
    average_latent: Float32[np.ndarray, "member style"]
    gains: Annotated[Float32[np.ndarray, "batch feature"] | None, POSITIVE] = None

    @property
    def average(self) -> Style:
        """The mean over all training cells, whose codes have no offset."""
        return Style(self.average_latent, np.zeros(self.offsets.shape[1], dtype=np.float32))

    def with_batches(self, other: StyleBook, names: Sequence[str]) -> StyleBook:
        """The same book with some batches of another one, of the same networks, appended."""
        rows = [int(np.flatnonzero(other.batches == name)[0]) for name in names]
        return StyleBook(
            np.concatenate([self.batches, other.batches[rows]]),
            np.concatenate([self.latents, other.latents[rows]]),
            np.concatenate([self.offsets, other.offsets[rows]]),
            self.average_latent,
            None if self.gains is None or other.gains is None else np.concatenate([self.gains, other.gains[rows]]),
        )

    def of_batch(self, name: str) -> Style:
        """The style of a training batch.

        Raises:
            KeyError: no training batch has this name.
        """
        rows = np.flatnonzero(self.batches == name)
        if not len(rows):
            raise KeyError(name)
        return Style(self.latents[rows[0]], self.offsets[rows[0]], None if self.gains is None else self.gains[rows[0]])


@dataclass(frozen=True, eq=False)
class Predictor:
    """Predicts one modality of a cell from another.

    From the batch-centred codes x of a cell in the source, in a style s = (latent ℓ, offset o) of the target, the
    target's codes c and the value v of feature g are

        N(x; s) = o + 1/M Σ_m D_m(μ_m(x), ℓ_m)           networks: mean content, decoded in the style by each member m
        c(x; s) = N(x; s) + w (K(x) − N(x; s̄))            kernel ridge K of weight w; s̄ is the average style
        v_g(x; s) = link( γ_g (a_g ⟨W_g, c(x; s)⟩ + b_g) + d(x) )

    with the loadings W and intercepts b of the target's head, and the gains γ of the style, 1 in the average one. a and
    d are 1 and 0 except for a binary target: a shrinks its log odds, and d is the expected depth of the cell. Draws
    replace μ_m(x) by samples of the posterior of content.
    In a chain, predicted codes of an intermediate modality are used as if they had been measured.

    Attributes:
        network: content encoders, style encoders, decoders and heads of all members.
        preprocessors: by modality, from counts to standardised codes.
        styles: by modality, the styles known by name.
        terms: by (source, target), the closed-form terms K, w, a, d.
    """

    network: Network
    preprocessors: Mapping[Modality, Preprocessor]
    styles: Mapping[Modality, StyleBook]
    terms: Mapping[Pair, ClosedFormTerms]

    def predict(
        self,
        codes: StandardisedCodes,
        target: Modality,
        style: Style | None = None,
        *,
        via: Modality | None = None,
        n_draws: int = 0,
    ) -> Prediction:
        """The target of each cell, kept as codes x loadings.

        Args:
            codes: of the source.
            target: modality to predict.
            style: of the target; the average style by default.
            via: an intermediate modality; the mean is then that of the draws, 32 by default.
            n_draws: draws from the posterior to keep; 0 for none.
        """
        style = style if style is not None else self.styles[target].average
        draws = None
        if via is not None:
            draws = self._chain_draws(codes, via, target, style, n_draws or N_CHAIN_DRAWS)
            mean = draws.mean(axis=0)
        else:
            correction = self._kernel_correction(codes.modality, codes.x, target)
            mean = self._network_codes(codes.modality, codes.x, target, style) + correction
            if n_draws:
                draws = self._network_draws(codes.modality, codes.x, target, style, n_draws) + correction
        return self._read_out(codes, target, mean, draws, via, style.gains)

    def predict_by_ridge(self, codes: StandardisedCodes, target: Modality) -> Prediction | None:
        """The target by a linear ridge of the same codes, read out alike: what a prediction is compared with.

        It differs from `predict` in average style by what makes c(x) of x, and by nothing else. None where no ridge was
        fitted.
        """
        ridge = self.terms[codes.modality, target].baseline
        return None if ridge is None else self._read_out(codes, target, ridge.predict(codes.x), None, None, None)

    def transform(self, view: View) -> StandardisedCodes:
        """The standardised codes of a view; see `Preprocessor.transform`."""
        return self.preprocessors[view.modality].transform(view)

    def style_named(self, target: Modality, name: str) -> Style:
        """The style of a training batch of the target, or "average".

        Raises:
            BadInput: E031, no training batch has the name.
        """
        book = self.styles[target]
        if name == "average":
            return book.average
        if name not in book.batches:
            known = ", ".join(book.batches[:10])
            what = f"style {name!r} is no training batch of {target} (they are: {known})."
            raise bad_input("E031", f"model, {target}", what, 'use one of them, "average", or reference cells')
        return book.of_batch(name)

    def style_of(self, view: View) -> Style:
        """The mean style of reference cells, whose offset is what their content does not explain.

        So a handful of cells of one type shifts the prediction by how they were measured, not by what they are.
        """
        modality, codes = view.modality, self.transform(view)
        scaled = codes.scaled
        explained = self._network_codes(modality, scaled, modality, self.styles[modality].average)
        offset = self.preprocessors[modality].standardisation.shrunken_mean(scaled - explained)
        offsets = np.tile(offset, (len(scaled), 1))
        latent = infer.styles(self.network, modality, scaled - offsets, codes.depth, offsets)
        return Style(latent.mean(axis=1), offset, self.preprocessors[modality].mean_gains(view))

    def mean_jacobian(self, codes: StandardisedCodes, target: Modality) -> Array:
        """∂c/∂x in the average style, target code x source code, mean over cells."""
        terms = self.terms[codes.modality, target]
        average = self.styles[target].average
        networks = mean_jacobian(self.network, codes.modality, target, codes.x, average.latent, average.offset)
        if terms.kernel is None:
            return networks
        weight = np.float32(terms.kernel_weight)
        mixed = (1.0 - weight) * networks + weight * terms.kernel.mean_jacobian(codes.x)
        return np.asarray(mixed, dtype=np.float32)

    def loadings(self, source: Modality, target: Modality) -> tuple[Array, Array]:
        """a_g W_g, feature x code, and b_g, of a prediction from `source`."""
        loadings, intercept = infer.readout(self.network, target)
        scale = self.terms[source, target].log_odds_scale
        return loadings if scale is None else loadings * scale[:, None], intercept

    def _read_out(
        self,
        codes: StandardisedCodes,
        target: Modality,
        mean: Array,
        draws: Array | None,
        via: Modality | None,
        gains: Array | None,
    ) -> Prediction:
        loadings, intercept = self.loadings(via or codes.modality, target)
        if gains is not None:
            loadings, intercept = loadings * gains[:, None], intercept * gains
        depth = self.terms[codes.modality, target].expected_depth(codes)
        if depth is not None:  # one more code, the same in every draw, of which every feature has loading 1
            mean, draws = _with_column(mean, depth), None if draws is None else _with_column(draws, depth)
            loadings = _with_column(loadings, np.ones(len(loadings), dtype=np.float32))
        features = self.preprocessors[target].projection.features
        return Prediction(
            codes.modality, target, codes.cells, features, mean, loadings, intercept, spec_of(target).link, via, draws
        )

    def _network_codes(self, source: Modality, x: Array, target: Modality, style: Style) -> Array:
        """N(x; s), cell x code."""
        z = infer.contents(self.network, source, x)
        codes: Array = infer.decoded(self.network, target, z, style.latent, style.offset).mean(axis=0)
        return codes

    def _kernel_correction(self, source: Modality, x: Array, target: Modality) -> Array:
        """W (K(x) − N(x; s̄)), cell x code; zero where the kernel has no weight."""
        terms, average = self.terms[source, target], self.styles[target].average
        if terms.kernel is None:
            return np.zeros((len(x), len(average.offset)), dtype=np.float32)
        gap = terms.kernel.predict(x) - self._network_codes(source, x, target, average)
        return np.float32(terms.kernel_weight) * gap

    def _network_draws(self, source: Modality, x: Array, target: Modality, style: Style, n_draws: int) -> Array:
        """Codes of the networks with content drawn from its posterior, draw x cell x code."""
        draws = self._posterior_draws(n_draws, n_steps=1)
        return np.concatenate(
            [self._decoded_draw(source, x, target, style, draw.noise[0])[: draw.n_members] for draw in draws]
        )

    def _chain_draws(
        self, codes: StandardisedCodes, middle: Modality, target: Modality, style: Style, n_draws: int
    ) -> Array:
        """Codes of the target by way of a third modality, draw x cell x code.

        The first step draws content from the source's posterior and decodes it to codes of the middle, one draw per
        member; the second uses these as if they had been measured, draws again and decodes. So the spread of the draws
        holds the uncertainty of both steps and the disagreement of members. The mean over draws is E[target | source]
        if, as by the central dogma, the target depends on the source through the middle alone.
        """
        average = self.styles[middle].average
        correction = self._kernel_correction(codes.modality, codes.x, middle)
        middles, drawn = [], []
        for draw in self._posterior_draws(n_draws, n_steps=2):
            between = self._decoded_draw(codes.modality, codes.x, middle, average, draw.noise[0]) + correction
            middles.append(between.mean(axis=0))
            drawn.append(self._decoded_draw(middle, between, target, style, draw.noise[1])[: draw.n_members])
        mean = np.asarray(np.mean(middles, axis=0), dtype=np.float32)
        return np.concatenate(drawn) + self._kernel_correction(middle, mean, target)

    def _decoded_draw(self, source: Modality, x: Array, target: Modality, style: Style, noise: Array) -> Array:
        z = infer.drawn_contents(self.network, source, x, noise)
        return infer.decoded(self.network, target, z, style.latent, style.offset)

    def _posterior_draws(self, n_draws: int, n_steps: int) -> Iterator[_Draw]:
        """One draw per member at a time until there are enough; every other one mirrors the noise of the last."""
        rng = np.random.default_rng(_SEED)
        size, shape = self.network.n_members, (n_steps, self.network.n_members, self.network.content_dim)
        noise = np.zeros(shape, dtype=np.float32)
        for number, start in enumerate(range(0, n_draws, size)):
            noise = -noise if number % 2 else rng.standard_normal(shape, dtype=np.float32)
            yield _Draw(noise, min(size, n_draws - start))


class _Draw(NamedTuple):
    """One draw of every member, of which the first few count; `noise` is step x member x content."""

    noise: Array
    n_members: int


def _with_column(values: Array, column: Array) -> Array:
    """One more column along the last axis, the same for every draw."""
    return np.concatenate([values, np.broadcast_to(column, values.shape[:-1])[..., None]], axis=-1)
