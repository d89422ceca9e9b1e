"""What data say of their cells next to counts, as tables that can be written; reads no count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def obs_of(data: MuData | AnnData, parts: list[str], cells: NDArray[np.str_]) -> pd.DataFrame:
    """The columns of obs of some cells: those of the named modalities first, then those of the whole.

    Columns that a MuData has pulled from its modalities (`rna:donor`) and such that cannot be written are left out.
    """
    if not hasattr(data, "mod"):
        return _writeable(data.obs, cells)
    own = [_writeable(data.mod[part].obs, cells) for part in parts]
    pulled = tuple(f"{name}:" for name in data.mod)
    shared = _writeable(data.obs.loc[:, [not str(name).startswith(pulled) for name in data.obs.columns]], cells)
    joined = pd.concat([*own, shared], axis=1)
    return joined.loc[:, ~joined.columns.duplicated()]


def _writeable(frame: pd.DataFrame, cells: NDArray[np.str_]) -> pd.DataFrame:
    """The rows of some cells, one each, of the columns of numbers, flags, text and categories."""
    rows = frame[~frame.index.duplicated()].reindex(cells)
    kept = [name for name in rows.columns if _is_plain(rows[name])]
    return rows.loc[:, kept].rename(columns=str)


def _is_plain(column: pd.Series) -> bool:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_numeric_dtype(dtype):
        return True
    return bool(column.dropna().map(lambda value: isinstance(value, str)).all())
