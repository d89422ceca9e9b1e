"""Which cells of two modalities are the same cell: by name, never by place; and what makes that doubtful."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import pdtrc

from unisono.io.checks.batches import as_text
from unisono.io.checks.names import is_default
from unisono.io.naming import Source, alias_pattern
from unisono.messages import Finding

Rewrite = Callable[[str], str]
_REWRITES: dict[str, Rewrite] = {
    "as they are": lambda name: name,
    "without the last part": lambda name: re.sub(r"[-_.:#][^-_.:#]*$", "", name),
    "without the first part": lambda name: re.sub(r"^[^-_.:#]*[-_.:#]", "", name),
    "in upper case": str.upper,
}
_SAMPLED = 2000


_WHITELIST = 737_280
"""Barcodes that a 10x library draws from, of versions 1 and 2; later lists are longer."""
_BARCODE = re.compile(r"(?:^|[^A-Z])[ACGT]{12,20}(?:$|[^A-Z])")
_SEQUENCE = re.compile(r"[ACGT]{12,20}")
_CHANCE = 1e-3
_SAMPLE_COLUMNS = re.compile(
    r"(sample|donor|patient|subject|individual|library|batch|lane|replicate|mouse|orig[._]?ident|hto|hash)"
    r"([._ -]?(id|name|key|label))?",
    re.IGNORECASE,
)


def paired_names(cells: Mapping[str, pd.Index], source_name: str) -> tuple[dict[str, pd.Index], list[Finding]]:
    """Names of cells by which modalities meet, and W027 where a suffix had to be cut for that.

    Where two modalities share no name, the name of the modality is cut from the end or the beginning of its cells'
    names (AAAC-1_rna), and the number of a 10x library (AAAC-1) where that is the same for all.
    """
    names = list(cells)
    if len(names) < 2 or not all(index.is_unique for index in cells.values()) or _shares(cells):
        return dict(cells), []
    for change in _CUTS:
        cut = {name: change(name, cells[name]) for name in names}
        if all(index.is_unique for index in cut.values()) and _shares(cut):
            changed = [name for name in names if not cut[name].equals(cells[name])]
            shown = " and ".join(f"{name} {cells[name][0]!r} read as {cut[name][0]!r}" for name in changed)
            return cut, [Finding("W027", source_name, f"cells share no name as they are; paired with {shown}.")]
    return dict(cells), []


def _shares(cells: Mapping[str, pd.Index]) -> bool:
    return any(len(cells[a].intersection(cells[b])) for a, b in itertools.combinations(cells, 2))


def _without_modality(name: str, cells: pd.Index) -> pd.Index:
    """The names without that of the modality, if all of them have it."""
    alias = alias_pattern(name)
    for pattern in (rf"[-_.:# ]{alias}$", rf"^{alias}[-_.:# ]"):
        if len(cells) and cells.str.contains(pattern, case=False, regex=True).all():
            return cells.str.replace(pattern, "", case=False, regex=True)
    return cells


def _without_library(name: str, cells: pd.Index) -> pd.Index:
    """The names without the number of a library, if it is the same in all."""
    ends = cells.str.extract(r"[ACGT]{8,}(-\d+)$")[0]
    if not len(cells) or ends.isna().any() or (ends != ends.iloc[0]).any():
        return cells
    return cells.str.slice(0, -len(ends.iloc[0]))


def _without_both(name: str, cells: pd.Index) -> pd.Index:
    return _without_library(name, _without_modality(name, cells))


_CUTS = (_without_modality, _without_library, _without_both)


def names_that_hold(cells: pd.Index, name: str, own: pd.Index) -> pd.Index:
    """The own names of a modality's cells, or what is left of them when they are cut so that `cells` are among them."""
    candidates = (own, *(change(name, own) for change in _CUTS))
    return next((index for index in candidates if cells.isin(index).all()), own)


def pairing_findings(cells: Mapping[str, pd.Index], source_name: str) -> list[Finding]:
    """E026, E027, E028, I025 and W026 for modalities that are to be trained on together."""
    default = [name for name, index in cells.items() if is_default(index)]
    if len(default) > 1:
        what = f"{' and '.join(default)} have default cell names 0..n, which say nothing about who is whose partner."
        remedy = "set real names: mdata[modality].obs_names = barcodes, equal for the same cell"
        return [Finding("E028", source_name, what, remedy)]
    pairs = list(itertools.combinations(cells, 2))
    n_shared = {(a, b): len(cells[a].intersection(cells[b])) for a, b in pairs}
    alone = [name for name in cells if not any(n for pair, n in n_shared.items() if name in pair)]
    if alone:
        return [_no_overlap(alone[0], next(name for name in cells if name != alone[0]), cells, source_name)]
    findings = [_order_or_overlap(a, b, cells, n_shared[a, b], source_name) for a, b in pairs if n_shared[a, b]]
    return [finding for finding in findings if finding]


