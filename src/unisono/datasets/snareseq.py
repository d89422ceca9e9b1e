"""From the six files of SNARE-seq of adult mouse cortex in GEO (GSE126074) to RNA and chromatin; keeps all cells."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import io, sparse

from unisono.io.open import as_mudata
from unisono.messages import bad_input

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_SEPARATOR = "_"


def read(paths: Sequence[Path], name: str) -> MuData:
    """Raw counts of the barcodes that were measured in both, with the sample as batch, as 09A of 09A_CAGCCCCGCCTT.

    Args:
        paths: counts (features x cells, Matrix Market), features and barcodes of RNA, the same of chromatin; gzipped.
        name: of the data set, which the files do not need.

    Raises:
        BadInput: E003 a file is damaged, or the files do not belong together.
    """
    parts = {"rna": _part(*paths[:3]), "atac": _part(*paths[3:])}
    both = parts["rna"].obs_names.intersection(parts["atac"].obs_names)
    if not len(both):
        what = f"no barcode of RNA is one of chromatin (first: {parts['rna'].obs_names[0]})."
        raise bad_input("E003", paths[2].name, what, f"download the files of {name} again")
    mdata = as_mudata({kind: adata[both].copy() for kind, adata in parts.items()})
    mdata.obs["batch"] = mdata.obs_names.str.partition(_SEPARATOR).get_level_values(0)
    for adata in mdata.mod.values():
        adata.obs["batch"] = adata.obs_names.str.partition(_SEPARATOR).get_level_values(0)
    return mdata


def _part(counts: Path, features: Path, barcodes: Path) -> AnnData:
    """Cells x features of one assay."""
    import pandas as pd
    from anndata import AnnData

    matrix = sparse.csr_matrix(_matrix(counts).T, dtype=np.int32)
    cells, names = _lines(barcodes), _lines(features)
    if matrix.shape != (len(cells), len(names)):
        what = f"holds {matrix.shape[1]} features of {matrix.shape[0]} cells; there are names of {len(names)} and of "
        raise bad_input("E003", counts.name, f"{what}{len(cells)}.", "download the three files again")
    adata = AnnData(matrix, obs=pd.DataFrame(index=pd.Index(cells)), var=pd.DataFrame(index=pd.Index(names)))
    adata.var_names_make_unique()
    return adata


def _matrix(path: Path) -> sparse.coo_matrix:
    try:
        return sparse.coo_matrix(io.mmread(path))
    except (EOFError, ValueError, OSError, zlib.error, gzip.BadGzipFile) as error:
        what = f"is no whole Matrix Market file ({str(error).splitlines()[0] if str(error) else type(error).__name__})."
        raise bad_input("E003", path.name, what, "download it again") from error


def _lines(path: Path) -> list[str]:
    """The first column of a gzipped table without a head."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [line.rstrip("\r\n").split("\t")[0] for line in file if line.strip()]
    except (EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
        raise bad_input("E003", path.name, f"is no gzipped text ({error}).", "download it again") from error
