"""Looking at data and reading their cells without fitting anything: what `fit` would see, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unisono.config import FitConfig
from unisono.io.checks.report import CheckReport
from unisono.io.checks.report import check as check_data
from unisono.io.open import open_data, taken_apart
from unisono.io.places import CountsAt, Layer
from unisono.io.read import ReadOptions
from unisono.io.store import Store, open_store
from unisono.io.union import inspect_all
from unisono.messages import Finding, warn
from unisono.types import Cells

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from unisono.model.unisono import Unisono


def read(path: str | Path | None = None, *, modality: str | None = None, **files: str | Path) -> MuData:
    """Read counts into a MuData, from whatever file or folder they are in.

    .h5mu; .h5ad (several modalities told apart by `var["feature_types"]`, proteins in obsm, or one modality); both as
    zarr; the .h5 of Cell Ranger 2 to 9; folders with matrix.mtx, barcodes and features, gzipped or not, of Cell Ranger,
    STARsolo, CITE-seq-Count and kallisto; tables of text whose cells are named by barcodes.

    Args:
        path: one file or folder.
        modality: what it holds, if it is one modality that its feature types do not tell.
        files: in place of `path`, a file or folder for each modality by its name.

    Returns:
        The modalities, with everything the files have next to counts. What was decided is given as `InputWarning` where
        it could be wrong.

    Raises:
        BadInput: nothing is there, or it cannot be read; the message says what to do.
        TypeError: neither or both of `path` and `files` are given.

    Examples:
        >>> import tempfile, unisono as un
        >>> folder = tempfile.mkdtemp()
        >>> cells = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> cells["rna"].write_h5ad(f"{folder}/my_rna.h5ad")
        >>> cells["adt"].write_h5ad(f"{folder}/my_adt.h5ad")
        >>> list(un.read(rna=f"{folder}/my_rna.h5ad", adt=f"{folder}/my_adt.h5ad").mod)
        ['rna', 'adt']
    """
    if (path is None) == (not files):
        raise TypeError('give one path, as read("cells.h5"), or one for each modality, as read(rna=..., adt=...)')
    mdata, findings = open_data(files if path is None else path, modality)
    warn(findings)
    return mdata


def open(path: str | Path) -> Store:  # noqa: A001 - it is used as unisono.open
    """Open an .h5mu, an .h5ad or a zarr folder without reading its counts.

    `fit`, `predict`, `match`, `embed`, `index` and `search` take it in place of an object in memory, and hold some of
    its cells at a time. `unisono convert` makes a zarr folder that is fast to read so.

    Raises:
        BadInput: E001 missing, E003 damaged, E004 chunks missing, E006 a format that is not read by rows.

    Examples:
        >>> import tempfile, unisono as un
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "cells.h5mu"
        >>> un.datasets.simulate(n_cells=120, n_genes=60, n_peaks=90, n_proteins=8, seed=1).write_h5mu(path)
        >>> len(un.open(path))
        120
    """
    return open_store(path)


def read_cells(
    mdata: MuData | AnnData | Sequence[MuData | AnnData],
    *,
    names: Sequence[str] | None = None,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: Layer | None = None,
    round_counts: bool = False,
    keep_controls: bool = False,
    source_name: str = "data",
    is_training: bool = False,
) -> Cells:
    """The raw counts of data as `fit` reads them, a `View` for each modality; findings become `InputWarning`.

    Args:
        mdata: as for `fit`; not changed.
        names: as for `fit`.
        batch_key: as for `fit`.
        modalities: as for `fit`.
        layer: as for `fit`.
        round_counts: as for `fit`.
        keep_controls: as for `fit`.
        source_name: what messages call the data.
        is_training: whether they have to be such as can be learned from, of two modalities or more.

    Raises:
        BadInput: the data cannot be used; the message says what to do.

    Examples:
        >>> import unisono as un
        >>> cells = un.read_cells(un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6))
        >>> cells.views["adt"].counts.shape
        (40, 6)
    """
    counts = CountsAt(layer, is_rounded=round_counts)
    options = ReadOptions(batch_key, modalities, counts, keep_controls, is_training, tells_controls=True)
    inspection, _ = inspect_all(mdata, options, names, source_name)
    cells = inspection.cells
    warn(inspection.findings)
    return cells


def check(
    mdata: MuData | AnnData,
    model: Unisono | None = None,
    *,
    batch_key: str | None = None,
    modalities: Mapping[str, str] | None = None,
    layer: Layer | None = None,
    round_counts: bool | None = None,
    keep_controls: bool = False,
    source_name: str = "data",
) -> CheckReport:
    """Look at data as `fit` would, or with a model as `predict` and `match` would; errors are listed, not raised.

    Args:
        mdata: as for `fit`; not changed.
        model: whose features the data are compared with.
        batch_key: as for `fit`.
        modalities: as for `fit`.
        layer: as for `fit`; with a model, where its training counts were by default.
        round_counts: as for `fit`; with a model, as its training counts were by default.
        keep_controls: as for `fit`.
        source_name: what messages call the data.

    Returns:
        `is_usable`, the findings, a row for each modality, and with a model the `coverage` of its features.

    Examples:
        Counts that `scanpy.pp.log1p` has changed are no raw counts:

        >>> import unisono as un
        >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> un.check(mdata).verdict
        'usable: nothing to say'
        >>> mdata["rna"].X = mdata["rna"].X.log1p()
        >>> report = un.check(mdata)
        >>> report.is_usable, [finding.code for finding in report.findings]
        (False, ['E013'])
    """
    from unisono.model.query import QueryOptions, batch_key_of, findings_of_batches, read_options
    from unisono.training.validation import training_findings

    counts = CountsAt(layer, is_rounded=bool(round_counts))
    options = ReadOptions(batch_key, modalities, counts, keep_controls, is_training=True)
    if model is None:
        config = FitConfig()
        return check_data(
            mdata, options, source_name, further=lambda cells: training_findings(cells, config, source_name)
        )
    names = model.record.modalities if modalities is None else modalities
    parts, _ = taken_apart(mdata, source_name)
    key, without = batch_key_of(parts, model.record, list(parts.mod), source_name)
    asked = QueryOptions(layer=layer, round_counts=round_counts)
    queried = read_options(model.record, batch_key or key, names, asked)
    known = model.fitted.preprocessors

    def further(cells: Cells) -> list[Finding]:
        is_named = model.record.batch_key is None or queried.batch_key is not None
        return [
            *without,
            *findings_of_batches(cells, known, source_name, model.record, is_named),
            *model.record.repeated("model"),
        ]

    return check_data(mdata, queried, source_name, preprocessors=known, further=further)
