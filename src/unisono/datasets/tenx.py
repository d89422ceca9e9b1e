"""From the .h5 of Cell Ranger, as 10x Genomics publishes it, to modalities with one batch; keeps all cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.io.open import as_mudata, open_data

if TYPE_CHECKING:
    from mudata import MuData

_ANTIBODY_SUFFIX = r"_TotalSeq[ABC]$"


def read(paths: Sequence[Path], name: str) -> MuData:
    """All barcodes that Cell Ranger took for cells, with all genes, and the proteins or peaks of the same file.

    Args:
        paths: the one file.
        name: becomes the batch of all cells, in `obs["batch"]`.

    Raises:
        BadInput: as of `open_data`.
    """
    parts = dict(open_data(paths[0])[0].mod)
    if "adt" in parts:
        proteins = parts["adt"]
        proteins.var_names = proteins.var_names.str.replace(_ANTIBODY_SUFFIX, "", regex=True)
    for adata in parts.values():
        adata.obs["batch"] = name
    mdata = as_mudata(parts)
    mdata.obs["batch"] = name
    return mdata
