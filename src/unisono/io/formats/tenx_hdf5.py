"""The .h5 of Cell Ranger, versions 2 to 9, as an AnnData with every feature type in it; makes no name unique."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.container import standardised
from unisono.messages import bad_input

if TYPE_CHECKING:
    from anndata import AnnData

_MATRIX = "matrix"
_PARTS = {"barcodes", "data", "indices", "indptr", "shape"}
_OF_VERSION_2 = _PARTS | {"genes", "gene_names"}
_COLUMNS = {"id": "gene_ids", "feature_type": "feature_types", "genome": "genome"}
"""Columns of var by dataset of the file, as the reader of scanpy names them."""


def is_tenx_hdf5(groups: Mapping[str, frozenset[str]]) -> bool:
    """Whether the root of an HDF5 file looks like Cell Ranger's: one group `matrix`, or one group for each genome."""
    if _MATRIX in groups:
        return groups[_MATRIX] >= _PARTS
    return len(groups) > 0 and all(names >= _OF_VERSION_2 for names in groups.values())


def read_tenx_hdf5(path: Path) -> AnnData:
    """Cells x features as the file has them, var with `feature_types`, `gene_ids` and `genome`.

    Version 2 has one group for each genome; cells that one of them lacks have zeros there.

    Raises:
        BadInput: E003 damaged, or parts that do not belong together.
    """
    import h5py

    with standardised(path), h5py.File(path, "r") as file:
        if _MATRIX in file:
            return _of_group(path, file[_MATRIX], _var_of_version_3(file[_MATRIX]["features"]))
        parts = [_of_group(path, file[genome], _var_of_version_2(file[genome], genome)) for genome in file]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _of_group(path: Path, group: Any, var: pd.DataFrame) -> AnnData:
    from anndata import AnnData

    barcodes = _text(group["barcodes"])
    shape = (len(barcodes), len(var))
    if tuple(int(n) for n in group["shape"][:]) != shape[::-1]:
        stated = " x ".join(f"{n:,}" for n in group["shape"][:])
        what = f"parts do not belong together: {shape[1]:,} features and {shape[0]:,} barcodes, but a matrix {stated}."
        raise bad_input("E003", str(path), what, "copy it again from its origin")
    counts = sparse.csr_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), shape=shape)
    counts.check_format(full_check=True)
    return AnnData(counts, obs=pd.DataFrame(index=pd.Index(barcodes, dtype=object)), var=var)


def _var_of_version_3(features: Any) -> pd.DataFrame:
    columns = {name: _text(features[key]) for key, name in _COLUMNS.items() if key in features}
    return pd.DataFrame(columns, index=pd.Index(_text(features["name"]), dtype=object))


def _var_of_version_2(group: Any, genome: str) -> pd.DataFrame:
    columns = {"gene_ids": _text(group["genes"]), "feature_types": "Gene Expression", "genome": genome}
    return pd.DataFrame(columns, index=pd.Index(_text(group["gene_names"]), dtype=object))


def _joined(parts: list[AnnData]) -> AnnData:
    """The genomes of a file side by side, over all its cells."""
    from anndata import AnnData

    cells = pd.Index(np.concatenate([part.obs_names for part in parts])).unique()
    blocks = []
    for part in parts:
        rows = cells.get_indexer(part.obs_names)
        entries = (np.ones(len(rows), dtype=part.X.dtype), (rows, np.arange(len(rows))))
        place = sparse.csr_matrix(entries, shape=(len(cells), part.n_obs))
        blocks.append(place @ part.X)
    return AnnData(
        sparse.csr_matrix(sparse.hstack(blocks)), obs=pd.DataFrame(index=cells), var=pd.concat([p.var for p in parts])
    )


def _text(dataset: Any) -> NDArray[np.object_]:
    return np.asarray([value.decode() if isinstance(value, bytes) else str(value) for value in dataset[:]], object)
