"""What a path holds: present or not, HDF5 or zarr, whole, MuData or something else; changes nothing in it."""

from __future__ import annotations

import difflib
import errno
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unisono.io.memory import has_run_out
from unisono.messages import BadInput, Finding, bad_input, refuse, warn

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MUDATA_PREFIX = b"MuData"
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
GIVE = "give .h5mu, .h5ad, zarr, a 10x .h5 or a 10x folder"
_ZARR_METADATA = (".zgroup", ".zarray", "zarr.json")
_STORED_END = re.compile(r"truncated file: eof = \d+, sblock->base_addr = \d+, stored_eof = (\d+)")
_MAX_CHUNKS = 10**7
_REFUSED = (errno.EACCES, errno.EPERM, errno.EIO)
_PLACE_NOTED = re.compile(r"Error raised while \w+ key '(?P<key>.*?)' of .* from (?P<group>\S*)")
"""How anndata says in which element reading failed."""
_NO_NUMBERS = re.compile(r"scipy\.sparse does not support dtype (.+?)\. The only")


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
    """Whether the path is a folder that opens like a zarr store."""
    return path.is_dir() and any((path / name).is_file() for name in _ZARR_METADATA)


def unknown_folder(path: Path) -> BadInput:
    """The refusal E002 of a folder that is neither zarr nor counts with their names."""
    entries = sorted(entry.name for entry in path.iterdir())
    held = ", ".join(entries[:3]) or "nothing"
    inside = next((name for name in _USUAL if name in entries), None)
    remedy = f"give {path / inside}" if inside else "give a zarr folder, or one with matrix.mtx, barcodes and features"
    return bad_input("E002", str(path), f"a folder that holds no counts (holds {held}).", remedy)


_USUAL = (
    "filtered_feature_bc_matrix.h5",
    "filtered_feature_bc_matrix",
    "filtered_peak_bc_matrix.h5",
    "filtered_gene_bc_matrices",
    "outs",
    "umi_count",
)
"""What the programs that count call their results, the one to give first."""


@dataclass(frozen=True)
class Root:
    """What stands at the root of an HDF5 file.

    Attributes:
        groups: names, each with the names inside; empty for a dataset.
        encoding: what the file says that it holds, if it does.
    """

    groups: Mapping[str, frozenset[str]]
    encoding: str | None

    @property
    def is_mudata(self) -> bool:
        return "mod" in self.groups

    @property
    def is_anndata(self) -> bool:
        return self.encoding == "anndata" or {"obs", "var"} <= set(self.groups)


def root_of(path: Path) -> Root:
    """Look at signature and root of an HDF5 file.

    Raises:
        BadInput: E002 not HDF5, E003 damaged.
    """
    _require_signature(path)
    import h5py

    with standardised(path), h5py.File(path, "r") as file:
        groups = {name: frozenset(file[name]) if isinstance(file[name], h5py.Group) else frozenset() for name in file}
        encoding = file.attrs.get("encoding-type")
    return Root(groups, None if encoding is None else str(encoding))


def unknown_layout(path: Path, names: Iterable[str]) -> BadInput:
    """The refusal E006 of a container that holds neither MuData, nor AnnData, nor counts of Cell Ranger."""
    root = ", ".join(itertools.islice(names, 5)) or "nothing"
    return bad_input("E006", str(path), f"holds no counts that are known here (root has: {root}).", GIVE)


