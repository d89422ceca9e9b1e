"""Tables of counts as text, as GEO has them: features on one side, cells on the other; guesses no way round."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from unisono.messages import bad_input

if TYPE_CHECKING:
    from anndata import AnnData

SUFFIXES = (".csv", ".tsv", ".txt")
_BARCODE = re.compile(r"(?:^|[^A-Za-z0-9])[ACGTN]{8,}(?:$|[^A-Za-z0-9])")
_MIN_SHARE = 0.5
_SEPARATORS = ("\t", ",", ";", " ")


def is_table(path: Path) -> bool:
    """Whether the name is that of a table of text, gzipped or not."""
    return path.name.removesuffix(".gz").lower().endswith(SUFFIXES)


def read_table(path: Path) -> AnnData:
    """Cells x features of a table whose cells are named by barcodes, on either side.

    Raises:
        BadInput: E002 no table of numbers, or neither side or both look like barcodes.
    """
    from anndata import AnnData

    try:
        table = pd.read_csv(path, sep=_separator(path), index_col=0, compression="gzip" if _is_gzipped(path) else None)
        values = table.to_numpy()
        if values.dtype.kind not in "iuf":
            raise ValueError(f"holds {values.dtype} values")
    except (ValueError, OSError, EOFError, zlib.error) as error:
        what = f"is no table of counts ({' '.join(str(error).split())[:100]})."
        raise bad_input("E002", str(path), what, "give names in the first row and column, and numbers") from error
    names = table.index.astype(str), table.columns.astype(str)
    are_cells = [_share_of_barcodes(side) > _MIN_SHARE for side in names]
    if are_cells == [True, False]:
        rows, columns, matrix = names[0], names[1], sparse.csr_matrix(values)
    elif are_cells == [False, True]:
        rows, columns, matrix = names[1], names[0], sparse.csr_matrix(values.T)
    else:
        raise bad_input("E002", str(path), _unclear(names, are_cells), _way_out(path))
    return AnnData(matrix, obs=pd.DataFrame(index=rows), var=pd.DataFrame(index=columns))


def _separator(path: Path) -> str:
    """The mark that stands most often in the first line."""
    opener = gzip.open if _is_gzipped(path) else open
    with opener(path, "rt", encoding="utf-8") as file:
        first = file.readline()
    return max(_SEPARATORS, key=first.count)


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _share_of_barcodes(names: pd.Index) -> float:
    return float(np.mean([bool(_BARCODE.search(name)) for name in names])) if len(names) else 0.0


def _unclear(names: tuple[pd.Index, pd.Index], are_cells: list[bool]) -> str:
    first = ", ".join(f"{side[0]!r}" if len(side) else "none" for side in names)
    which = "both sides look" if all(are_cells) else "neither side looks"
    return f"a table {len(names[0]):,} x {len(names[1]):,} of which {which} like barcodes (first: {first})."


def _way_out(path: Path) -> str:
    return (
        f'in Python: a = anndata.AnnData(pandas.read_csv("{path.name}", index_col=0).T) '
        "for features x cells, without .T for cells x features; then a.write_h5ad(...)"
    )
