"""Which training cells are kept aside for validation; looks at names and modalities, never at a count."""

from __future__ import annotations

import numpy as np

from unisono.config import FitConfig
from unisono.types import Cells


def split(cells: Cells, config: FitConfig) -> tuple[Cells, Cells | None]:
    """Training and validation cells: the latter drawn at random from those with two modalities or more.

    None where the config asks for none, or too few could be spared.
    """
    choice = config.validation
    order = np.random.default_rng([config.seed, 17]).permutation(len(cells.names))
    n_views = np.sum([cells.rows[m] >= 0 for m in cells.modalities], axis=0)
    paired = order[n_views[order] > 1]
    n_validation = int(min(max(choice.fraction * len(paired), choice.min_cells), choice.max_fraction * len(paired)))
    if choice.fraction == 0 or n_validation < choice.drop_below:
        return cells, None
    chosen = np.sort(paired[:n_validation])
    return cells.take(np.setdiff1d(np.arange(len(order)), chosen)), cells.take(chosen)
