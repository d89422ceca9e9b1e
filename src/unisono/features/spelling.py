"""Names of features as other tools write them: prefixes, suffixes, dots for dashes; never looks a name up."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Names = NDArray[np.str_]

GENOME = r"(?:GRC[hm]\d{2}|hg\d{2}|mm\d{1,2}|rn\d|b\d{2})(?:\.p\d+)?[_-]+"
"""What reference genomes put before a name, as in GRCh38_CD3D, hg19-CD3D and mm10___Cd3d."""

_WRAPPED = r"^b(['\"])(.*)\1$"
_WITH_ID = r"^(?:ENS[A-Z]*G\d{6,}(?:\.\d+)?[_|:-])?(.+?)(?:[._|:-]ENS[A-Z]*G\d{6,}(?:\.\d+)?)?$"
_OF_R = r"^X(?=\d)"
_MARKS = r"[._ ]"
_MIN_NAMES = 5
_SEPARATORS = "-_.:|# "


def plain_symbols(names: Names) -> pd.Index[str]:
    """Symbols without what tools add: the genome before, an Ensembl id next to it, quotes of bytes, space around.

    R's make.names writes HLA.A for HLA-A, and X7SK for 7SK; Seurat writes dashes for underscores: all marks become a
    dash.
    """
    plain = pd.Series(names, dtype=object).str.strip().str.replace(_WRAPPED, r"\2", regex=True)
    plain = plain.str.replace(f"^{GENOME}", "", regex=True).str.replace(_WITH_ID, r"\1", regex=True)
    return pd.Index(plain.str.replace(_OF_R, "", regex=True).str.replace(_MARKS, "-", regex=True), dtype=object)


def without_affixes(names: Names) -> Names | None:
    """Names without the prefix and suffix that all of them have, up to a mark; None where there is none to cut."""
    if len(names) < _MIN_NAMES:
        return None
    listed = [str(name) for name in names]
    prefix = _to_mark(_beginning(listed))
    suffix = _to_mark(_beginning([name[::-1] for name in listed]))[::-1]
    cut = [name.removeprefix(prefix).removesuffix(suffix) for name in listed]
    if not (prefix or suffix) or not all(cut) or len(set(cut)) < len(cut):
        return None
    return np.array(cut)


def _beginning(names: list[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    n_equal = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:n_equal]


def _to_mark(text: str) -> str:
    """The text up to its last mark."""
    ends = [place + 1 for place, letter in enumerate(text) if letter in _SEPARATORS]
    return text[: ends[-1]] if ends else ""


def describe_cut(pairs: dict[str, str]) -> str | None:
    """What stands before or behind most of a query's names, of pairs model's name → query's name; None if nothing."""
    before = [theirs[: -len(ours)] for ours, theirs in pairs.items() if theirs.endswith(ours) and theirs != ours]
    behind = [theirs[len(ours) :] for ours, theirs in pairs.items() if theirs.startswith(ours) and theirs != ours]
    for place, found in (("prefix", before), ("suffix", [re.sub(r"\d+", "…", end) for end in behind])):
        if len(found) > len(pairs) / 2 and len(found) >= _MIN_NAMES:
            commonest = max(set(found), key=found.count)
            return f"{place} {commonest!r} was cut from {found.count(commonest)} names"
    return None
