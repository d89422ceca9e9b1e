"""Which genome a set of peaks lies on, as far as its coordinates tell; never lifts a peak from one build to another."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from unisono.messages import BadInput, bad_input

if TYPE_CHECKING:
    import pandas as pd

Prefix = Literal["chr", ""]

BUILDS = ("hg19", "hg38", "mm9", "mm10", "mm39")
"""Builds that are told apart by the lengths of their chromosomes."""

_PRIMARY = re.compile(r"(chr)?([0-9]{1,2}[LR]?|[IVX]+|[MWYZ]|MT)")
"""Chromosomes of any species; those of fly (2L), worm and yeast (IV) and bird (Z) say that no build here fits."""


@dataclass(frozen=True)
class Genome:
    """What a set of peaks gives away of its genome.

    Attributes:
        prefix: how its primary chromosomes are named, `chr` as in chr1 or nothing as in 1; None if it has none.
        builds: those of `BUILDS` that have all its primary chromosomes, each long enough for its last peak; empty if
            there is no such build or no primary chromosome.
    """

    prefix: Prefix | None
    builds: tuple[str, ...]


def genome_of(peaks: pd.DataFrame, source_name: str) -> Genome:
    """What the columns chrom and end of a set of peaks tell.

    Raises:
        BadInput: E040 some primary chromosomes are named like chr1 and some like 1.
    """
    last_end = peaks.groupby("chrom", observed=True)["end"].max()
    found = _primary(last_end.index)
    primary = last_end.loc[list(found)].set_axis([_key(match[2]) for match in found.values()])
    return Genome(prefix_of(last_end.index, source_name), _fitting(primary) if found else ())


def prefix_of(chromosomes: Iterable[str], source_name: str) -> Prefix | None:
    """How the primary ones among chromosomes are named, None if none is primary.

    Raises:
        BadInput: E040 some are named like chr1 and some like 1.
    """
    found = _primary(chromosomes)
    prefixed = [chrom for chrom, match in found.items() if match[1]]
    bare = [chrom for chrom, match in found.items() if not match[1]]
    if prefixed and bare:
        what = f"chromosomes are named in two ways ({prefixed[0]!r} and {bare[0]!r})."
        raise bad_input("E040", source_name, what, "name all of them as the model does")
    if prefixed:
        return "chr"
    return "" if bare else None


def check_same_genome(query: Genome, model: Genome, source_name: str) -> None:
    """Refuse peaks that cannot lie on the model's genome; silent where the coordinates do not tell.

    Raises:
        BadInput: E039 the chromosomes are named differently, or no build fits both.
    """
    if query.prefix is not None and model.prefix is not None and query.prefix != model.prefix:
        raise _named_differently(query.prefix, model.prefix, source_name)
    if query.builds and model.builds and not set(query.builds) & set(model.builds):
        what = (
            f"the peaks lie on another genome: the query fits {either(query.builds)}, the model {either(model.builds)}."
        )
        remedy = f"align the query to {either(model.builds)}, or fit a model on its own genome"
        raise bad_input("E039", source_name, what, remedy)


def either(names: Iterable[str]) -> str:
    """Names as a sentence has them: `a`, `a or b`, `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _primary(chromosomes: Iterable[str]) -> dict[str, re.Match[str]]:
    return {chrom: match for chrom in chromosomes if (match := _PRIMARY.fullmatch(chrom))}


def _key(name: str) -> str:
    """The mitochondrion is M in one naming and MT in the other."""
    return "M" if name == "MT" else name


def _fitting(last_end: pd.Series[int]) -> tuple[str, ...]:
    long_enough = _lengths().reindex(last_end.index).ge(last_end, axis=0).all()
    return tuple(build for build in BUILDS if long_enough[build])


@cache
def _lengths() -> pd.DataFrame:
    """Lengths in base pairs, chromosomes (without chr) x builds; NaN where a build lacks the chromosome."""
    import bioframe
    import pandas as pd

    sizes = {build: bioframe.assembly_info(build).chromsizes for build in BUILDS}
    return pd.DataFrame(sizes).rename(index=lambda chrom: chrom.removeprefix("chr"))


def _named_differently(query: Prefix, model: Prefix, source_name: str) -> BadInput:
    what = f"the query names its chromosomes like '{query}1', the model like '{model}1'."
    rename = "f'chr{name}'" if model else "name.removeprefix('chr')"
    return bad_input("E039", source_name, what, f"rename the query's peaks with {rename}")
