"""What a path holds: present or not, HDF5 or zarr, one MuData or something else; reads no matrix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unisono.messages import BadInput, bad_input

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
