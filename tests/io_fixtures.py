"""Small MuData built in memory, and the folder of real data; holds no test."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from unisono.io.read import cells_from_mudata
from unisono.messages import BadInput, Finding

DATA = Path(os.environ.get("UNISONO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def real(name: str) -> Path:
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not in {DATA}; set UNISONO_DATA to the folder of data")
    return DATA / name


def counts(n_cells: int, n_features: int, seed: int = 0) -> np.ndarray:
    """Poisson counts without an empty cell or feature."""
    values = np.random.default_rng(seed).poisson(0.8, (n_cells, n_features))
    values[np.arange(n_cells), np.arange(n_cells) % n_features] += 1
    values[np.arange(n_features) % n_cells, np.arange(n_features)] += 1
    return values


def table(
    n_cells: int, n_features: int, prefix: str, *, matrix: Any = None, cells: list[str] | None = None, seed: int = 0
) -> AnnData:
    """An AnnData of counts with cells c0, c1, ... and features g0, g1, ... of the prefix."""
    values = sparse.csr_matrix(counts(n_cells, n_features, seed).astype(np.float32)) if matrix is None else matrix
    names = cells or [f"c{i}" for i in range(n_cells)]
    var = pd.DataFrame(index=[f"{prefix}{i}" for i in range(n_features)])
    return AnnData(values, obs=pd.DataFrame(index=names), var=var)


def mu(**tables: AnnData) -> MuData:
    with mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of repeated names, which some tests want
        return MuData(tables)


def two(matrix: Any = None) -> MuData:
    """7 cells with 11 genes (those of `matrix` if given) and 5 proteins."""
    return mu(rna=table(7, 11, "g", matrix=matrix), adt=table(7, 5, "p", seed=1))


def as_bytes(values: Any) -> np.ndarray:
    """Text as HDF5 files of Cell Ranger have it."""
    return np.array(list(values), dtype="S")


def write_tenx_hdf5(
    path: Path,
    counts: sparse.csr_matrix,
    cells: list[str],
    names: list[str],
    types: list[str],
    ids: list[str] | None = None,
) -> Path:
    """What Cell Ranger 3 to 9 write: features x barcodes, compressed by barcode."""
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"], group["shape"] = as_bytes(cells), np.array(counts.shape[::-1], dtype=np.int32)
        group["data"], group["indices"], group["indptr"] = (
            counts.data.astype(np.int32),
            counts.indices.astype(np.int64),
            counts.indptr.astype(np.int64),
        )
        features = group.create_group("features")
        features["id"], features["name"], features["feature_type"] = (
            as_bytes(ids or names),
            as_bytes(names),
            as_bytes(types),
        )
        features["genome"], features["_all_tag_keys"] = as_bytes(["GRCh38"] * len(names)), as_bytes(["genome"])
    return path


def findings_of(mdata: Any, **options: Any) -> list[Finding]:
    """All findings of a reading, whether it was refused or not."""
    try:
        return cells_from_mudata(mdata, **({"batch_key": None, "is_training": True} | options))[1]
    except BadInput as refusal:
        return list(refusal.findings)


def only(findings: list[Finding], code: str) -> Finding:
    """The one finding with this code."""
    found = [finding for finding in findings if finding.code == code]
    assert len(found) == 1, [str(finding) for finding in findings]
    return found[0]


def codes(findings: Any) -> set[str]:
    return {finding.code for finding in findings}


def refusal(call: Any, *arguments: Any, **options: Any) -> Finding:
    """The first error with which a call is refused."""
    with pytest.raises(BadInput) as caught:
        call(*arguments, **options)
    return next(finding for finding in caught.value.findings if finding.severity == "error")


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder with its hash: equal before and after means that nothing was changed on disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
