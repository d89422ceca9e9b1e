"""The batch of each cell, looked up by cell name in every obs table that has the column; never invents a batch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.io.naming import Source
from unisono.messages import Finding, typed
from unisono.types import ONE_BATCH, Modality

if TYPE_CHECKING:
    from mudata import MuData

_MAX_NUMERIC_LEVELS = 1000
_MIN_CELLS = 3
Batches = dict[Modality, NDArray[np.str_]]


def find_batches(
    mdata: MuData, found: list[Source], batch_key: str | None, source_name: str, *, is_training: bool = True
) -> tuple[Batches, list[Finding]]:
    """For each modality the batch of each of its cells, and what is wrong with the column (E029 to E033).

    `mdata.obs` and the obs of each modality count alike: a cell's batch is the first value found for it, and two
    different values are an error. Empty strings, and 'nan' as text, count as missing. Levels of few cells are told of
    those of training alone (W032): a query may be one cell.
    """
    if batch_key is None:
        return {source.kind: np.full(source.adata.n_obs, ONE_BATCH) for source in found}, []
    names = {old: new for source in found for old, new in source.renamed.items()}
    tables = {"mdata.obs": mdata.obs.rename(index=names) if names else mdata.obs}
    tables |= {f"{source.name}.obs": source.adata.obs.set_axis(source.cells, axis=0) for source in found}
    columns = {place: table[batch_key] for place, table in tables.items() if batch_key in table.columns}
    if not columns:
        return {}, [_not_found(batch_key, tables, source_name)]
    table = pd.DataFrame({place: as_text(_unique(column)) for place, column in columns.items()})
    table = table.reindex(pd.Index(np.concatenate([source.cells for source in found])).unique())
    batch = _first_known(table)
    findings = _many_levels(columns, batch_key, source_name) + _disagreements(table, batch, batch_key, source_name)
    findings += _missing(batch, found, batch_key, source_name)
    if findings:
        return {}, findings
    findings = [
        _located(batch, list(columns), batch_key, source_name),
        *(_thin_levels(batch, batch_key, source_name) if is_training else []),
    ]
    return {source.kind: batch.loc[source.cells].to_numpy(dtype=str) for source in found}, findings


NO_VALUE = {"", "nan", "none", "na", "n/a", "<na>", "null"}
"""What a missing value becomes when it is written as text, in lower case."""


def as_text(column: pd.Series) -> pd.Series:
    """Levels as strings without space around them, missing ones NaN, also where the text says so ('nan').

    1.0 reads '1', since a merge with gaps turns integers into floats.
    """
    values = column.astype(object)
    levels = {value: _level(value) for value in values.dropna().unique()}
    known = {value: level for value, level in levels.items() if level.casefold() not in NO_VALUE}
    return values.map(known).astype(object)


def _level(value: object) -> str:
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return f"{value:.0f}" if is_whole else str(value).strip()


def _unique(column: pd.Series) -> pd.Series:
    return column[~column.index.duplicated()]


def _first_known(table: pd.DataFrame) -> pd.Series:
    batch = table.iloc[:, 0]
    for place in table.columns[1:]:
        batch = batch.where(batch.notna(), table[place])
    return batch


def _not_found(batch_key: str, tables: Mapping[str, pd.DataFrame], source_name: str) -> Finding:
    places = [(str(column), place) for place, table in tables.items() for column in table.columns]
    close = _closest(batch_key, [column for column, _ in places])
    hint = next((f" (closest: {column!r} in {place})" for column, place in places if column == close), "")
    what = f"batch_key {batch_key!r} in none of {', '.join(tables)}{hint}."
    remedy = (
        typed(f'batch_key="{close}"', f"--batch-key {close}")
        if close
        else f"name one of: {', '.join(sorted({c for c, _ in places})[:8]) or 'none there'}"
    )
    return Finding("E029", source_name, what, remedy)


def _closest(wanted: str, names: list[str]) -> str | None:
    folded = {name.casefold(): name for name in reversed(names)}
    close = difflib.get_close_matches(wanted.casefold(), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _many_levels(columns: Mapping[str, pd.Series], batch_key: str, source_name: str) -> list[Finding]:
    for place, column in columns.items():
        n_levels = column.nunique()
        if pd.api.types.is_numeric_dtype(column.dtype) and n_levels > _MAX_NUMERIC_LEVELS:
            what = f"batch_key {batch_key!r} has {n_levels} levels in {place} and is numeric: looks like a measurement."
            return [Finding("E033", source_name, what, "name a column of samples, donors or sites")]
    return []


def _disagreements(table: pd.DataFrame, batch: pd.Series, batch_key: str, source_name: str) -> list[Finding]:
    differs = (table.notna() & table.ne(batch, axis=0)).any(axis=1)
    if not differs.any():
        return []
    cell = differs.idxmax()
    values = ", ".join(f"{value!r} in {place}" for place, value in table.loc[str(cell)].dropna().items())
    what = f"{batch_key} differs between tables for {differs.sum()} cells (first: {cell} is {values})."
    return [Finding("E030", source_name, what, "make the tables agree, or drop the column from the wrong one")]


def _missing(batch: pd.Series, found: list[Source], batch_key: str, source_name: str) -> list[Finding]:
    lost = batch.index[batch.isna()]
    if not len(lost):
        return []
    counts = ((source.name, int(source.cells.isin(lost).sum())) for source in found)
    parts = ", ".join(f"{n} in {name}" for name, n in counts if n)
    what = f"{len(lost)} cells without {batch_key} (first: {lost[0]}; {parts})."
    return [Finding("E031", source_name, what, "fill the column in, or drop these cells")]


def _located(batch: pd.Series, places: list[str], batch_key: str, source_name: str) -> Finding:
    levels = sorted(batch.unique())
    shown = ", ".join(levels[:4]) + (", ..." if len(levels) > 4 else "")
    return Finding("I029", source_name, f"{batch_key} found in {' and '.join(places)}: {len(levels)} levels ({shown}).")


def _thin_levels(batch: pd.Series, batch_key: str, source_name: str) -> list[Finding]:
    sizes = batch.value_counts().sort_index()
    findings = []
    thin = sizes[sizes < _MIN_CELLS]
    if len(thin):
        first = f"{thin.index[0]}, {thin.iloc[0]}"
        what = f"{len(thin)} levels of {batch_key} have fewer than {_MIN_CELLS} cells (first: {first})."
        findings.append(Finding("W032", source_name, what, "merge or drop them"))
    return findings
