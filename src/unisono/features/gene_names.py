"""Which human gene a name or Ensembl id of any annotation stands for; read from a table, and only when asked.

The table, data/human_genes.csv.gz, is made by tools/gene_names.py of the approved and previous symbols of the HGNC
(2024-07, CC0) and of the names that Ensembl 84, 93 and 100, Ensembl 100 for GRCh37, and GENCODE 32, 38, 44 and 48 gave
their ids (free for any use). It knows what SEPT6, RP11-34P13.7 and the spreadsheet's 6-Sep became. Names that stood for
two genes are not in it, nor aliases, which the literature uses and no annotation.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono.features.spelling import plain_symbols

Names = NDArray[np.str_]

_ID = re.compile(r"ENSG(\d{11})(?:\.\d+)?")
_NO_NAME = re.compile(r"ENS|(?:GRCm|mm|rn)\d")
"""How ids of any species begin, and names in files of two species that are not of the human genome."""

_MIN_KNOWN = 0.25
"""Share of names in the table from which a side is human. Human annotations of 2013 to 2025 have 0.73 to 0.96 of their
names there, mouse 0.001; a quarter leaves room for mixtures of the two."""


@dataclass(frozen=True)
class _Table:
    """The genes, each by a text of its own, of plain names and of numbers of Ensembl ids."""

    of_name: Mapping[str, str]
    of_id: Mapping[int, str]


def human_genes(names: Names, ids: Names | None = None) -> pd.Index[str] | None:
    """The gene of each feature, '' where it is not known or not sure; None where most names are not of human genes.

    An Ensembl id, in `ids` or as the name, decides alone; then the name; then the id read as a name.
    """
    genes = _genes(names)
    if ids is not None:
        genes = [
            second if name.startswith("ENS") or not first else first
            for first, second, name in zip(genes, _genes(ids), ids.tolist(), strict=True)
        ]
    if sum(map(bool, genes)) < _MIN_KNOWN * max(len(genes), 1):
        return None
    return pd.Index(genes, dtype=object)


def count_renamed(pairs: Mapping[str, str]) -> int:
    """How many of the pairs of names are two names of one human gene, and not one name in two spellings."""
    ours, theirs = np.array(list(pairs), dtype=str), np.array(list(pairs.values()), dtype=str)
    differ = np.asarray(plain_symbols(ours) != plain_symbols(theirs))
    if not differ.any():
        return 0
    genes = zip(_genes(ours[differ]), _genes(theirs[differ]), strict=True)
    return sum(one == other != "" for one, other in genes)


def _genes(names: Names) -> list[str]:
    """The gene of each name or Ensembl id, '' where it is not known."""
    table = _table()
    found = [table.of_name.get(name, "") for name in names.tolist()]
    others = np.flatnonzero(np.array(found) == "")
    for place, name, plain in zip(others, names[others].tolist(), plain_symbols(names[others]), strict=True):
        number = _ID.fullmatch(name)
        if number:
            found[place] = table.of_id.get(int(number[1]), "")
        elif not _NO_NAME.match(name):
            found[place] = table.of_name.get(plain, "")
    return found


@cache
def _table() -> _Table:
    """The table, read once."""
    packed = (files(__package__) / "data" / "human_genes.csv.gz").read_bytes()
    lines = [line for line in gzip.decompress(packed).decode().splitlines() if not line.startswith("#")]
    of_name: dict[str, str] = {}
    of_id: dict[int, str] = {}
    number = 0
    for line in lines[1:]:
        step, names, retired = line.split(",")
        gene = f"without id: {names}"
        if step:
            number += int(step)
            gene = str(number)
            of_id[number] = gene
        of_name.update(dict.fromkeys(names.split(" "), gene))
        of_id.update((int(each), gene) for each in retired.split())
    return _Table(of_name, of_id)
