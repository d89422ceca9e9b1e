"""Counts of some cells of a data set, kept as one digest, by which a download without a published checksum is told.

A panel tells that a file is of the data set: the counts of its cells and features are those that were looked at here.
It does not vouch for the rest of the file, as a checksum would.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from unisono.io.fingerprint import fingerprint
from unisono.messages import bad_input
from unisono.types import ONE_BATCH, Cells, View

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

FOLDER = Path(__file__).parent / "panels"


def require_panel(mdata: MuData, name: str, file: str) -> str:
    """Hold counts to those of the panel of a data set; returns what was compared.

    Raises:
        BadInput: E092, a cell or feature is not there, or the counts are others.
    """
    panel = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    cells, features = panel["cells"], panel["features"]
    lacking = [cell for cell in cells if cell not in mdata.obs_names]
    lacking += [each for kind in features for each in features[kind] if each not in mdata[kind].var_names]
    remedy = "download it again later, or read the file as it is with un.read"
    if lacking:
        what = f"lacks {len(lacking)} of the cells and features of {name} that are looked at (first: {lacking[0]})."
        raise bad_input("E092", file, f"{what} It is not used.", remedy)
    compared = " and ".join(f"{len(features[kind])} of {kind}" for kind in features)
    if digest_of(mdata, cells, features) != panel["fingerprint"]:
        what = f"the counts of {len(cells)} cells ({compared}) are not those of {name}; it is not used."
        raise bad_input("E092", file, what, remedy)
    return f"counts of {len(cells)} cells ({compared} features); the rest of the file is not checked"


def digest_of(mdata: MuData, cells: list[str], features: dict[str, list[str]]) -> str:
    """The fingerprint of the counts of some cells and features, in this order."""
    views = {kind: _view(mdata[kind][cells, names], kind) for kind, names in features.items()}
    return fingerprint(Cells(views))


def _view(adata: AnnData, kind: str) -> View:
    counts = sparse.csr_matrix(adata.X).astype(np.int64)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    names = [np.asarray(each, dtype=str) for each in (adata.obs_names, adata.var_names)]
    return View(kind, counts, names[0], names[1], np.full(adata.n_obs, ONE_BATCH))
