"""Cells by rows: those of a file that stays on disk, or of an object in memory, a block at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from unisono.io.checks.pairing import paired_names
from unisono.io.container import existing, holds_anndata, is_zarr, require_sound_zarr, root_of, standardised
from unisono.io.naming import repeated_cells
from unisono.io.open import as_mudata
from unisono.messages import bad_input, refuse

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

Rows = NDArray[np.intp]
ROWS_AT_A_TIME = 10_000
"""Cells that are read together where all are read."""
_MAX_GAP = 256
"""Rows between two that are asked for, which are read and left out rather than a second read begun."""


class CellSource(Protocol):
    """Cells that can be read by rows: positions in `names`."""

    @property
    def names(self) -> pd.Index:
        """Every cell once; modalities meet by name."""

    def fetch(self, rows: Rows) -> Mapping[str, AnnData]:
        """The modalities of some of the cells in memory, in the order given; may be called in any thread."""

    def joined(self, parts: Mapping[str, AnnData]) -> MuData | AnnData:
        """Fetched cells with all that is known of them."""

    def take(self, rows: Rows) -> MuData | AnnData:
        """Some of the cells in memory, in the order given, with all that is known of them."""

    def column(self, key: str) -> pd.Series | None:
        """An obs column, missing where a cell has no value; None where no table has it."""

    @property
    def pattern(self) -> NDArray[np.intp]:
        """A number for each cell, the same for cells that have the same modalities."""

    @property
    def meets_by_name(self) -> bool:
        """Whether its modalities share names of cells as they are, each once, or there is one table alone."""


def blocks(n_cells: int, size: int = ROWS_AT_A_TIME) -> Iterator[Rows]:
    """All rows, some at a time."""
    return (np.arange(start, min(start + size, n_cells)) for start in range(0, n_cells, size))


@final
@dataclass(frozen=True, eq=False)
class InMemory:
    """The cells of a MuData or AnnData.

    Attributes:
        data: is not changed.
    """

    data: MuData | AnnData

    @cached_property
    def names(self) -> pd.Index:
        return _joint(self._own)

    @property
    def meets_by_name(self) -> bool:
        return _meet(self._own)

    @property
    def is_in_one_order(self) -> bool:
        """Whether every modality lists its cells in the order of `names`."""
        return all(bool((np.diff(_there(rows)) > 0).all()) for rows in self._rows.values())

    @cached_property
    def _own(self) -> dict[str, pd.Index]:
        parts = self.data.mod if hasattr(self.data, "mod") else {"": self.data}
        return {name: part.obs_names for name, part in parts.items()}

    @cached_property
    def _rows(self) -> dict[str, Rows]:
        return _rows_of(self._own, self.names)

    @property
    def pattern(self) -> NDArray[np.intp]:
        return _pattern(self._rows)

    def fetch(self, rows: Rows) -> Mapping[str, AnnData]:
        if not hasattr(self.data, "mod"):
            return {"": _copy(self.data[rows])}
        return {name: _copy(self.data.mod[name][_there(own[rows])]) for name, own in self._rows.items()}

    def joined(self, parts: Mapping[str, AnnData]) -> MuData | AnnData:
        return parts[""] if set(parts) == {""} else _together(parts, self.data.obs)

    def take(self, rows: Rows) -> MuData | AnnData:
        return self.joined(self.fetch(rows))

    @property
    def modalities(self) -> list[str]:
        """By name; none where it is one table."""
        return [name for name in self._own if name]

    def only(self, names: Sequence[str]) -> InMemory:
        """The same cells as far as they are in some of the modalities, of which alone counts are taken."""
        return InMemory(_together({name: self.data.mod[name] for name in names}, self.data.obs))

    def column(self, key: str) -> pd.Series | None:
        parts = self.data.mod if hasattr(self.data, "mod") else {}
        return _column(key, self.data.obs, {name: part.obs for name, part in parts.items()}, self._rows, self.names)


@final
@dataclass(frozen=True, eq=False, repr=False)
class Store:
    """The cells of an .h5mu, an .h5ad or a zarr folder, which are read by rows; tables of cells and features are held.

    Attributes:
        path: of the file or folder.
        parts: modalities; the whole under "" where it is one AnnData.
        obs: of all cells.
    """

    path: Path
    parts: Mapping[str, StoredPart]
    obs: pd.DataFrame

    @cached_property
    def names(self) -> pd.Index:
        return _joint(self._own)

    @property
    def meets_by_name(self) -> bool:
        return _meet(self._own)

    @cached_property
    def _own(self) -> dict[str, pd.Index]:
        return {name: part.obs.index for name, part in self.parts.items()}

    @cached_property
    def _rows(self) -> dict[str, Rows]:
        return _rows_of(self._own, self.names)

    @property
    def pattern(self) -> NDArray[np.intp]:
        return _pattern(self._rows)

    @property
    def n_cells(self) -> int:
        return len(self.names)

    def __len__(self) -> int:
        return self.n_cells

    def __repr__(self) -> str:
        parts = (f"{name or 'X'} {len(part.obs):,} × {len(part.var):,}" for name, part in self.parts.items())
        return f"Store {self.path}: {self.n_cells:,} cells, {', '.join(parts)}"

    def fetch(self, rows: Rows) -> Mapping[str, AnnData]:
        with standardised(self.path):
            return {name: part.take(_there(self._rows[name][rows])) for name, part in self.parts.items()}

    def joined(self, parts: Mapping[str, AnnData]) -> MuData | AnnData:
        return parts[""] if set(parts) == {""} else _together(parts, self.obs)

    def take(self, rows: Rows) -> MuData | AnnData:
        return self.joined(self.fetch(rows))

    @property
    def modalities(self) -> list[str]:
        """By name; none where it is one table."""
        return [name for name in self.parts if name]

    def only(self, names: Sequence[str]) -> Store:
        """The same cells as far as they are in some of the modalities, of which alone counts are read."""
        return replace(self, parts={name: self.parts[name] for name in names})

    def tables(self) -> MuData | AnnData:
        """All cells with what obs says of them, without a feature."""
        from anndata import AnnData

        found = {name: AnnData(obs=part.obs) for name, part in self.parts.items()}
        return found[""] if set(found) == {""} else _together(found, self.obs)

    def column(self, key: str) -> pd.Series | None:
        tables = {name: part.obs for name, part in self.parts.items()}
        return _column(key, self.obs, tables, self._rows, self.names)


@final
@dataclass(frozen=True, eq=False)
class StoredPart:
    """One AnnData on disk.

    Attributes:
        group: of HDF5 or zarr.
        obs: its cells.
        var: its features.
    """

    group: Any
    obs: pd.DataFrame
    var: pd.DataFrame

    @classmethod
    def of(cls, group: Any) -> StoredPart:
        """The part in a group."""
        from anndata.io import read_elem

        return cls(group, read_elem(group["obs"]), read_elem(group["var"]))

    def take(self, rows: Rows) -> AnnData:
        """Some of its cells, in the order given: X, layers, obsm and raw of these."""
        from anndata import AnnData

        raw = self.group.get("raw", None)
        found = AnnData(
            _rows_of_matrix(self.group["X"], rows) if "X" in self.group else None,
            obs=self.obs.iloc[rows].copy(),
            var=self.var.copy(),
            layers={name: _rows_of_matrix(self.group["layers"][name], rows) for name in self.group.get("layers", ())},
            obsm={name: _rows_of_element(self.group["obsm"][name], rows) for name in self.group.get("obsm", ())},
        )
        if raw is not None and "X" in raw:
            from anndata.io import read_elem

            found.raw = AnnData(_rows_of_matrix(raw["X"], rows), obs=found.obs, var=read_elem(raw["var"]))
        return found


def open_store(path: str | Path) -> Store:
    """See `unisono.open`."""
    place = existing(Path(path))
    group = _opened(place)
    with standardised(place), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from anndata.io import read_elem

        names = _modalities_of(group["mod"]) if "mod" in group else []
        parts = {name: StoredPart.of(group["mod"][name]) for name in names} or {"": StoredPart.of(group)}
        obs = read_elem(group["obs"])
    cells = {f"{path}, {name or 'X'}": part.obs.index for name, part in parts.items()}
    refuse([repeated_cells(names, where) for where, names in cells.items() if not names.is_unique])
    return Store(place, parts, obs)


def _modalities_of(group: Any) -> list[str]:
    """In the order of the MuData that was written; a group lists its members by name."""
    there = list(group)
    told = [str(name) for name in group.attrs.get("mod-order", ())]
    return told if sorted(told) == sorted(there) else there


def is_read_by_rows(path: Path) -> bool:
    """Whether a path is an .h5mu, an .h5ad or a zarr folder, of MuData or AnnData."""
    if is_zarr(path):
        return holds_anndata(path) or (path / "mod").is_dir()
    if not path.is_file() or path.suffix not in (".h5mu", ".h5ad"):
        return False
    root = root_of(path)
    return root.is_mudata or root.is_anndata


def _opened(path: Path) -> Any:
    """The root of a file or folder that is read by rows."""
    if not is_read_by_rows(path):
        what = "is not read by rows: neither .h5mu, .h5ad nor zarr of MuData or AnnData."
        raise bad_input(
            "E006", str(path), what, f"convert it: unisono convert {path} -o {path.with_suffix('.zarr').name}"
        )
    with standardised(path):
        if path.is_dir():
            require_sound_zarr(path)
            import zarr

            return zarr.open_group(str(path), mode="r")
        import h5py

        return h5py.File(path, "r")


def _rows_of_element(element: Any, rows: Rows) -> Any:
    """Rows of what stands in obsm: a matrix, or a table."""
    from anndata.io import read_elem

    kind = element.attrs.get("encoding-type", "")
    return read_elem(element).iloc[rows] if kind == "dataframe" else _rows_of_matrix(element, rows)


def _rows_of_matrix(element: Any, rows: Rows) -> Any:
    """Rows of a matrix on disk, read run by run; a sparse one as CSR."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    back = np.argsort(order, kind="stable")
    if hasattr(element, "shape") and not hasattr(element, "keys"):
        parts = [np.asarray(element[run[0] : run[-1] + 1])[run - run[0]] for run in _runs(ordered)]
        found = np.concatenate(parts) if parts else np.empty((0, *element.shape[1:]), dtype=element.dtype)
        return found[back]
    from anndata.io import sparse_dataset

    matrix = sparse_dataset(element)
    if matrix.format != "csr":
        what = "its counts are stored by feature (CSC): rows cannot be read alone."
        name = str(getattr(element, "name", ""))
        raise bad_input("E006", name or "store", what, "convert it: unisono convert DATA -o OUT.zarr")
    read = [_some(sparse.csr_matrix(matrix[run[0] : run[-1] + 1]), run - run[0]) for run in _runs(ordered)]
    if not read:
        return sparse.csr_matrix((0, matrix.shape[1]), dtype=matrix.dtype)
    joined = read[0] if len(read) == 1 else sparse.csr_matrix(sparse.vstack(read, format="csr"))
    return _some(joined, back)


