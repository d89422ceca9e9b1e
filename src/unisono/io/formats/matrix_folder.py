"""Folders with a Matrix Market file and its names: Cell Ranger, STARsolo, CITE-seq-Count, kallisto; reads no HDF5."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from unisono.messages import BadInput, bad_input

if TYPE_CHECKING:
    from anndata import AnnData

_MATRIX = re.compile(r"(?P<prefix>.*?)(?:matrix|cells_x_(?:genes|features))\.mtx(?:\.gz)?$")
_BARCODES = ("barcodes.tsv", "cells_x_genes.barcodes.txt", "cells_x_features.barcodes.txt")
_FEATURES = ("features.tsv", "genes.tsv", "peaks.bed", "cells_x_genes.genes.txt", "cells_x_features.genes.txt")
_TAG_SEQUENCE = re.compile(r"-[ACGTN]{8,}$")
"""What CITE-seq-Count writes after the name of an antibody."""
_SHOWN = 40


@dataclass(frozen=True)
class _Triple:
    """The three files of a matrix, and what their names begin with."""

    prefix: str
    matrix: Path
    barcodes: Path
    features: Path


def visible(folder: Path) -> list[Path]:
    """The entries of a folder but those that systems leave there: `._*` and `.DS_Store` of macOS."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def is_matrix_folder(folder: Path) -> bool:
    """Whether a folder holds a Matrix Market file under one of the usual names."""
    return any(_MATRIX.fullmatch(entry.name) for entry in visible(folder) if entry.is_file())


def read_matrix_folder(folder: Path) -> AnnData:
    """Cells x features, var with `gene_ids` and `feature_types` where the folder tells them.

    Gzipped or not, names of files with one prefix in front or without. The names of antibodies that CITE-seq-Count
    wrote lose their sequence. A matrix may lie either way, as its names tell.

    Raises:
        BadInput: E002 files are missing or there are those of several samples, E003 damaged, or parts that do not
            belong together.
    """
    from anndata import AnnData

    triple = _triple(folder)
    barcodes, features = _lines(triple.barcodes), _lines(triple.features)
    counts = _oriented(_matrix(triple.matrix), triple, barcodes, features)
    var = _var(triple, features)
    cells = pd.Index([line.split("\t")[0] for line in barcodes], dtype=object)
    return AnnData(counts, obs=pd.DataFrame(index=cells), var=var)


def _triple(folder: Path) -> _Triple:
    files = {entry.name: entry for entry in visible(folder) if entry.is_file()}
    matrices = {name: match["prefix"] for name in files if (match := _MATRIX.fullmatch(name))}
    if len(matrices) > 1:
        samples = ", ".join(prefix or name for name, prefix in list(matrices.items())[:3])
        what = f"holds {len(matrices)} matrices ({samples}, ...), one sample is read at a time."
        raise bad_input("E002", str(folder), what, "put the three files of each sample into a folder of their own")
    (name, prefix), *_ = matrices.items()
    found = {}
    for kind, names in (("barcodes", _BARCODES), ("features", _FEATURES)):
        path = _next_to(files, prefix, names)
        if path is None:
            what = f"has {name} and no {prefix}{kind}.tsv (holds {', '.join(list(files)[:5])})."
            raise bad_input("E002", str(folder), what, "copy all three files of the matrix")
        found[kind] = path
    return _Triple(prefix, files[name], found["barcodes"], found["features"])


def _next_to(files: dict[str, Path], prefix: str, names: tuple[str, ...]) -> Path | None:
    candidates = (f"{prefix}{name}{end}" for name in names for end in ("", ".gz"))
    return next((files[name] for name in candidates if name in files), None)


def _bytes(path: Path) -> bytes:
    """Content, unpacked where it is gzipped whatever the name says.

    Raises:
        BadInput: E003, cut off or damaged.
    """
    content = path.read_bytes()
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        what = f"damaged: {' '.join(str(error).split())}."
        raise bad_input("E003", str(path), what, "download it again or restore it") from error


def _lines(path: Path) -> list[str]:
    try:
        return _bytes(path).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise bad_input("E003", str(path), "is no text.", "download it again or restore it") from error


def _matrix(path: Path) -> sparse.csr_matrix:
    from scipy.io import mmread

    content = _bytes(path)
    try:
        return sparse.csr_matrix(mmread(io.BytesIO(content)))
    except (ValueError, OverflowError, OSError, TypeError) as error:
        what = f"cannot be read as Matrix Market ({' '.join(str(error).split())[:120]})."
        raise bad_input("E003", str(path), what, "download it again or restore it") from error


def _oriented(
    matrix: sparse.csr_matrix, triple: _Triple, barcodes: list[str], features: list[str]
) -> sparse.csr_matrix:
    """Cells x features, whichever way the file has them."""
    names = (len(barcodes), len(features))
    if matrix.shape == names[::-1]:
        return sparse.csr_matrix(matrix.T)
    if matrix.shape == names:
        return matrix
    raise _apart(matrix, triple, barcodes, features)


def _apart(matrix: sparse.csr_matrix, triple: _Triple, barcodes: list[str], features: list[str]) -> BadInput:
    counted = []
    for path, lines, noun in ((triple.features, features, "features"), (triple.barcodes, barcodes, "barcodes")):
        head = lines[0][:_SHOWN] if lines else ""
        note = f" (the first, {head!r}, looks like a header)" if re.fullmatch(r"[\dxXV\t ]*", head) else ""
        counted.append(f"{path.name} has {len(lines):,} {noun}{note}")
    shape = " x ".join(f"{n:,}" for n in matrix.shape)
    what = f"the files do not belong together: {triple.matrix.name} is {shape}, {' and '.join(counted)}."
    return bad_input("E003", str(triple.matrix.parent), what, "take all three from one output, without header lines")


def _var(triple: _Triple, lines: list[str]) -> pd.DataFrame:
    """Names, and in `gene_ids` and `feature_types` what the columns next to them say."""
    rows = [line.split("\t") for line in lines]
    if "peaks.bed" in triple.features.name:
        names = [f"{row[0]}:{row[1]}-{row[2]}" if len(row) > 2 else row[0] for row in rows]
        return pd.DataFrame({"feature_types": "Peaks"}, index=pd.Index(names, dtype=object))
    if all(len(row) == 1 for row in rows):
        names = [row[0] for row in rows]
        is_tagged = np.mean([bool(_TAG_SEQUENCE.search(name)) for name in names if name != "unmapped"]) > 0.5
        if not is_tagged:
            return pd.DataFrame(index=pd.Index(names, dtype=object))
        bare = [_TAG_SEQUENCE.sub("", name) for name in names]
        return pd.DataFrame({"feature_types": "Antibody Capture"}, index=pd.Index(bare, dtype=object))
    table = {"gene_ids": [row[0] for row in rows]}
    if all(len(row) > 2 for row in rows):
        table["feature_types"] = [row[2] for row in rows]
    elif "genes.tsv" in triple.features.name:
        table["feature_types"] = ["Gene Expression"] * len(rows)
    return pd.DataFrame(table, index=pd.Index([row[1] if len(row) > 1 else row[0] for row in rows], dtype=object))
