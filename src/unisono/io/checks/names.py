"""Names of cells and features: unique, saying something, of one genome, and on the axis where they belong."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pandas as pd

from unisono.features.spelling import GENOME
from unisono.io.naming import Source, not_unique, repeated_cells
from unisono.messages import Finding
from unisono.modalities import spec_of

_NO_NAME = {"", "nan", "NaN", "None", "<NA>"}
"""What a missing name becomes when it is written as text; `na` and `none` are genes of the fly."""
_BARCODE = r"(?:^|[^A-Za-z0-9])[ACGT]{12,}(?:$|[^A-Za-z0-9])"
_GENOME_COLUMN = "genome"
_MIN_SHARE = 0.02
"""Share of features below which a second genome is a reporter or a spike-in."""


def name_findings(source: Source, *, is_training: bool) -> list[Finding]:
    """E022, E023 where names are not unique; W081 where they say nothing, W082 where they are of two genomes."""
    features, cells = source.adata.var_names, source.adata.obs_names
    findings = []
    if not features.is_unique:
        remedy = f"mdata[{source.name!r}].var_names_make_unique() before building the MuData"
        findings.append(Finding("E022", source.source_name, f"var_names: {not_unique(features, 'feature')}.", remedy))
    if not cells.is_unique:
        findings.append(repeated_cells(cells, source.source_name))
    nameless = [_nameless(names, noun, source) for names, noun in ((features, "feature"), (cells, "cell"))]
    findings += [each for each in nameless if each is not None]
    return findings + (_numbered(source) + _of_two_genomes(source) if is_training else [])


def is_default(names: pd.Index) -> bool:
    """Whether names are 0, 1, 2 and so on, as tables have them that nobody named."""
    return len(names) > 0 and np.array_equal(names.astype(str), np.arange(len(names)).astype(str))


def _nameless(names: pd.Index, noun: str, source: Source) -> Finding | None:
    """W081 for a name that stands for a missing one; two of them are not unique."""
    is_one = np.fromiter((name.strip() in _NO_NAME for name in names.astype(str)), dtype=bool, count=len(names))
    if not is_one.any():
        return None
    place = int(np.argmax(is_one))
    what = f"{int(is_one.sum())} of {len(names)} {noun}s have no name (first: {str(names[place])!r}, at place {place})."
    return Finding("W081", source.source_name, what, f"name the {noun}s, or drop those without a name")


def _numbered(source: Source) -> list[Finding]:
    """W081 for features that are called 0, 1, 2 and so on, so that those of a query would meet them by place."""
    names = source.adata.var_names
    if spec_of(source.kind).are_intervals or not is_default(names):
        return []
    what = f"features have default names 0..{len(names) - 1}, which do not say what they are, and meet any other."
    return [Finding("W081", source.source_name, what, "set var_names to the names of the features")]


def _of_two_genomes(source: Source) -> list[Finding]:
    """W082 for features of two genomes, by a column of var or by what stands before their names."""
    var, names = source.adata.var, pd.Series(source.adata.var_names.astype(str), dtype=object)
    before = names.str.extract(f"^({GENOME})")[0].str.rstrip("_-")
    genomes = before
    if _GENOME_COLUMN in var and len(var[_GENOME_COLUMN].dropna().unique()) > 1:
        genomes = pd.Series(var[_GENOME_COLUMN].astype(object).to_numpy())
    sizes = genomes[genomes.notna() & (genomes.astype(str) != "")].value_counts()
    sizes = sizes[sizes >= _MIN_SHARE * len(names)]
    if len(sizes) < 2:
        return []
    parts = ", ".join(f"{genome} {n}" for genome, n in sizes.items())
    what = f"{spec_of(source.kind).features} are of {len(sizes)} genomes ({parts}): sizes of cells are of both."
    return [Finding("W082", source.source_name, what, "keep the features of one genome, and its cells")]


def transposed(found: list[Source]) -> list[Finding]:
    """E083 for modalities whose features are named as cells are: by barcodes, or as cells of another modality."""
    turned = {source.name for source in found if _has_barcodes_as_features(source)}
    for a, b in combinations(found, 2):
        if _meet(a.adata.obs_names, b.adata.obs_names):
            continue
        if _are_alike(a.adata.var_names, b.adata.var_names):
            turned |= {a.name, b.name}
        turned |= {one.name for one, other in ((a, b), (b, a)) if _meet(one.adata.var_names, other.adata.obs_names)}
    return [_turned(source) for source in found if source.name in turned]


def is_turned(features: pd.Index, cells: pd.Index, known: pd.Index) -> bool:
    """Whether the names of cells, and not those of features, are known as features."""
    return _meet(cells, known) and not _meet(features, known)


def turned(source_name: str, cell: str, feature: str, remedy: str) -> Finding:
    """E083 with the first name of each axis."""
    what = f"looks transposed: the first row, a cell, is called {cell!r}, the first column, a feature, {feature!r}."
    return Finding("E083", source_name, what, remedy)


def _turned(source: Source) -> Finding:
    cell, feature = str(source.adata.obs_names[0]), str(source.adata.var_names[0])
    return turned(source.source_name, cell, feature, "transpose it: adata = adata.T.copy(), then write it again")


def _has_barcodes_as_features(source: Source) -> bool:
    features, cells = (names[:_SAMPLED].astype(str) for names in (source.adata.var_names, source.adata.obs_names))
    return len(features) > 0 and len(cells) > 0 and _barcodes(features) > 0.5 > _barcodes(cells)


def _barcodes(names: pd.Index) -> float:
    return float(np.mean([re.search(_BARCODE, name) is not None for name in names]))


_SAMPLED = 200


def _meet(names: pd.Index, others: pd.Index) -> bool:
    """Whether more than half of the names of the shorter side are on the other."""
    fewer = min(len(names), len(others))
    return fewer > 1 and len(names.intersection(others)) > fewer / 2


def _are_alike(names: pd.Index, others: pd.Index) -> bool:
    """Whether both sides share more than half of the names of either, as cells do and features of two kinds do not."""
    return len(names.intersection(others)) > max(len(names), len(others), 2) / 2
