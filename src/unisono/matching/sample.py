"""A random sample of cells, drawn by their vectors and not by their places; knows nothing of what it is for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

_MIXING = (30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)


def sample(vectors: Float[np.ndarray, "cell dim"], at_most: int, seed: int) -> NDArray[np.intp]:
    """Positions of at most so many cells, in an order that goes with their vectors.

    Cells are ranked by a hash of their values: the same ones are drawn, and summed in the same order, wherever they
    stand. Values are rounded to half precision, so that the last bits of a product have no say, multiplied by random
    weights and added modulo 2^64, and the sum is mixed.

    References:
        Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014 (the mixing).
    """
    if len(vectors) <= at_most:
        return np.arange(len(vectors))
    size = (vectors.shape[1],)
    weights = np.random.default_rng(seed).integers(0, 2**64, size=size, dtype=np.uint64)
    number = np.zeros(len(vectors), dtype=np.uint64)
    for place, weight in enumerate(weights):
        number += vectors[:, place].astype(np.float16).view(np.uint16) * weight
    for shift, factor in _MIXING:
        number = (number ^ (number >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(number, kind="stable")[:at_most]
