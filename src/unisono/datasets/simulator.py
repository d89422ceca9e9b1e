"""Simulated co-assays with known truth: open chromatin drives RNA, RNA drives protein; never reads or writes files.

For cell c with content z, gene g, its cis peaks P(g), protein k with coding gene g(k), and batch b:

    peak:     logit a[c,p] = intercept[p] + z[c] · loading[p], loadings shared by the peaks of a gene and blurred;
              open ~ Bernoulli(a); counts ~ Poisson(depth[c] · gain[b,p]) where open.
    RNA:      log rate[c,g] = base[g] + strength[g] · standardised mean of a[c, P(g)], levelling off;
              counts ~ negative binomial(depth[c] · gain[b,g] · rate), from transcription in bursts.
    protein:  log rate[c,k] = base[k] + slope[k] · ((1 − lag) · RNA log rate + lag · its mean over the cell type),
              as proteins outlive RNA; counts ~ negative binomial(depth[c] · gain[b,k] · (rate + ambient[k])).

Depth is log-normal, part of it shared by the modalities of a cell; gains are log-normal; dropout removes counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from unisono.types import Cells, Modality, View

Matrix = NDArray[np.float64]
Positions = NDArray[np.intp]
Names = NDArray[np.str_]

NO_GENE = -1
"""The linked gene of a distal peak."""

_N_CHROMOSOMES = 22
_PEAK_WIDTH = 500
_PEAK_SPACING = 2000
_BEND = 2.5
"""Standard deviations at which the response of a gene to its peaks levels off."""


@dataclass(frozen=True)
class Recipe:
    """What to simulate.

    Attributes:
        n_cells: cells, each with all three modalities.
        n_genes: RNA features.
        n_peaks: ATAC features; a fifth is distal and linked to no gene.
        n_proteins: ADT features, coded by as many of the genes.
        n_types: cell types, of unequal size.
        n_batches: technical batches, of equal size and the same mixture of types.
        n_factors: dimension of the content.
        within_type: standard deviation of content within a type; between types it is 1.
        batch_effect: standard deviation of the log gain of a feature in a batch; 0 for none.
        atac_depth: median counts of a cell.
        rna_depth: median counts of a cell.
        adt_depth: median counts of a cell.
        depth_spread: standard deviation of log depth.
        shared_depth: correlation of log depth between modalities of a cell, 0 to 1.
        dropout: share of the non-zero ATAC and RNA entries that are lost.
        lag: how far protein follows its cell type and not the cell's RNA of the moment, 0 to 1.
        seed: of all randomness.
    """

    n_cells: int = 1000
    n_genes: int = 400
    n_peaks: int = 1200
    n_proteins: int = 24
    n_types: int = 6
    n_batches: int = 2
    n_factors: int = 8
    within_type: float = 0.5
    batch_effect: float = 0.3
    atac_depth: float = 100.0
    rna_depth: float = 200.0
    adt_depth: float = 1500.0
    depth_spread: float = 0.35
    shared_depth: float = 0.5
    dropout: float = 0.05
    lag: float = 0.3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_cells", "n_genes", "n_peaks", "n_proteins", "n_types", "n_batches", "n_factors"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        for name in ("atac_depth", "rna_depth", "adt_depth"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected more than 0")
        for name in ("within_type", "batch_effect", "depth_spread", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 or more")
        for name in ("shared_depth", "dropout", "lag"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected 0 to 1")
        if self.n_proteins > self.n_genes:
            raise ValueError(f"n_proteins={self.n_proteins}: each needs a coding gene, there are {self.n_genes}")


@dataclass(frozen=True, eq=False)
class Simulation:
    """Counts and the truth they came from; all rows are cells in one order.

    Attributes:
        cells: the three views.
        content: cell x factor.
        cell_type: one per cell.
        batch: one per cell.
        accessibility: cell x peak, probability that the peak is open, without batch and depth.
        rna_rate: cell x gene, expected counts at median depth, without batch and dropout.
        adt_rate: cell x protein, expected counts at median depth, without batch and ambient background.
        linked_gene: for each peak the position of its gene, −1 for a distal peak.
        coding_gene: for each protein the position of its gene.
    """

    cells: Cells
    content: Matrix
    cell_type: Names
    batch: Names
    accessibility: Matrix
    rna_rate: Matrix
    adt_rate: Matrix
    linked_gene: Positions
    coding_gene: Positions


def simulate_cells(recipe: Recipe) -> Simulation:
    """The co-assay of a recipe; the same recipe gives the same counts.

    Examples:
        >>> import unisono as un
        >>> recipe = un.datasets.Recipe(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> simulation = un.datasets.simulate_cells(recipe)
        >>> simulation.cells.views["rna"].counts.shape, simulation.rna_rate.shape
        ((40, 30), (40, 30))
        >>> int((simulation.linked_gene == -1).sum())  # a fifth of the peaks is distal
        10
    """
    rng = np.random.default_rng(recipe.seed)
    population = _population(recipe, rng)
    truth = _truth(recipe, population, rng)
    counts = _counts(recipe, population, truth, rng)
    return Simulation(
        _cells(counts, population, truth),
        population.content,
        np.char.add("type", (population.type_of + 1).astype(str)),
        _batch_names(population),
        truth.accessibility,
        truth.rna_rate,
        truth.adt_rate,
        truth.linked_gene,
        truth.coding_gene,
    )


@dataclass(frozen=True, eq=False)
class _Population:
    type_of: Positions
    batch_of: Positions
    content: Matrix


def _population(recipe: Recipe, rng: np.random.Generator) -> _Population:
    """Cells of unequal types, spread evenly over batches, their content around the mean of their type."""
    share = np.linspace(2.0, 1.0, recipe.n_types)
    type_of = rng.choice(recipe.n_types, size=recipe.n_cells, p=share / share.sum())
    batch_of = rng.permutation(np.arange(recipe.n_cells) % recipe.n_batches)
    type_mean = rng.normal(size=(recipe.n_types, recipe.n_factors))
    within = recipe.within_type * rng.normal(size=(recipe.n_cells, recipe.n_factors))
    return _Population(type_of, batch_of, type_mean[type_of] + within)


@dataclass(frozen=True, eq=False)
class _Truth:
    accessibility: Matrix
    rna_rate: Matrix
    adt_rate: Matrix
    ambient: Matrix
    linked_gene: Positions
    coding_gene: Positions


def _truth(recipe: Recipe, population: _Population, rng: np.random.Generator) -> _Truth:
    linked_gene = _linked_genes(recipe, rng)
    accessibility, gene_activity = _accessibility(recipe, population.content, linked_gene, rng)
    rna_rate = _rna_rate(recipe, gene_activity, rng)
    coding_gene = rng.permutation(recipe.n_genes)[: recipe.n_proteins]
    adt_rate = _adt_rate(recipe, np.log(rna_rate[:, coding_gene]), population.type_of, rng)
    ambient = 0.1 * adt_rate.mean(axis=0) * rng.lognormal(sigma=0.5, size=recipe.n_proteins)
    return _Truth(accessibility, rna_rate, adt_rate, ambient, linked_gene, coding_gene)


def _linked_genes(recipe: Recipe, rng: np.random.Generator) -> Positions:
    """The gene of each peak: four fifths spread evenly over genes, the rest distal; sorted by gene."""
    n_cis = max(1, recipe.n_peaks * 4 // 5)
    gene = np.sort(rng.permutation(np.arange(n_cis) % recipe.n_genes))
    return np.append(gene, np.full(recipe.n_peaks - n_cis, NO_GENE))


def _accessibility(
    recipe: Recipe, content: Matrix, linked_gene: Positions, rng: np.random.Generator
) -> tuple[Matrix, Matrix]:
    """The probability that each peak is open, and for each gene the mean of it over its peaks.

    A gene follows few of the factors. One without peaks has an unseen promoter.
    """
    is_followed = rng.random((recipe.n_factors, recipe.n_genes)) < min(1.0, 2.5 / recipe.n_factors)
    gene_loading = is_followed * rng.normal(size=is_followed.shape)
    peak_loading = 0.3 * rng.normal(size=(recipe.n_factors, recipe.n_peaks))
    is_cis = linked_gene != NO_GENE
    peak_loading[:, is_cis] += gene_loading[:, linked_gene[is_cis]]
    accessibility = expit(content @ peak_loading + rng.normal(-1.5, 0.7, size=recipe.n_peaks))
    promoter = expit(content @ gene_loading + rng.normal(-1.5, 0.7, size=recipe.n_genes))
    links = sparse.csr_matrix(
        (np.ones(is_cis.sum()), (np.flatnonzero(is_cis), linked_gene[is_cis])), shape=(recipe.n_peaks, recipe.n_genes)
    )
    n_linked = np.bincount(linked_gene[is_cis], minlength=recipe.n_genes)
    mean_of_peaks = (accessibility @ links) / np.maximum(n_linked, 1)
    return accessibility, np.where(n_linked > 0, mean_of_peaks, promoter)


def _rna_rate(recipe: Recipe, gene_activity: Matrix, rng: np.random.Generator) -> Matrix:
    strength = rng.uniform(0.5, 1.2, size=recipe.n_genes)
    base = rng.normal(0.0, 1.3, size=recipe.n_genes)
    activity = _BEND * np.tanh(_standardised(gene_activity) / _BEND)
    return _scaled_to(recipe.rna_depth, np.exp(base + strength * activity))


def _adt_rate(recipe: Recipe, log_rna: Matrix, type_of: Positions, rng: np.random.Generator) -> Matrix:
    n_of_type = np.bincount(type_of, minlength=recipe.n_types)
    sums = np.zeros((recipe.n_types, log_rna.shape[1]))
    np.add.at(sums, type_of, log_rna)
    of_type = (sums / np.maximum(n_of_type, 1)[:, None])[type_of]
    smoothed = (1.0 - recipe.lag) * log_rna + recipe.lag * of_type
    slope = rng.uniform(0.8, 1.5, size=recipe.n_proteins)
    base = rng.normal(0.0, 0.8, size=recipe.n_proteins)
    return _scaled_to(recipe.adt_depth, np.exp(base + slope * (smoothed - smoothed.mean(axis=0))))


def _counts(
    recipe: Recipe, population: _Population, truth: _Truth, rng: np.random.Generator
) -> dict[Modality, NDArray[np.int32]]:
    depth = _depths(recipe, rng)
    is_open = rng.random(truth.accessibility.shape) < truth.accessibility
    share = recipe.atac_depth / truth.accessibility.sum(axis=1).mean()
    atac = share * is_open * depth[:, [0]] * _gains(recipe, recipe.n_peaks, population, rng)
    rna = truth.rna_rate * depth[:, [1]] * _gains(recipe, recipe.n_genes, population, rng)
    adt = (truth.adt_rate + truth.ambient) * depth[:, [2]] * _gains(recipe, recipe.n_proteins, population, rng)
    return {
        "atac": _with_dropout(rng.poisson(atac), truth.accessibility, recipe.dropout, rng),
        "rna": _with_dropout(_negative_binomial(rna, 2.0, rng), rna, recipe.dropout, rng),
        "adt": _with_dropout(_negative_binomial(adt, 10.0, rng), adt, 0.0, rng),
    }


def _depths(recipe: Recipe, rng: np.random.Generator) -> Matrix:
    """Depth relative to the median, cell x modality: log-normal, correlated by the size of the cell."""
    size_of_cell = rng.normal(size=(recipe.n_cells, 1))
    own = rng.normal(size=(recipe.n_cells, 3))
    mixed = np.sqrt(recipe.shared_depth) * size_of_cell + np.sqrt(1.0 - recipe.shared_depth) * own
    return np.asarray(np.exp(recipe.depth_spread * mixed))


def _gains(recipe: Recipe, n_features: int, population: _Population, rng: np.random.Generator) -> Matrix:
    """How much more of each feature the batch of a cell sees, cell x feature."""
    gain = np.exp(recipe.batch_effect * rng.normal(size=(recipe.n_batches, n_features)))
    return np.asarray(gain[population.batch_of])


def _negative_binomial(mean: Matrix, size: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Counts of variance mean + mean² / size."""
    return rng.poisson(mean * rng.gamma(size, 1.0 / size, size=mean.shape))


def _with_dropout(
    counts: NDArray[np.int64], expected: Matrix, dropout: float, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Counts with a share of entries lost; a cell left with none keeps one count where most was expected."""
    kept = counts * (rng.random(counts.shape) >= dropout)
    empty = np.flatnonzero(kept.sum(axis=1) == 0)
    kept[empty, expected[empty].argmax(axis=1)] = 1
    return kept.astype(np.int32)


def _scaled_to(depth: float, rate: Matrix) -> Matrix:
    """Rates of which a median cell has `depth` in all."""
    return np.asarray(rate * depth / np.median(rate.sum(axis=1)))


def _standardised(values: Matrix) -> Matrix:
    scale = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(scale > 0, scale, 1.0))


def _cells(counts: dict[Modality, NDArray[np.int32]], population: _Population, truth: _Truth) -> Cells:
    names = _cell_names(population)
    batch = _batch_names(population)
    genes = _numbered("GENE", counts["rna"].shape[1])
    features: dict[Modality, Names] = {
        "atac": _peak_names(truth.linked_gene, len(genes)),
        "rna": genes,
        "adt": np.char.add("ADT-", genes[truth.coding_gene]),
    }
    return Cells({m: View(m, sparse.csr_matrix(counts[m]), names, features[m], batch) for m in ("atac", "rna", "adt")})


def _cell_names(population: _Population) -> Names:
    return np.char.add(np.char.add(_numbered("cell", len(population.batch_of)), "-"), _batch_names(population))


def _batch_names(population: _Population) -> Names:
    return np.char.add("b", (population.batch_of + 1).astype(str))


def _numbered(prefix: str, n: int) -> Names:
    """`prefix` and 1 to n, with four digits or as many as n has."""
    width = max(4, len(str(n)))
    return np.array([f"{prefix}{i:0{width}d}" for i in range(1, n + 1)])


def _peak_names(linked_gene: Positions, n_genes: int) -> Names:
    """chr:start-end. Genes follow one another along a chromosome; a distal peak lies among some gene's cis peaks."""
    n_peaks = len(linked_gene)
    is_distal = linked_gene == NO_GENE
    host = np.where(is_distal, np.cumsum(is_distal) % n_genes, linked_gene)
    order = np.lexsort((np.arange(n_peaks), host))
    per_host = np.bincount(host, minlength=n_genes)
    place = np.empty(n_peaks, dtype=np.intp)
    place[order] = np.arange(n_peaks) - (np.cumsum(per_host) - per_host)[host[order]]
    chromosome, along = host % _N_CHROMOSOMES, host // _N_CHROMOSOMES
    start = 10_000 + along * _PEAK_SPACING * (per_host.max() + 50) + place * _PEAK_SPACING
    return np.array(
        [f"chr{c + 1}:{s}-{s + _PEAK_WIDTH}" for c, s in zip(chromosome.tolist(), start.tolist(), strict=True)]
    )