def _runs(rows: Rows) -> list[Rows]:
    """Sorted rows in runs that are each read at once, with what lies in small gaps, which shares their chunks."""
    if not len(rows):
        return []
    is_far = (np.diff(rows) > _MAX_GAP) | (np.diff(rows // ROWS_AT_A_TIME) > 0)
    return np.split(rows, np.flatnonzero(is_far) + 1)


def _some(matrix: sparse.csr_matrix, rows: Rows) -> sparse.csr_matrix:
    """Rows of a matrix; itself where these are all of them, in order."""
    is_whole = len(rows) == matrix.shape[0] and bool((rows == np.arange(len(rows))).all())
    return matrix if is_whole else matrix[rows]


def _joint(own: Mapping[str, pd.Index]) -> pd.Index:
    """Every cell once, in order of first appearance."""
    names = list(own.values())
    if not all(other.equals(names[0]) for other in names[1:]):
        names = [pd.Index(pd.unique(np.concatenate([np.asarray(each, dtype=object) for each in names])))]
    return names[0]


def _meet(own: Mapping[str, pd.Index]) -> bool:
    return all(index.is_unique for index in own.values()) and not paired_names(own, "data")[1]


def _rows_of(own: Mapping[str, pd.Index], names: pd.Index) -> dict[str, Rows]:
    """Of each modality the row of each cell, −1 where it lacks the modality."""
    return {name: np.asarray(index.get_indexer(names), dtype=np.intp) for name, index in own.items()}


def _pattern(rows: Mapping[str, Rows]) -> NDArray[np.intp]:
    return np.asarray(sum((rows[name] >= 0) * 2**place for place, name in enumerate(sorted(rows))), dtype=np.intp)


def allotted(pattern: NDArray[np.intp], at_most: int, size: int = 1) -> Iterator[tuple[Rows, int]]:
    """The positions of each pattern, and how many to take of them: as many of each as there are, up to equal parts.

    So that a few cells that pair modalities are not lost among many that do not.

    Args:
        pattern: of each cell.
        at_most: taken in all.
        size: cells that are taken together, and counted as one.
    """
    groups = [np.flatnonzero(pattern == number) for number in np.unique(pattern)]
    groups.sort(key=len)
    left = at_most
    for place, group in enumerate(groups):
        n = min(-(-len(group) // size), left // (len(groups) - place))
        left -= n
        yield group, n


def _copy(part: AnnData) -> AnnData:
    """The part in memory; filters of warnings are those of the process, and are left alone where nothing is said."""
    if part.obs_names.is_unique and part.var_names.is_unique:
        return _copied(part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # E022 says it
        return _copied(part)


def _copied(part: AnnData) -> AnnData:
    copied: AnnData = part.to_memory() if part.isbacked else part.copy()
    return copied


def _there(rows: Rows) -> Rows:
    return rows[rows >= 0]


def _together(parts: Mapping[str, AnnData], obs: pd.DataFrame) -> MuData:
    """Parts as a MuData, with the columns of the whole that are none of a part's."""
    whole = as_mudata(parts)
    columns = [column for column in obs if not str(column).startswith(tuple(f"{name}:" for name in parts))]
    known = obs.loc[~obs.index.duplicated(), columns].reindex(whole.obs_names)
    for column in columns:
        whole.obs[column] = known[column]
    return whole


def _column(
    key: str, obs: pd.DataFrame, tables: Mapping[str, pd.DataFrame], rows: Mapping[str, Rows], names: pd.Index
) -> pd.Series | None:
    if key in obs and obs.index.isin(names).any():
        return obs[key].reindex(names)
    found: pd.Series | None = None
    for name, table in tables.items():
        if key in table:
            own = pd.Series(np.full(len(names), None, dtype=object), index=names)
            has = rows[name] >= 0
            own.iloc[np.flatnonzero(has)] = table[key].to_numpy(dtype=object)[rows[name][has]]
            found = own if found is None else found.where(found.notna(), own)
    return found
