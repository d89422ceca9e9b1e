"""Style of a query: the voice that a prediction is asked in, by name or from reference cells; trains nothing."""

from __future__ import annotations

import numpy as np

from unisono.messages import bad_input
from unisono.nn import infer
from unisono.nn.model import Network
from unisono.nn.styles import Style, StyleBook
from unisono.preprocessing.preprocessor import Preprocessor
from unisono.preprocessing.standardisation import shrunken_mean
from unisono.types import Modality, View


def style_named(name: str, book: StyleBook, target: Modality) -> Style:
    """The style of a training batch of the target, or "average".

    Raises:
        BadInput: E031, no training batch has the name.
    """
    if name == "average":
        return book.average
    if name not in book.batches:
        known = ", ".join(book.batches[:10])
        what = f"style {name!r} is no training batch of {target} (they are: {known})."
        raise bad_input("E031", f"model, {target}", what, 'use one of them, "average", or reference cells')
    return book.of_batch(name)


def style_of_cells(view: View, network: Network, preprocessor: Preprocessor, average: Style) -> Style:
    """Mean style of reference cells; their offset is what their own content leaves unexplained.

    So a handful of cells of one type shifts the prediction by how they were measured, not by what they are.

    Args:
        view: the reference cells, in the modality that is to be predicted.
        network: encoders and decoders.
        voice: of that modality.
        average: the style in which contents are decoded to say what they explain.
    """
    modality, standardised = view.modality, preprocessor.transform(view)
    scaled = standardised.scaled
    z = infer.contents(network, modality, scaled)
    offset = shrunken_mean(scaled - infer.decoded(network, modality, z, average.latent, average.offset))
    spread = np.broadcast_to(offset, scaled.shape)
    latent = infer.styles(network, modality, scaled - spread, standardised.depth, np.ascontiguousarray(spread))
    return Style(latent.mean(axis=1), offset)