def disagreeing_samples(
    found: Sequence[Source], names: Mapping[str, pd.Index], source_name: str, batch_key: str | None
) -> list[Finding]:
    """W030 for a column of samples that pairs of cells with one name disagree in, beyond how samples are called."""
    findings = []
    for left, right in itertools.combinations(found, 2):
        shared = names[left.name].intersection(names[right.name])
        columns = [c for c in left.adata.obs if c in right.adata.obs and c != batch_key and _is_of_samples(str(c))]
        for column in columns:
            sides = pd.DataFrame(
                {
                    side.name: as_text(side.adata.obs[column]).to_numpy()[names[side.name].get_indexer(shared)]
                    for side in (left, right)
                },
                index=shared,
            ).dropna()
            differs = _is_apart(sides)
            if differs.any():
                place = int(np.argmax(differs))
                what = f"{column} differs for {differs.sum():,} of {len(sides):,} pairs of cells of one name (first: "
                what += f"{sides.index[place]} is {sides.iloc[place, 0]!r} and {sides.iloc[place, 1]!r})"
                remedy = "name cells by sample and barcode, so that one name is one cell"
                where = f"{source_name}, {left.name} and {right.name}"
                findings.append(Finding("W030", where, f"{what}: these may be different cells.", remedy))
    return findings


def _is_of_samples(column: str) -> bool:
    return _SAMPLE_COLUMNS.fullmatch(column) is not None


def _is_apart(sides: pd.DataFrame) -> np.ndarray:
    """Which pairs disagree.

    Where no level is on both sides, each level of one is taken to be called, on the other, as its commonest partner is;
    the side with the finer levels may have several of one name, as lanes of a sample.
    """
    if sides.empty:
        return np.zeros(0, dtype=bool)
    left, right = sides.iloc[:, 0], sides.iloc[:, 1]
    if set(left) & set(right):
        return np.asarray((left != right).to_numpy(), dtype=bool)
    counts = pd.crosstab(left, right)
    differs = [left.map(counts.idxmax(axis=1)) != right, right.map(counts.idxmax(axis=0)) != left]
    return np.asarray(min(differs, key=lambda each: each.sum()).to_numpy(), dtype=bool)


def _order_or_overlap(a: str, b: str, cells: Mapping[str, pd.Index], n_shared: int, source_name: str) -> Finding | None:
    left, right, place = cells[a], cells[b], f"{source_name}, {a} and {b}"
    n_all = len(left.union(right))
    if n_shared < n_all:
        n_chance = _by_chance(left, right)
        what = f"{n_shared} of {n_all} cells paired"
        by_chance = f"{n_chance:.2g} names would meet by chance among the {_WHITELIST:,} barcodes of a 10x library"
        if pdtrc(n_shared - 1, n_chance) > _CHANCE:
            remedy = "give cells that were measured together, under one name; separate runs have no pairs to learn from"
            return Finding("E026", place, f"only {what}, and {by_chance}: these are no pairs.", remedy)
        what += f"; {n_all - n_shared} used as unpaired (in {a} only: {len(left) - n_shared}, "
        what += f"in {b} only: {len(right) - n_shared})"
        doubt = f"; {by_chance}" if n_chance > 0 and n_shared < _FEW * min(len(left), len(right)) else ""
        return Finding("W026", place, f"{what}{doubt}.")
    if not left.equals(right):
        return Finding("I025", place, f"{b} is in another order than {a}; joined by name ({n_shared} cells).")
    return None


_FEW = 0.2
"""Of the smaller side; fewer pairs than this are told next to what chance would give."""


def _by_chance(left: pd.Index, right: pd.Index) -> float:
    """How many names would be shared by chance; 0 where they are no barcodes of 10x.

    Barcodes meet only among cells whose names are otherwise the same, as those of one sample or lane are.
    """
    if not all(index[:_SAMPLED].str.contains(_BARCODE).mean() > 0.5 for index in (left, right)):
        return 0.0
    others = [index.str.replace(_SEQUENCE, "", n=1, regex=True).value_counts() for index in (left, right)]
    return float(others[0].mul(others[1], fill_value=0).sum()) / _WHITELIST


def _no_overlap(a: str, b: str, cells: Mapping[str, pd.Index], source_name: str) -> Finding:
    left, right = cells[a], cells[b]
    what = f"no shared cell names: {a} {left[0]!r}, {b} {right[0]!r}{_diagnosis(a, b, left, right)}."
    remedy = f"rename so that a cell has one name: mdata[{b!r}].obs_names = ..., then build the MuData again"
    return Finding("E027", f"{source_name}, {a} and {b}", what, remedy)


def _diagnosis(a: str, b: str, left: pd.Index, right: pd.Index) -> str:
    """Which simple change of the names would make them meet, and for how many of a sample."""
    lefts, rights = (_rewritten(names) for names in (left[:_SAMPLED], right))
    best, n_best = "", 0
    for on_left, on_right in itertools.product(lefts, rights):
        n_met = len(lefts[on_left] & rights[on_right])
        if n_met > n_best:
            best, n_best = (
                f"; {a} {on_left} and {b} {on_right} would share {n_met} of {min(len(left), _SAMPLED)}",
                n_met,
            )
    return best


def _rewritten(names: pd.Index) -> dict[str, set[str]]:
    """The names after each change that keeps them apart."""
    changed = {rewrite: set(map(change, names)) for rewrite, change in _REWRITES.items()}
    return {rewrite: found for rewrite, found in changed.items() if len(found) == len(names)}
