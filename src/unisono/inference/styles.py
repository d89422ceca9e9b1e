"""StyleBook: the styles of one modality by name of their batch, and their average; computes none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Style(NamedTuple):
    """The style of a prediction.

    Attributes:
        latent: member x style, drives AdaIN.
        offset: one per code, mean of the batch's codes about that of all cells.
    """

    latent: NDArray[np.float32]
    offset: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class StyleBook:
    """Styles of the training batches of one modality.

    Attributes:
        batches: their names.
        latents: batch x member x style.
        offsets: batch x code.
        average_latent: member x style, the mean over all training cells.
    """

    batches: NDArray[np.str_]
    latents: NDArray[np.float32]
    offsets: NDArray[np.float32]
    average_latent: NDArray[np.float32]

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
        )

    def of_batch(self, name: str) -> Style:
        """The style of a training batch.

        Raises:
            KeyError: no training batch has this name.
        """
        rows = np.flatnonzero(self.batches == name)
        if not len(rows):
            raise KeyError(name)
        return Style(self.latents[rows[0]], self.offsets[rows[0]])
