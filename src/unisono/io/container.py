"""What a path holds: present or not, HDF5 or zarr, whole, one MuData or something else; changes nothing in it."""

from __future__ import annotations

import difflib
import itertools
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from unisono.messages import BadInput, Finding, bad_input, refuse, warn

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MUDATA_PREFIX = b"MuData"
_ZARR_METADATA = (".zgroup", ".zarray", "zarr.json")
_STORED_END = re.compile(r"truncated file: eof = \d+, sblock->base_addr = \d+, stored_eof = (\d+)")
_UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, IndexError)
COMBINE = 'combine the modalities into one .h5mu: MuData({"rna": ..., "adt": ...}).write_h5mu(path)'


def existing(path: Path) -> Path:
    """The path itself.

    Raises:
        BadInput: E001, nothing is there; the closest names of the folder are given.
    """
    if path.exists():
        return path
    raise bad_input("E001", str(path), f"no such file or folder.{_did_you_mean(path)}", "check the path")


def _did_you_mean(path: Path) -> str:
    if not path.parent.is_dir():
        return f" The folder {path.parent} does not exist either."
    close = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(str(path.parent / name) for name in close)}?" if close else ""


def is_zarr(path: Path) -> bool:
    """Whether the folder opens like a zarr store.

    Raises:
        BadInput: E002, a folder without zarr metadata.
    """
    if not path.is_dir():
        return False
    if any((path / name).is_file() for name in _ZARR_METADATA):
        return True
    found = ", ".join(sorted(entry.name for entry in path.iterdir())[:3]) or "nothing"
    raise bad_input("E002", str(path), f"a folder without zarr metadata (holds {found}).", "give a .h5mu file")


def require_mudata_hdf5(path: Path) -> None:
    """Look at signature and root of an HDF5 file.

    Raises:
        BadInput: E002 not HDF5, E003 damaged, E006 one AnnData or another HDF5 format.
    """
    _require_signature(path)
    import h5py

    with standardised(path), h5py.File(path, "r") as file:
        groups, encoding = sorted(file), file.attrs.get("encoding-type")
    if "mod" not in groups:
        raise not_mudata(path, groups, encoding)


def not_mudata(path: Path, groups: list[str], encoding: object) -> BadInput:
    """The refusal E006 of a container with no modalities inside."""
    is_anndata = encoding == "anndata" or {"obs", "var"} <= set(groups)
    held = "one AnnData, not a MuData" if is_anndata else f"no MuData (root has: {', '.join(groups[:5]) or 'nothing'})"
    return bad_input("E006", str(path), f"holds {held}.", COMBINE)


@contextmanager
def standardised(path: Path) -> Iterator[None]:
    """Turn what h5py, zarr and anndata raise on damaged content into one refusal.

    Raises:
        BadInput: E003, with the size that the file should have when its superblock tells.
    """
    try:
        yield
    except BadInput:
        raise
    except _UNREADABLE as error:
        raise bad_input("E003", str(path), _damage(path, error), "download it again or restore it") from error


def _damage(path: Path, error: Exception) -> str:
    stored_end = _STORED_END.search(str(error))
    if stored_end:
        return f"damaged: file ends at {path.stat().st_size} of {stored_end[1]} bytes."
    reason = " ".join(str(error).split())[:200]
    return f"cannot be read, it may be damaged ({type(error).__name__}: {reason})."


def _require_signature(path: Path) -> None:
    size = path.stat().st_size
    with standardised(path), path.open("rb") as file:
        head = file.read(64)
        for offset in _signature_offsets(size):
            file.seek(offset)
            if file.read(len(_SIGNATURE)) == _SIGNATURE:
                return
    if head.startswith(_MUDATA_PREFIX):
        what = f"damaged: file ends at {size} bytes, within its first blocks."
        raise bad_input("E003", str(path), what, "download it again or restore it")
    start = f"starts with {head[:8]!r}" if head else "is empty"
    raise bad_input("E002", str(path), f"neither HDF5 nor zarr ({start}).", "give a .h5mu file or a zarr folder")


def _signature_offsets(size: int) -> Iterator[int]:
    """HDF5 may begin at byte 0, 512, 1024, 2048 and so on (a user block stands before it)."""
    yield 0
    offset = 512
    while offset < size:
        yield offset
        offset *= 2


_METADATA = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")
_PICKLE = re.compile(r'"(id|name)": "(numcodecs\.)?(pickle|dill|cloudpickle)"')
_REWRITE = "write the zarr folder again"


def require_sound_zarr(folder: Path) -> None:
    """Look at what can be seen without reading values: modalities, X, chunk files, codecs.

    An absent chunk file means 'all fill values' to zarr, so absence is an error only where zeros cannot be right:
    stored values, positions and names. A chunk absent from a dense matrix is warned about (W004).

    Raises:
        BadInput: E003 unreadable metadata, E004 chunks missing, E005 half written, E006 one AnnData,
            E047 values stored as pickles.
    """
    with standardised(folder):
        _refuse_pickles(folder)
        modalities = _modalities(folder)
        findings = [finding for modality in modalities for finding in _half_written(folder, modality)]
        if not findings:
            findings = [finding for modality in modalities for finding in _missing_chunks(folder, modality)]
    refuse(findings)
    warn(findings)


