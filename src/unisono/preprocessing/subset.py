"""Some of many cells or features, evenly spread, where all would cost too much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly_spread(n: int, at_most: int) -> NDArray[np.intp]:
    """Positions among n, all or as many as allowed, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.intp))
