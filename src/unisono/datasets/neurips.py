"""From the gzipped .h5ad of the NeurIPS 2021 challenge (GSE194122) to raw counts of two modalities; keeps all cells."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.io.open import as_mudata, open_data
from unisono.messages import bad_input

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_COUNTS = "counts"
_COLUMNS = ("batch", "cell_type")
_PEAK = r"^(\w+)-(\d+)-(\d+)$"


def read(paths: Sequence[Path], name: str) -> MuData:
    """Raw counts of layer "counts" in X, `batch` (site and donor, as s1d1) and `cell_type` in obs of all.

    Peaks are renamed from chr1-9776-10668 to chr1:9776-10668. The embeddings and the normalised values of the file are
    left out.

    Args:
        paths: the one file.
        name: of the data set, for messages.

    Raises:
        BadInput: E003 the file is damaged; E002 it is not of this layout.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / f"{name}.h5ad"
        _unpack(paths[0], plain)
        mdata, _ = open_data(plain)
    parts = {kind: _with_counts(adata, paths[0]) for kind, adata in mdata.mod.items()}
    if "atac" in parts:
        peaks = parts["atac"]
        peaks.var_names = peaks.var_names.str.replace(_PEAK, r"\1:\2-\3", regex=True)
    whole = as_mudata(parts)
    for column in _COLUMNS:
        whole.obs[column] = parts["rna"].obs[column].reindex(whole.obs_names)
    return whole


def _unpack(path: Path, target: Path) -> None:
    try:
        with gzip.open(path, "rb") as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise bad_input("E003", path.name, f"is no whole gzip file ({error}).", "download it again") from error


def _with_counts(adata: AnnData, path: Path) -> AnnData:
    """The raw counts alone, with the columns that are kept."""
    from anndata import AnnData

    lacking = [f"layer {_COUNTS!r}"] if _COUNTS not in adata.layers else []
    lacking += [f"column {column!r}" for column in _COLUMNS if column not in adata.obs]
    if lacking:
        what = f"has no {' and no '.join(lacking)}, as the files of GSE194122 have."
        raise bad_input("E002", path.name, what, "download it again, or read it with un.read")
    return AnnData(adata.layers[_COUNTS], obs=adata.obs[list(_COLUMNS)].copy(), var=adata.var[[]].copy())
