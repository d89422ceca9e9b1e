"""Formats that are not read, each with the way out of it: objects of R, loom, h5Seurat, archives; reads no count."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from unisono.messages import BadInput, bad_input

_R_STARTS = (b"X\n", b"A\n", b"B\n", b"RDX2", b"RDX3", b"RDA3")
_Binary = BinaryIO | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile
_OPENERS: dict[bytes, Callable[[Path], _Binary]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_BLOCK = 1 << 20
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_R_SUFFIXES = (".rds", ".rda", ".rdata")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".rar", ".7z")
_FILES_OF_FRAGMENTS = ("fragments.tsv.gz", "fragments.tsv", "fragments.bed.gz")

_WRITE = "DropletUtils::write10xCounts"
_OF_SEURAT = (
    'in R: obj <- readRDS("{name}"); for (a in SeuratObject::Assays(obj)) {write}(tolower(a), '
    'SeuratObject::LayerData(obj, assay = a, layer = "counts"), version = "3"); '
    "then give the folders: rna=rna adt=adt"
)
_OF_EXPERIMENT = (
    'in R: sce <- readRDS("{name}"); {write}("rna", SingleCellExperiment::counts(sce), version = "3"); '
    '{write}("adt", SingleCellExperiment::counts(SingleCellExperiment::altExp(sce)), version = "3"); '
    "then give the folders: rna=rna adt=adt"
)
_OF_MATRIX = (
    'in R: x <- readRDS("{name}"); {write}("rna", as(x, "CsparseMatrix"), version = "3"); then give the folder: rna=rna'
)


@dataclass(frozen=True)
class _Kind:
    """An object of R: the word by which it is known, what it is called, and the way out of it."""

    word: bytes
    what: str
    remedy: str


_KINDS = (
    _Kind(b"SingleCellExperiment", "a SingleCellExperiment of R", _OF_EXPERIMENT),
    _Kind(b"Seurat", "a Seurat object of R", _OF_SEURAT),
)
_PLAIN = _Kind(b"", "an object of R", _OF_MATRIX)


def refuse_foreign(path: Path) -> None:
    """Refuse a file that is known and not read.

    Raises:
        BadInput: E006, with what it holds and how to get the counts out of it.
    """
    name = path.name.lower()
    if name.endswith(_R_SUFFIXES) or _is_of_r(path):
        raise _of_r(path)
    if name.endswith(_FILES_OF_FRAGMENTS):
        remedy = "give the counts over peaks, such as filtered_peak_bc_matrix.h5, or count with snapatac2"
        raise bad_input("E006", str(path), "holds fragments, not counts of cells by peaks.", remedy)
    if name.endswith(_ARCHIVES):
        raise bad_input("E006", str(path), "is an archive.", f"unpack it: tar -xf {path.name}, or unzip {path.name}")
    if name.endswith((".h5ad.gz", ".h5mu.gz", ".h5.gz")):
        raise bad_input("E006", str(path), "is a gzipped HDF5 file.", f"unpack it: gunzip -k {path.name}")
    if _is_gzipped_hdf5(path):
        remedy = f"unpack it: mv {path.name} {path.name}.gz; gunzip {path.name}.gz"
        raise bad_input("E006", str(path), "is a gzipped HDF5 file.", remedy)


def refuse_foreign_hdf5(path: Path, groups: set[str]) -> None:
    """Refuse an HDF5 file of another package, by the groups at its root (E006)."""
    if {"matrix", "row_attrs", "col_attrs"} <= groups:
        remedy = f'in Python: scanpy.read_loom("{path.name}").write_h5ad("{path.stem}.h5ad"), then give that'
        raise bad_input("E006", str(path), "is a loom file.", remedy)
    if {"assays", "cell.names"} <= groups:
        remedy = (
            f'in R: obj <- SeuratDisk::LoadH5Seurat("{path.name}"); for (a in SeuratObject::Assays(obj)) '
            f"{_WRITE}(tolower(a), "
            'SeuratObject::LayerData(obj, assay = a, layer = "counts"), version = "3"); then give rna=rna adt=adt'
        )
        raise bad_input("E006", str(path), "is an h5Seurat file.", remedy)
    if {"barcode_info", "count"} <= groups or {"barcode_idx", "umi"} <= groups:
        remedy = "give filtered_feature_bc_matrix.h5 of the same run"
        raise bad_input("E006", str(path), "is a molecule_info.h5 of Cell Ranger, molecules and no cells.", remedy)


def _of_r(path: Path) -> BadInput:
    found = next((kind for kind in _KINDS if _has_word(path, kind.word)), _PLAIN)
    return bad_input("E006", str(path), f"holds {found.what}.", found.remedy.format(name=path.name, write=_WRITE))


def _has_word(path: Path, word: bytes) -> bool:
    """Whether a word, such as the name of a class, stands anywhere in an object of R."""
    with suppress(OSError, EOFError, zlib.error, lzma.LZMAError), _unpacked(path) as file:
        end = b""
        while block := file.read(_BLOCK):
            if word in end + block:
                return True
            end = block[-len(word) :]
    return False


def _is_of_r(path: Path) -> bool:
    with suppress(OSError, EOFError, zlib.error, lzma.LZMAError), _unpacked(path) as file:
        return file.read(8).startswith(_R_STARTS)
    return False


def _is_gzipped_hdf5(path: Path) -> bool:
    """Whether a file is one of HDF5 below gzip; that of MuData has 512 bytes of its own in front."""
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return False
    with suppress(OSError, EOFError, zlib.error), gzip.open(path) as file:
        head = file.read(520)
        return _SIGNATURE in (head[:8], head[512:520])
    return False


def _unpacked(path: Path) -> _Binary:
    with path.open("rb") as file:
        start = file.read(8)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    return path.open("rb") if opener is None else opener(path)
