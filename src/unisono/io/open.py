"""From paths to a MuData, whatever the layout of the files; says what it took for what, and reads no count."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unisono.io.assays import assays_of
from unisono.io.container import (
    existing,
    holds_anndata,
    is_zarr,
    require_sound_zarr,
    root_of,
    standardised,
    unknown_folder,
    unknown_layout,
)
from unisono.io.formats.foreign import refuse_foreign, refuse_foreign_hdf5
from unisono.io.formats.matrix_folder import is_matrix_folder, read_matrix_folder
from unisono.io.formats.table import is_table, read_table
from unisono.io.formats.tenx_hdf5 import is_tenx_hdf5, read_tenx_hdf5
from unisono.io.memory import require_memory
from unisono.io.naming import kind_of, repeated_cells, unknown_kind
from unisono.messages import Finding, bad_input, refuse

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_OPTIONS = threading.RLock()
"""Options of mudata and filters of warnings are those of the process: two threads that set them would mix them up."""

Files = str | Path | Mapping[str, str | Path]
"""One file or folder, or modality → file."""


def open_data(files: Files, modality: str | None = None, only: str | None = None) -> tuple[MuData, list[Finding]]:
    """Read into memory what users have: .h5mu, .h5ad, zarr, 10x .h5, a folder with matrix.mtx, or a table of text.

    Args:
        files: one path, or a path for each modality by its name.
        modality: what an AnnData without feature types holds, where one path is given.
        only: the modality that is asked about: of an .h5mu that holds it the others are not read.

    Returns:
        The modalities, and what was noticed: W and I alone.

    Raises:
        BadInput: E001 missing, E002 no counts, E003 damaged, E004 chunks missing, E005 half written, E006 of a layout
            that is not read, E007 an unknown name or not what the file holds, E047 pickled values.
    """
    if not isinstance(files, Mapping):
        mdata, findings = _opened(existing(Path(files)), modality, only)
        refuse(findings)
        return mdata, findings
    parts: dict[str, AnnData] = {}
    noticed: list[Finding] = []
    for name, path in files.items():
        if kind_of(name) is None:
            raise unknown_kind(name, str(path))
        mdata, findings = _opened(existing(Path(path)), name)
        refuse(findings)
        parts[name] = _part_of(mdata, name, Path(path))
        noticed += findings
    return as_mudata(parts), noticed


def as_mudata(parts: Mapping[str, AnnData]) -> MuData:
    """Modalities by name as one MuData, without pulling their columns into its own tables."""
    import mudata

    with _OPTIONS, mudata.set_options(pull_on_update=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData(dict(parts))


def taken_apart(data: MuData | AnnData, source_name: str, modality: str | None = None) -> tuple[MuData, list[Finding]]:
    """A MuData as it is, an AnnData as the modalities it holds; see `assays_of`."""
    if hasattr(data, "mod"):
        return data, []
    parts, findings = assays_of(data, source_name, modality)
    return as_mudata(parts), findings


def _part_of(mdata: MuData, name: str, path: Path) -> AnnData:
    found = [part for part in mdata.mod if kind_of(part) == kind_of(name)]
    if len(found) != 1:
        what = f"is to be read as {name}, but holds {', '.join(mdata.mod)}."
        raise bad_input("E007", str(path), what, "name it by what it holds")
    part: AnnData = mdata.mod[found[0]]
    return part


def _opened(path: Path, modality: str | None, only: str | None = None) -> tuple[MuData, list[Finding]]:
    if is_zarr(path):
        require_sound_zarr(path)
        with standardised(path):
            require_memory(path)
        return _of_anndata(path, modality) if holds_anndata(path) else (_mudata(path, "read_zarr"), [])
    if path.is_dir():
        return _of_folder(path, modality)
    with standardised(path):
        refuse_foreign(path)
    if is_table(path):
        return _raw(read_table, path, path, modality)
    if path.name.removesuffix(".gz").endswith("matrix.mtx"):
        return _of_folder(path.parent, modality)
    root = root_of(path)
    if only is None:
        with standardised(path):
            require_memory(path)
    if root.is_mudata:
        return _mudata(path, "read_h5mu") if only is None else _one_of_mudata(path, only), []
    if root.is_anndata:
        return _of_anndata(path, modality)
    if is_tenx_hdf5(root.groups):
        return _raw(read_tenx_hdf5, path, path, modality)
    refuse_foreign_hdf5(path, set(root.groups))
    raise unknown_layout(path, root.groups)


def _mudata(path: Path, reader: str) -> MuData:
    import mudata

    with standardised(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            return getattr(mudata, reader)(path)
        except ValueError:
            _refuse_repeated_cells(path)
            raise


def _refuse_repeated_cells(path: Path) -> None:
    """Refuse a MuData with cells of one name, of which not all modalities can be read together (E023)."""
    import h5py
    import zarr
    from anndata.io import read_elem

    root: Any = zarr.open_group(str(path), mode="r") if path.is_dir() else h5py.File(path, "r")
    cells = {f"{path.name}, {name}": read_elem(part["obs"]).index for name, part in root["mod"].items()}
    refuse([repeated_cells(names, where) for where, names in cells.items() if not names.is_unique])


def _one_of_mudata(path: Path, only: str) -> MuData:
    """One modality of an .h5mu, and what the whole says of its cells; all where none or several are of that kind."""
    import mudata

    with standardised(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backed = mudata.read_h5mu(path, backed="r")
        try:
            found = [name for name in backed.mod if kind_of(name) == only]
            if len(found) == 1:
                require_memory(path, f"mod/{found[0]}")
                part = backed.mod[found[0]].to_memory()
                whole = as_mudata({found[0]: part})
                of_parts = tuple(f"{name}:" for name in backed.mod)  # pulled up from one of them
                for column in [name for name in backed.obs if not str(name).startswith(of_parts)]:
                    whole.obs[column] = backed.obs[column].reindex(whole.obs_names)
                return whole
        finally:
            backed.file.close()
    return _mudata(path, "read_h5mu")


def _of_anndata(path: Path, modality: str | None) -> tuple[MuData, list[Finding]]:
    import anndata

    with standardised(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.read_zarr(path) if path.is_dir() else anndata.read_h5ad(path)
        return taken_apart(adata, path.name, modality)


def _of_folder(path: Path, modality: str | None) -> tuple[MuData, list[Finding]]:
    counts = path / "umi_count" if (path / "umi_count").is_dir() else path  # as CITE-seq-Count writes it
    if not is_matrix_folder(counts):
        raise unknown_folder(path)
    return _raw(read_matrix_folder, counts, path, modality)


def _raw(
    reader: Callable[[Path], AnnData], counts: Path, path: Path, modality: str | None
) -> tuple[MuData, list[Finding]]:
    """The modalities of counts that programs wrote, where two genes may have one symbol."""
    with standardised(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata, findings = taken_apart(reader(counts), path.name, modality)
    for name, part in mdata.mod.items():
        repeated = part.var_names[part.var_names.duplicated()]
        if len(repeated):
            part.var_names_make_unique()
            what = (
                f"{len(repeated)} names occur again (first: {repeated[0]}): the second is {repeated[0]}-1, and so on."
            )
            findings.append(Finding("I022", f"{path.name}, {name}", what))
    return as_mudata(mdata.mod), findings
