"""Peaks as intervals on a genome, and how a query's meet a model's by overlap; never sees a count or a sequence."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from unisono.features.spelling import GENOME
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
    primary = last_end.loc[list(found)].set_axis(["M" if match[2] == "MT" else match[2] for match in found.values()])
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
        what = f"the query names its chromosomes like '{query.prefix}1', the model like '{model.prefix}1'."
        rename = "f'chr{name}'" if model.prefix else "name.removeprefix('chr')"
        raise bad_input("E039", source_name, what, f"rename the query's peaks with {rename}")
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


Names = NDArray[np.str_]

_PLACE = "[0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,12}"
_PEAK = re.compile(rf"^(?P<chrom>\S*[^\s:_-])(?:(?P<low>_)|[:-])(?P<start>{_PLACE})(?(low)_|-)(?P<end>{_PLACE})\Z")
"""The name of a chromosome may hold any of the three marks; the last two places are the peak's."""


def parse_peaks(names: Names, source_name: str) -> pd.DataFrame:
    """Chromosome, start and end of each peak, in the order of the names.

    Known spellings are chr1:100-200, chr1-100-200 and chr1_100_200, with or without chr, with or without commas between
    thousands, and with or without a genome before that is the same for all (GRCh38_chr1). A peak is from start up to,
    not including, end, as in a BED file: 100-200 is 100 base pairs long and does not overlap 200-300.

    Raises:
        BadInput: E040 a name is no peak or its end is not after its start, or the set names some primary chromosomes
            chr1 and some 1.
    """
    peaks = places_of(names)
    if len(peaks) < len(names):
        lost = np.delete(names, peaks.index.to_numpy())
        what = (
            f"{len(lost)} of {len(names)} names are not chr:start-end with start before end (first: {str(lost[0])!r})."
        )
        raise bad_input("E040", source_name, what, "name peaks like chr1:100-200, or remove what is no peak")
    prefix_of(peaks["chrom"].unique(), source_name)
    return peaks


def places_of(names: Names) -> pd.DataFrame:
    """Chromosome, start and end of the names that are peaks, indexed by place among the names; see `parse_peaks`."""
    import pandas as pd

    text = pd.Series(np.asarray(names, dtype=str), dtype=object)
    genomes = text.str.extract(f"^({GENOME})")[0]
    if len(text) and genomes.notna().all() and (genomes == genomes.iloc[0]).all():
        text = text.str.slice(len(genomes.iloc[0]))
    parts = text.str.extract(_PEAK)
    is_peak = parts["chrom"].notna().to_numpy(dtype=bool)
    place = {side: _integers(parts[side], is_peak) for side in ("start", "end")}
    is_peak &= place["start"] < place["end"]
    return pd.DataFrame({"chrom": parts["chrom"], **place}).loc[is_peak]


def share_of_peaks(names: Names) -> float:
    """Fraction of names that are peaks."""
    return len(places_of(names)) / max(len(names), 1)


def overlap_weights(
    wanted: Names, found: Names, source_name: str, expected: NDArray[np.float64] | None = None
) -> sparse.csr_matrix:
    """How the counts of the query's peaks are divided among the model's peaks that they overlap.

    `counts @ weights` are the query's counts over the model's peaks. A peak that overlaps several is divided in
    proportion to the base pairs shared with each; base pairs outside of all of them are not counted as lost.

    Args:
        wanted: the model's peaks.
        found: the query's peaks.
        source_name: file and modality of the query, for messages.
        expected: counts that each of the model's peaks is likely to get, in any unit: a stretch that is shared then
            counts by its length times the counts per base pair of the model's peak. Length alone where none is given.

    Returns:
        found x wanted, float32; a row sums to 1, or to 0 where the peak shares no base pair with any.

    Raises:
        BadInput: E039 the two name their chromosomes differently, lie on other genomes or do not overlap; E040 a set
            cannot be read.
    """
    model, query = parse_peaks(wanted, f"{source_name}, the model's peaks"), parse_peaks(found, source_name)
    of_model, of_query = genome_of(model, source_name), genome_of(query, source_name)
    check_same_genome(of_query, of_model, source_name)
    row, column, shared = _overlaps(query, model)
    if not len(row):
        raise _apart(of_query, of_model, (len(query), len(model)), source_name)
    share = shared.astype(np.float64)
    if expected is not None:
        per_base = np.maximum(expected, expected[expected > 0].min(initial=1.0)) / (model["end"] - model["start"])
        share *= per_base.to_numpy()[column]
    total = np.bincount(row, weights=share, minlength=len(query))
    weight = (share / total[row]).astype(np.float32)
    return sparse.csr_matrix((weight, (row, column)), shape=(len(query), len(model)))


@dataclass(frozen=True, eq=False)
class MergedPeaks:
    """Peaks of several sets, those that overlap as one.

    Attributes:
        names: chrom:start-end of each.
        row_of: for each set, the place in `names` of each of its peaks.
    """

    names: Names
    row_of: tuple[NDArray[np.intp], ...]


def merged_peaks(sets: list[pd.DataFrame]) -> MergedPeaks:
    """The union of several sets of peaks, from columns chrom, start and end; peaks that only touch stay apart.

    References:
        `reduce` of GenomicRanges: Lawrence et al., "Software for computing and annotating genomic ranges", 2013.
    """
    import bioframe
    import pandas as pd

    peaks = pd.concat([table[["chrom", "start", "end"]] for table in sets], ignore_index=True)
    found = bioframe.cluster(peaks, min_dist=None)
    bounds = found.groupby("cluster")[["chrom", "cluster_start", "cluster_end"]].first()
    names = [f"{chrom}:{start}-{end}" for chrom, start, end in bounds.itertuples(index=False)]
    place = bounds.index.get_indexer(found["cluster"]).astype(np.intp)
    ends = np.cumsum([len(table) for table in sets])[:-1]
    return MergedPeaks(np.array(names, dtype=str), tuple(np.split(place, ends)))


def _integers(places: pd.Series[str], is_peak: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Places without their commas, 0 where the name is no peak."""
    return places.where(is_peak, "0").str.replace(",", "").to_numpy().astype(np.int64)


def _overlaps(
    query: pd.DataFrame, model: pd.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Position in the query, position in the model and number of shared base pairs of each pair that overlaps."""
    import bioframe

    pairs = bioframe.overlap(query, model, how="inner", return_input=False, return_index=True, return_overlap=True)
    row, column, start, end = (
        pairs[name].to_numpy(dtype=np.int64) for name in ("index", "index_", "overlap_start", "overlap_end")
    )
    return row, column, end - start


def _apart(query: Genome, model: Genome, n_peaks: tuple[int, int], source_name: str) -> BadInput:
    sides = {"query": query.builds, "model": model.builds}
    fits = " and ".join(f"the {side} fits {either(builds)}" for side, builds in sides.items() if builds)
    what = f"no peak of {n_peaks[0]} overlaps any of the model's {n_peaks[1]}{f'; {fits}' if fits else ''}."
    return bad_input("E039", source_name, what, "count the query's fragments over the model's peaks")
