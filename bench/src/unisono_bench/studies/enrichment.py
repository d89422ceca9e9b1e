"""Enrichment of pairs of a gene and a peak that lie close on the genome; takes effects as given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unisono_bench.published.links import places_of

Positions = NDArray[np.intp]
Values = NDArray[np.float64]
EffectOf = Callable[[Positions, Positions], Values]
"""The effect of each pair, given the position of its gene and of its peak."""

WINDOW = 100_000
"""Base pairs between a peak's centre and a start of transcription up to which the two count as neighbours."""

_BINS = (0.01, 0.05, 0.1, 0.25, 0.5)
"""Inner edges of the bins of distance, in parts of the window."""
_TOP = 0.01
_ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of all pairs as factors: of gene i and peak j it is genes[i] · peaks[j].

    Attributes:
        genes: gene x factor.
        peaks: peak x factor.
    """

    genes: NDArray[np.floating]
    peaks: NDArray[np.floating]

    def of(self, genes: Positions, peaks: Positions) -> Values:
        """The effect of each pair."""
        effects: Values = np.einsum("pf,pf->p", self.genes[genes], self.peaks[peaks], dtype=np.float64)
        return effects

    def standardised(self) -> Effects:
        """Effects with mean 0 and variance 1 over the peaks of each gene and over the genes of each peak.

        Rows and columns of gene x peak are centred and scaled in turn until both hold. Centring takes away a gene that
        opens all peaks (or a peak that every gene opens), scaling keeps strong genes and common peaks from deciding
        alone. A gene or peak without effect stays at 0. No effect is ever made dense.

        References:
            Olshen & Rajaratnam, "Successive normalization of rectangular arrays", 2010.
        """
        genes, peaks = self.genes.astype(np.float64), self.peaks.astype(np.float64)
        for _ in range(_ROUNDS):
            genes, peaks = genes - genes.mean(axis=0), peaks - peaks.mean(axis=0)
            genes = genes / _root_mean_squares(genes, peaks)[:, None]
            peaks = peaks / _root_mean_squares(peaks, genes)[:, None]
        return Effects(genes, peaks)


@dataclass(frozen=True, eq=False)
class CisPairs:
    """Pairs of a gene and a peak within a window, each once.

    Attributes:
        genes: position of the gene of each pair.
        peaks: position of its peak.
        distance: base pairs between the peak's centre and the gene's nearest start of transcription.
        chrom: code of the chromosome that both lie on.
        window: the largest distance that counts.
    """

    genes: Positions
    peaks: Positions
    distance: Values
    chrom: Positions
    window: float

    def __len__(self) -> int:
        return len(self.genes)

    @property
    def bins(self) -> Positions:
        """The bin of distance of each pair."""
        return np.digitize(self.distance, self.window * np.array(_BINS))

    @property
    def matchable(self) -> CisPairs:
        """The pairs in bins where genes can be swapped: no chromosome has more than half of the pairs."""
        bins = self.bins
        kept = [one for one in np.unique(bins) if 2 * _most_on_one(self.chrom[bins == one]) <= (bins == one).sum()]
        rows = np.isin(bins, kept)
        parts = {name: getattr(self, name)[rows] for name in ("genes", "peaks", "distance", "chrom")}
        return replace(self, **parts)

    def style_transfer(self, rng: np.random.Generator) -> CisPairs:
        """Distance-matched random pairs: the same peaks with the genes of other pairs, from other chromosomes.

        Genes change places within a bin of distance, so each peak and each gene stands in as many pairs of each bin as
        before, and what remains is who stands with whom. Distances are those of the peaks' true pairs.

        Raises:
            ValueError: more than half of the pairs of a bin lie on one chromosome, see `matchable`.
        """
        genes = self.genes.copy()
        for one in np.unique(self.bins):
            rows = np.flatnonzero(self.bins == one)
            genes[rows] = genes[rows[_order_off_chromosome(self.chrom[rows], rng)]]
        return replace(self, genes=genes)


@dataclass(frozen=True)
class Enrichment:
    """Effects of cis pairs against those of distance-matched random pairs.

    Attributes:
        n_pairs: cis pairs that were compared.
        n_left_out: cis pairs in bins of distance where no random pairs could be made (`CisPairs.matchable`).
        n_draws: times that all genes were swapped.
        mean: effect of cis pairs; positive where a gene goes with its open neighbourhood.
        matched_mean: the same of random pairs.
        absolute: absolute effect of cis pairs.
        matched_absolute: the same of random pairs.
        auroc: the chance that a cis pair has a larger effect than a random pair; 0.5 at chance.
        absolute_auroc: the same of absolute effects.
        top_ratio: how many times as often as random pairs cis pairs are among the effects that 1 % of random pairs
            reach; 1 at chance, 100 at most.
        p: chance that swapped pairs have a mean as large, (1 + draws with one) / (1 + draws).
        absolute_p: the same of the mean absolute effect.
    """

    n_pairs: int
    n_left_out: int
    n_draws: int
    mean: float
    matched_mean: float
    absolute: float
    matched_absolute: float
    auroc: float
    absolute_auroc: float
    top_ratio: float
    p: float
    absolute_p: float


def cis_pairs(genes: Sequence[str], peaks: Sequence[str], table: pd.DataFrame, window: float = WINDOW) -> CisPairs:
    """All pairs of a gene and a peak within a window.

    Args:
        genes: names; those not in the table have no pair.
        peaks: names such as chr1:100-200 or chr1-100-200; others have no pair.
        table: a row for each start of transcription, with the columns gene, chrom and tss. A gene may have several,
            the nearest counts; one with starts on several chromosomes has no place and no pair.
        window: largest distance in base pairs, itself included.

    Raises:
        ValueError: there is no such pair.
    """
    starts, places = _starts(genes, table), peak_places(peaks)
    found = []
    for chrom, here in places.groupby("chrom", sort=True):
        there = starts[starts["chrom"] == chrom]
        found.append(_within(here, there, window).assign(chrom=str(chrom)))
    pairs = pd.concat(found) if found else pd.DataFrame()
    if pairs.empty:
        raise ValueError(
            f"none of {len(peaks)} peaks lies within {window:,.0f} bp of a start of {len(genes)} genes; "
            "check the genome build and how peaks and chromosomes are named"
        )
    nearest = pairs.groupby(["gene", "peak"], as_index=False).agg({"distance": "min", "chrom": "first"})
    return CisPairs(
        genes=nearest["gene"].to_numpy(np.intp),
        peaks=nearest["peak"].to_numpy(np.intp),
        distance=nearest["distance"].to_numpy(np.float64),
        chrom=pd.factorize(nearest["chrom"])[0].astype(np.intp),
        window=window,
    )


def peak_places(peaks: Sequence[str]) -> pd.DataFrame:
    """Position, chromosome and centre of every peak whose name says where it lies."""
    places = places_of(peaks).dropna()
    centre = ((places["start"] + places["end"]) / 2).to_numpy()
    return pd.DataFrame({"peak": places.index.to_numpy(), "chrom": places["chrom"].to_numpy(), "centre": centre})


def cis_enrichment(effect_of: EffectOf, pairs: CisPairs, rng: np.random.Generator, n_draws: int = 200) -> Enrichment:
    """Whether pairs close on the genome have larger effects than random pairs with the same peaks and genes.

    Effects as they are ask about the strongest genes and peaks, which outweigh the others; `Effects.standardised` asks
    about all of them alike, and takes away what a gene does to all peaks. Both are fair in that random pairs have the
    same genes and peaks in the same bins of distance; the second has more power where sizes of effects differ widely.

    The p values take pairs as exchangeable within their bin. Peaks of one gene that open together are not, so a p
    value near its limit 1 / (1 + n_draws) says no more than that swapped genes never did as well.

    Args:
        effect_of: such as `Effects.of`.
        pairs: the cis pairs.
        rng: swaps the genes.
        n_draws: times that all genes are swapped.

    Raises:
        ValueError: no pair can be compared, or no draw is asked for.
    """
    n_found, pairs = len(pairs), pairs.matchable
    if not len(pairs) or n_draws < 1:
        what = "with others of its distance on other chromosomes, and draws to compare them with"
        raise ValueError(f"{len(pairs)} of {n_found} pairs, {n_draws} draws: wanted at least one pair {what}")
    cis = effect_of(pairs.genes, pairs.peaks)
    draws = [pairs.style_transfer(rng) for _ in range(n_draws)]
    matched = np.stack([effect_of(draw.genes, draw.peaks) for draw in draws])
    threshold = np.quantile(matched, 1 - _TOP)
    reached = float((matched > threshold).mean())
    return Enrichment(
        n_pairs=len(pairs),
        n_left_out=n_found - len(pairs),
        n_draws=n_draws,
        mean=float(cis.mean()),
        matched_mean=float(matched.mean()),
        absolute=float(np.abs(cis).mean()),
        matched_absolute=float(np.abs(matched).mean()),
        auroc=auroc(cis, matched),
        absolute_auroc=auroc(np.abs(cis), np.abs(matched)),
        top_ratio=float((cis > threshold).mean()) / reached if reached else 1.0,
        p=_p_value(cis, matched),
        absolute_p=_p_value(np.abs(cis), np.abs(matched)),
    )


def auroc(positive: Values, negative: Values) -> float:
    """The chance that a positive exceeds a negative, a tie counting half."""
    ordered = np.sort(negative, axis=None)
    below = np.searchsorted(ordered, positive, side="left") + np.searchsorted(ordered, positive, side="right")
    return float(below.mean() / (2 * len(ordered)))


def _p_value(cis: Values, matched: Values) -> float:
    reached = int((matched.mean(axis=1) >= cis.mean()).sum())
    return (1 + reached) / (1 + len(matched))


def _root_mean_squares(rows: Values, columns: Values) -> Values:
    """Of the effects of each row over all columns; 1 where all of them are 0."""
    second = columns.T @ columns / len(columns)
    roots = np.sqrt(np.maximum(np.einsum("rf,rf->r", rows @ second, rows), 0.0))
    is_silent = roots <= 1e-12 * max(float(roots.max(initial=0.0)), 1e-300)
    return np.where(is_silent, 1.0, roots)


def _starts(genes: Sequence[str], table: pd.DataFrame) -> pd.DataFrame:
    """Position, chromosome and start of transcription of the genes that lie on one chromosome alone, starts sorted."""
    places = pd.Index(genes).get_indexer(pd.Index(table["gene"]))
    known = pd.DataFrame({"gene": places, "chrom": table["chrom"].to_numpy(), "tss": table["tss"].to_numpy()})
    known = known[known["gene"] >= 0].drop_duplicates()
    is_placed = known.groupby("gene")["chrom"].transform("nunique") == 1
    return known[is_placed].sort_values(["tss", "gene"])


def _within(peaks: pd.DataFrame, starts: pd.DataFrame, window: float) -> pd.DataFrame:
    """Every start of one chromosome with every peak of it in the window: gene, peak, distance."""
    tss, centres = starts["tss"].to_numpy(), peaks["centre"].to_numpy()
    first = np.searchsorted(tss, centres - window, side="left")
    n_near = np.searchsorted(tss, centres + window, side="right") - first
    row = np.repeat(np.arange(len(centres)), n_near)
    start = np.arange(len(row)) - np.repeat(np.cumsum(n_near) - n_near, n_near) + first[row]
    return pd.DataFrame(
        {
            "gene": starts["gene"].to_numpy()[start],
            "peak": peaks["peak"].to_numpy()[row],
            "distance": np.abs(tss[start] - centres[row]).astype(np.float64),
        }
    )


def _order_off_chromosome(chrom: Positions, rng: np.random.Generator) -> Positions:
    """A random order of the genes of pairs, such that none meets a peak of its own chromosome.

    A random order in which each gene on its own chromosome then changes places with a random one where both come to
    lie off it; there is always one, as long as no chromosome has more than half of the pairs.
    """
    most = _most_on_one(chrom)
    if 2 * most > len(chrom):
        raise ValueError(
            f"{most} of the {len(chrom)} pairs of a bin of distance lie on one chromosome, wanted half at most, to "
            "swap their genes for those of others; leave the bin out with CisPairs.matchable"
        )
    order = rng.permutation(len(chrom))
    for i in np.flatnonzero(chrom[order] == chrom):
        here = chrom[i]
        if chrom[order[i]] == here:
            partners = np.flatnonzero((chrom[order] != here) & (chrom != here))
            j = partners[rng.integers(len(partners))]
            order[i], order[j] = order[j], order[i]
    return order


def _most_on_one(chrom: Positions) -> int:
    """How many lie on the chromosome that has most."""
    return int(np.bincount(chrom).max())
