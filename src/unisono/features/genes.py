"""Which column holds each wanted gene, by its name or a second name of it; never by what the column counts."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.features.gene_names import human_genes
from unisono.features.spelling import plain_symbols

_VERSIONED = r"^(ENS[A-Z]*[GT]\d{6,})\.\d+$"
"""An Ensembl gene or transcript id with its version. AL645608.8 is none: its number belongs to the clone's name."""

_CONTROL = re.compile(
    r"NegControl|NegPrb|Negative[-_]?\d|FalseCode|SystemControl|(?:Unassigned|Deprecated)Codeword|Intergenic_Region"
    r"|BLANK[-_ ]?\d|Blank[-_ ]?\d|antisense_|ERCC-\d{5}"
)
"""Probes and codewords of Xenium, CosMx and MERSCOPE that meet no gene, and spike-ins; ERCC1 to ERCC8 are genes."""


def match_genes(
    wanted: NDArray[np.str_],
    found: NDArray[np.str_],
    wanted_ids: NDArray[np.str_] | None = None,
    found_ids: NDArray[np.str_] | None = None,
) -> NDArray[np.intp]:
    """Column of `found` that holds each wanted gene, -1 where there is none.

    `wanted` and `found` are names, each unique on its side. The ids are a second name of each gene, for example
    Ensembl ids next to symbols, '' where unknown. Trusted in this order: Ensembl ids of both sides, as releases name
    clones anew; equal names; names equal but for an Ensembl version; ids with ids; the ids of one side with the names
    of the other; names as other tools write them (`plain_symbols`: GRCh38_CD3D, HLA.A); and, where both sides are
    human, two names that one gene had in its time (`human_genes`: SEPT6, SEPTIN6). A column goes to one gene at most,
    to the most trusted claim. A key that two genes of one side share names neither of them. Case counts: human CD4,
    mouse Cd4.

    Raises:
        ValueError: when a name occurs twice on one side, or ids and names differ in number.
    """
    _check("wanted", wanted, wanted_ids)
    _check("found", found, found_ids)
    wanted_names, found_names = _unversioned(wanted), _unversioned(found)
    wanted_second = None if wanted_ids is None else _unversioned(wanted_ids)
    found_second = None if found_ids is None else _unversioned(found_ids)
    claims = (
        (_ensembl(wanted_second), _ensembl(found_second)),
        (pd.Index(wanted, dtype=object), pd.Index(found, dtype=object)),
        (wanted_names, found_names),
        (wanted_second, found_second),
        (wanted_second, found_names),
        (wanted_names, found_second),
    )
    match = np.full(len(wanted), -1, dtype=np.intp)
    for wanted_keys, found_keys in claims:
        if wanted_keys is not None and found_keys is not None:
            match = _claim(match, _columns(wanted_keys, found_keys))
    if (match < 0).any():
        match = _claim(match, _columns(plain_symbols(wanted), plain_symbols(found)))
    if (match < 0).any() and (match >= 0).sum() < len(found):
        wanted_genes, found_genes = human_genes(wanted, wanted_ids), human_genes(found, found_ids)
        if wanted_genes is not None and found_genes is not None:
            match = _claim(match, _columns(wanted_genes, found_genes))
    return match


def is_control(name: str) -> bool:
    """Whether a name is that of a probe or codeword that meets no gene, or of a spike-in."""
    return _CONTROL.match(name) is not None


def _check(side: str, names: NDArray[np.str_], ids: NDArray[np.str_] | None) -> None:
    """Raise unless the names are unique and the ids, where given, as many as they."""
    twice = pd.Index(names, dtype=object).duplicated()
    if twice.any():
        raise ValueError(
            f"{side} genes: {twice.sum()} names occur more than once (first: {str(names[twice][0])!r}); "
            "make the names unique"
        )
    if ids is not None and len(ids) != len(names):
        raise ValueError(f"{side} genes: {len(ids)} ids for {len(names)} names; give one id a gene, '' where unknown")


def _unversioned(names: NDArray[np.str_]) -> pd.Index[str]:
    """The names, Ensembl ids without their version."""
    return pd.Index(pd.Series(names, dtype=object).str.replace(_VERSIONED, r"\1", regex=True), dtype=object)


def _ensembl(ids: pd.Index[str] | None) -> pd.Index[str] | None:
    """The ids that are Ensembl's, '' in place of others."""
    return None if ids is None else ids.where(ids.str.match(r"ENS[A-Z]*G\d{6,}$"), "")


def _columns(wanted: pd.Index[str], found: pd.Index[str]) -> NDArray[np.intp]:
    """Place in `found` of each wanted key, -1 where it is empty, missing, or not alone on either side."""
    alone = np.flatnonzero(_is_alone(found))
    place = found[alone].get_indexer(wanted)
    columns = np.append(alone, -1)[place]
    return np.where(_is_alone(wanted), columns, -1).astype(np.intp)


def _is_alone(keys: pd.Index[str]) -> NDArray[np.bool_]:
    """Whether a key is there and names one gene only."""
    return ~keys.duplicated(keep=False) & (keys != "")


def _claim(match: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """The match with the columns that are still free given to the genes that still lack one."""
    is_free = (match < 0) & ~np.isin(columns, match)
    return np.where(is_free, columns, match)
