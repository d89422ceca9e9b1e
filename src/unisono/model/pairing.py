"""One paired MuData out of matched cells of two modalities; decides nothing about who belongs to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unisono.io.matching import Matching
from unisono.messages import bad_input

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

LEFT, RIGHT, PROBABILITY = "unisono_left", "unisono_right", "unisono_probability"
"""Columns of obs: names of both cells in their own data, and the probability that they are the same cell."""


def joined(matching: Matching, left: AnnData, right: AnnData) -> MuData:
    """The cells of a one-to-one matching side by side, called as the left ones.

    Raises:
        BadInput: E057 no pair is as likely as the matching asks for.
    """
    chosen = _chosen(matching)
    if chosen.empty:
        what = f"no pair has a probability of {matching.min_probability} or more."
        raise bad_input("E057", "pair", what, "lower min_probability")
    sides = {matching.left_modality: (left, LEFT), matching.right_modality: (right, RIGHT)}
    parts = {m: _renamed(side, chosen[column], chosen[LEFT]) for m, (side, column) in sides.items()}
    import mudata

    with mudata.set_options(pull_on_update=False):
        mdata = mudata.MuData(parts)
    mdata.obs = mdata.obs.join(chosen.set_index(LEFT, drop=False).rename_axis(None))
    mdata.uns["unisono"] = {"left": matching.left_modality, "right": matching.right_modality, **matching.origin}
    return mdata


def _chosen(matching: Matching) -> pd.DataFrame:
    """Each matched left cell with its right one and the probability of the pair, left cells in order."""
    posterior = matching.match_posterior
    is_matched = matching.is_answered & (np.asarray(posterior.p_unmatched) < 1)
    partner = posterior.probabilities.argmax(axis=1).A1[is_matched]
    assert posterior.confidence is not None
    columns = {LEFT: matching.left[is_matched], RIGHT: matching.right[partner]}
    return pd.DataFrame({**columns, PROBABILITY: posterior.confidence[is_matched]}).astype(
        {LEFT: object, RIGHT: object}
    )


def _renamed(side: AnnData, own: pd.Series, names: pd.Series) -> AnnData:
    part = side[own.to_numpy()].copy()
    part.obs_names = names.to_numpy()
    return part