@contextmanager
def standardised(path: Path) -> Iterator[None]:
    """Turn what h5py, zarr and anndata raise on content that cannot be read into one refusal.

    Raises:
        BadInput: E003 damaged, with the size that the file should have when its superblock tells; E006 an element is
            stored in a way that the installed anndata does not know; E018 a matrix holds no numbers.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # readers raise whatever their formats' libraries do
        if has_run_out(error):
            raise
        raise _refusal(path, error) from error


def _refusal(path: Path, error: Exception) -> BadInput:
    """What an error of reading says of the file."""
    if isinstance(error, OSError) and error.errno in _REFUSED:
        what = f"cannot be read ({error.strerror})."
        return bad_input("E074", str(path), what, "check its permissions and the disk")
    if type(error).__name__ == "IORegistryError":
        what = f"{_place_of(error)}is stored in a way that the installed anndata does not know ({_shortened(error)})."
        return bad_input("E006", str(path), what, "pip install --upgrade anndata, or write the file anew with this one")
    dtype = _NO_NUMBERS.search(str(error))
    if dtype:
        what = f"{_place_of(error)}has dtype {dtype[1]}; counts are integers or whole floats."
        return bad_input("E018", str(path), what, "store counts as int32 or float32")
    return bad_input("E003", str(path), _damage(path, error), "download it again or restore it")


def _damage(path: Path, error: Exception) -> str:
    stored_end = _STORED_END.search(str(error))
    if stored_end:
        return f"damaged: file ends at {path.stat().st_size} of {stored_end[1]} bytes."
    return f"{_place_of(error)}cannot be read, it may be damaged ({type(error).__name__}: {_shortened(error)})."


def _place_of(error: Exception) -> str:
    """'mod/rna/X: ' where the error says in which element it arose."""
    found = _PLACE_NOTED.search("\n".join(getattr(error, "__notes__", [])))
    return f"{found['group'].strip('/')}/{found['key']}: ".lstrip("/") if found else ""


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


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
    if head.startswith(_PICKLES):
        remedy = "load it where it was made, and write .h5mu or .h5ad"
        raise bad_input("E047", str(path), "is a pickle, which can run code when read; refuses pickle.", remedy)
    start = f"starts with {head[:8]!r}" if head else "is empty"
    raise bad_input("E002", str(path), f"neither HDF5 nor zarr ({start}).", GIVE)


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


def holds_anndata(folder: Path) -> bool:
    """Whether a zarr folder is one AnnData rather than a MuData."""
    if (folder / "mod").is_dir() or _attributes(folder).get("encoding-type") == "MuData":
        return False
    return (folder / "obs").is_dir() and (folder / "var").is_dir()


def require_sound_zarr(folder: Path) -> None:
    """Look at what can be seen without reading values: modalities, X, chunk files, codecs.

    An absent chunk file means 'all fill values' to zarr, so absence is an error only where zeros cannot be right:
    stored values, positions and names. A chunk absent from a dense matrix is warned about (W004).

    Raises:
        BadInput: E003 unreadable metadata, E004 chunks missing, E005 half written, E006 neither MuData nor AnnData,
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


def require_whole_zarr(folder: Path, arrays: Sequence[str]) -> None:
    """That a zarr folder holds no pickles, and no chunk file of these arrays and of its names is missing.

    Raises:
        BadInput: E004 chunks missing, E047 values stored as pickles.
    """
    with standardised(folder):
        _refuse_pickles(folder)
        places = [folder / name for name in arrays if _is_array(folder / name)]
        found = [_missing(folder, place, gaps, "zeros") for place in places if (gaps := _absent_chunks(place))]
        refuse([*found, *_missing_chunks(folder, folder)])


def _refuse_pickles(folder: Path) -> None:
    for name in _METADATA:
        for document in folder.rglob(name):
            # Parsed and dumped again, so that an escape in the JSON hides nothing.
            if _PICKLE.search(json.dumps(json.loads(document.read_text(encoding="utf-8")))):
                place = document.parent.relative_to(folder).as_posix()
                what = f"{place}: values are stored as pickles, which can run code when read; refuses pickle."
                raise bad_input("E047", str(folder), what, "write strings and numbers only")


def _modalities(folder: Path) -> list[Path]:
    """The folders of the modalities; that of the whole where it is one AnnData."""
    if (folder / "mod").is_dir():
        return sorted(entry for entry in (folder / "mod").iterdir() if entry.is_dir())
    encoding = _attributes(folder).get("encoding-type")
    if encoding == "anndata" or (folder / "X").is_dir() or holds_anndata(folder):
        return [folder]
    if encoding in ("MuData", None):
        what = "holds no modality yet: an earlier write was interrupted."
        raise bad_input("E005", str(folder), what, _REWRITE)
    raise unknown_layout(folder, sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))


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
    if math.prod(_counts(array)) > _MAX_CHUNKS:
        raise ValueError(f"{array.name} of {math.prod(_counts(array)):,} chunk files")
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
