"""One SHA-256 over everything a fit sees of its data; never depends on dtypes, index widths or dictionary order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from unisono.modalities import in_order
from unisono.types import Cells, View

_BLOCK = 1 << 20


def fingerprint(cells: Cells) -> str:
    """Hexadecimal SHA-256 of counts, cell names, feature names and batches of every modality.

    The order of the modalities is ignored; that of cells and of features is, since a plan of batches is told
    by row.

    Examples:
        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> cells = un.read_cells(mdata)
        >>> len(un.fingerprint(cells))
        64
        >>> un.fingerprint(cells) == un.fingerprint(un.read_cells(mdata.copy()))
        True
        >>> un.fingerprint(cells) == un.fingerprint(un.read_cells(mdata, batch_key="batch"))
        False
    """
    digest = hashlib.sha256()
    for modality in in_order(cells.modalities):
        view = cells.views[modality]
        digest.update(f"{modality} {view.counts.shape[0]} {view.counts.shape[1]};".encode())
        for chunk in _chunks(view):
            digest.update(chunk)
    return digest.hexdigest()


def _chunks(view: View) -> Iterator[bytes]:
    counts = view.counts if view.counts.has_canonical_format else view.counts.copy()
    counts.sum_duplicates()
    for integers in (counts.indptr, counts.indices, counts.data):
        yield f"{len(integers)};".encode()
        for start in range(0, len(integers), _BLOCK):
            yield integers[start : start + _BLOCK].astype("<i8").tobytes()
    for names in (view.cells, view.features, view.batch):
        yield from _encoded(names)


def _encoded(names: NDArray[np.str_]) -> Iterator[bytes]:
    """Each name with its length before it, so that no two lists of names read alike."""
    for start in range(0, len(names), _BLOCK):
        encoded = [str(name).encode() for name in names[start : start + _BLOCK]]
        yield b"".join(b"%d:%b" % (len(name), name) for name in encoded)