def _refuse_pickles(folder: Path) -> None:
    for name in _METADATA:
        for document in folder.rglob(name):
            # Parsed and dumped again, so that an escape in the JSON hides nothing.
            if _PICKLE.search(json.dumps(json.loads(document.read_text(encoding="utf-8")))):
                place = document.parent.relative_to(folder).as_posix()
                what = f"{place}: values are stored as pickles, which can run code when read; refuses pickle."
                raise bad_input("E047", str(folder), what, "write strings and numbers only")


def _modalities(folder: Path) -> list[Path]:
    if not (folder / "mod").is_dir():
        groups = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        encoding = _attributes(folder).get("encoding-type")
        if encoding == "anndata" or "X" in groups:
            raise not_mudata(folder, groups, encoding)
        what = "holds no modality yet: an earlier write was interrupted."
        raise bad_input("E005", str(folder), what, _REWRITE)
    return sorted(entry for entry in (folder / "mod").iterdir() if entry.is_dir())


def _half_written(folder: Path, modality: Path) -> Iterator[Finding]:
    absent = [name for name in ("X", "obs", "var") if not (modality / name).is_dir()]
    layers = modality / "layers"
    if absent == ["X"] and layers.is_dir() and any(entry.is_dir() for entry in layers.iterdir()):
        return  # an object whose counts are a layer; whether X is needed is asked later
    if absent:
        source_name = f"{folder}, {modality.name}"
        yield Finding(
            "E005", source_name, f"has no {' and no '.join(absent)}: an earlier write was interrupted.", _REWRITE
        )


def _missing_chunks(folder: Path, modality: Path) -> Iterator[Finding]:
    layers = modality / "layers"
    matrices = [modality / "X", *(sorted(layers.iterdir()) if layers.is_dir() else [])]
    for matrix in matrices:
        if (matrix / "indptr").is_dir():
            yield from _missing_in_sparse(folder, matrix)
        elif _is_array(matrix) and (missing := _absent_chunks(matrix)):
            what = f"{_shards(folder, matrix, missing)}; read as zeros, which is right only if every value there is 0."
            yield Finding("W004", str(folder), what, _REWRITE)
    for frame in (modality / "obs", modality / "var"):
        index = frame / str(_attributes(frame).get("_index", "_index"))
        if _is_array(index) and (missing := _absent_chunks(index)):
            yield _missing(folder, index, missing, "empty names")


def _missing_in_sparse(folder: Path, matrix: Path) -> Iterator[Finding]:
    if 0 in _grid(matrix / "data")[0]:
        return  # nothing stored: positions may be all zero and then have no file
    missing = {name: _absent_chunks(matrix / name) for name in ("data", "indices", "indptr")}
    if missing["indices"] and not missing["indptr"] and _may_be_zero(matrix, missing["indices"]):
        missing["indices"] = []
    for name, chunks in missing.items():
        if chunks:
            yield _missing(folder, matrix / name, chunks, "zeros")


def _may_be_zero(matrix: Path, missing: list[tuple[int, ...]]) -> bool:
    """Whether all positions of the missing chunks can be 0: no row may then have two entries inside one of them."""
    import zarr

    indptr = np.asarray(zarr.open_array(str(matrix / "indptr"), mode="r")[:])
    size = _grid(matrix / "indices")[1][0]
    return all(np.diff(np.clip(indptr, i * size, (i + 1) * size)).max() <= 1 for (i,) in missing)


def _missing(folder: Path, array: Path, missing: list[tuple[int, ...]], reads: str) -> Finding:
    what = f"{_shards(folder, array, missing)}; zarr would read {reads}."
    return Finding("E004", str(folder), what, "copy the folder again from its origin, or convert again")


def _shards(folder: Path, array: Path, missing: list[tuple[int, ...]]) -> str:
    first, place = _key(array, missing[0]), array.relative_to(folder).as_posix()
    return f"{place}: {len(missing)} of {math.prod(_counts(array))} chunk files missing (first: {first})"


def _absent_chunks(array: Path) -> list[tuple[int, ...]]:
    chunks = itertools.product(*map(range, _counts(array)))
    return [chunk for chunk in chunks if not (array / _key(array, chunk)).is_file()]


def _counts(array: Path) -> list[int]:
    shape, chunk_shape = _grid(array)
    return [math.ceil(length / chunk) for length, chunk in zip(shape, chunk_shape, strict=True)]


def _grid(array: Path) -> tuple[list[int], list[int]]:
    document = _array_document(array)
    if document["zarr_format"] == 2:
        return document["shape"], document["chunks"]
    return document["shape"], document["chunk_grid"]["configuration"]["chunk_shape"]


def _key(array: Path, chunk: tuple[int, ...]) -> str:
    """Where a chunk lies below its array; with shards, where its shard lies."""
    document = _array_document(array)
    if document["zarr_format"] == 2:
        return str(document.get("dimension_separator", ".")).join(map(str, chunk)) or "0"
    encoding = document["chunk_key_encoding"]
    is_default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
    return str(separator.join((["c"] if is_default else []) + [str(i) for i in chunk])) or "0"


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").is_file():
        return True
    return (folder / "zarr.json").is_file() and _json(folder / "zarr.json")["node_type"] == "array"


def _array_document(array: Path) -> dict[str, Any]:
    return _json(array / ".zarray") if (array / ".zarray").is_file() else _json(array / "zarr.json")


def _attributes(group: Path) -> dict[str, Any]:
    if (group / "zarr.json").is_file():
        return dict(_json(group / "zarr.json").get("attributes", {}))
    return _json(group / ".zattrs") if (group / ".zattrs").is_file() else {}


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
