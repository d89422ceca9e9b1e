"""Looking at data and reading their cells without fitting anything: what `fit` would see, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unisono.io.check import CheckReport
from unisono.io.check import check as check_data
from unisono.io.read import cells_from_mudata
from unisono.messages import warn
from unisono.types import Cells

if TYPE_CHECKING:
    from mudata import MuData

    from unisono.model.unisono import Unisono


def read_cells(
    mdata: MuData,
    *,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    source_name: str = "data",
    need: int = 1,
) -> Cells:
    """The raw counts of a MuData as `fit` reads them, a `View` for each modality; findings become `InputWarning`.

    Args:
        mdata: as for `fit`; not changed.
        batch_key: as for `fit`.
        modalities: as for `fit`.
        layer: as for `fit`.
        source_name: what messages call the data.
        need: modalities that have to be there, 2 for training.

    Raises:
        BadInput: the data cannot be used; the message says what to do.

    Examples:
        >>> import unisono as un
        >>> cells = un.read_cells(un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6))
        >>> cells.views["adt"].counts.shape
        (40, 6)
    """
    cells, findings = cells_from_mudata(
        mdata, batch_key=batch_key, modalities=modalities, layer=layer, source_name=source_name, need=need
    )
    warn(findings)
    return cells


def check(
    mdata: MuData,
    model: Unisono | None = None,
    *,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    source_name: str = "data",
) -> CheckReport:
    """Look at data as `fit` would, or with a model as `predict` and `match` would; errors are listed, not raised.

    Args:
        mdata: as for `fit`; not changed.
        model: whose features the data are compared with.
        batch_key: as for `fit`.
        modalities: as for `fit`.
        layer: as for `fit`.
        source_name: what messages call the data.

    Returns:
        `is_usable`, the findings, a row for each modality, and with a model the `coverage` of its features.
    """
    return check_data(
        mdata,
        batch_key=batch_key,
        modalities=modalities,
        layer=layer,
        source_name=source_name,
        preprocessors=None if model is None else model.fitted.preprocessors,
    )
