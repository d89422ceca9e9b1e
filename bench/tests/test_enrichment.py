"""Enrichment finds what was planted next to genes and nothing else, against random pairs of the same distances."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from unisono_bench.studies.enrichment import (
    CisPairs,
    Effects,
    auroc,
    cis_enrichment,
    cis_pairs,
    peak_places,
)

TABLE = pd.DataFrame(
    [
        ("near", "chr1", 1_000),
        ("near", "chr1", 90_000),
        ("far", "chr1", 500_000),
        ("other", "chr2", 1_500),
        ("twice", "chr1", 1_000),
        ("twice", "chr2", 1_000),
        ("unmeasured", "chr1", 1_000),
    ],
    columns=["gene", "chrom", "tss"],
)
GENES = ["other", "near", "twice", "no place", "far"]
PEAKS = ["chr2:1000-2000", "chr1-999-1001", "unplaced", "chr1:140000-160000", "chr1:399999-400001", "chr3:1-9"]


def found(window=100_000):
    pairs = cis_pairs(GENES, PEAKS, TABLE, window)
    return {(GENES[g], PEAKS[p]): d for g, p, d in zip(pairs.genes, pairs.peaks, pairs.distance.tolist(), strict=True)}


def test_pairs_in_the_window_count_once_by_the_nearest_start_from_the_centre_of_the_peak():
    assert found() == {
        ("other", "chr2:1000-2000"): 0.0,
        ("near", "chr1-999-1001"): 0.0,
        ("near", "chr1:140000-160000"): 60_000.0,
        ("far", "chr1:399999-400001"): 100_000.0,
    }


def test_the_window_holds_its_edge_and_nothing_beyond():
    assert ("far", "chr1:399999-400001") not in found(99_999)
    assert ("near", "chr1:140000-160000") in found(60_000)
    assert found(89_001)[("near", "chr1-999-1001")] == 0.0
    assert ("far", "chr1:140000-160000") in found(350_000)


def test_pairs_are_those_of_a_search_through_all():
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"gene": rng.integers(0, 23, 61).astype(str), "tss": rng.integers(0, 3_000, 61)})
    table["chrom"] = "chr" + (table["gene"].astype(int) % 3).astype(str)
    starts = rng.integers(0, 3_000, 57)
    peaks = [f"chr{c}:{s}-{s + 31}" for c, s in zip(rng.integers(0, 3, 57), starts, strict=True)]
    genes = [str(g) for g in rng.permutation(23)]
    wanted = {}
    for g, gene in enumerate(genes):
        for p, peak in enumerate(peaks):
            mine = table[(table["gene"] == gene) & (table["chrom"] == peak.split(":")[0])]
            distance = (mine["tss"] - (starts[p] + 15.5)).abs().min()
            if distance <= 170:
                wanted[g, p] = distance
    pairs = cis_pairs(genes, peaks, table, 170)
    assert dict(zip(zip(pairs.genes, pairs.peaks, strict=True), pairs.distance, strict=True)) == wanted
    assert len(wanted) > 50


def test_places_are_read_from_both_ways_of_naming_and_names_without_place_are_left_out():
    places = peak_places(["chr1:100-200", "Peak7", "chrX-5-8", "GL45.1:3-5"])
    assert places.to_numpy().tolist() == [[0, "chr1", 150.0], [2, "chrX", 6.5], [3, "GL45.1", 4.0]]


def test_no_pair_at_all_is_refused():
    with pytest.raises(ValueError, match=r"none of 1 peaks lies within 50 bp .* genome build"):
        cis_pairs(["near"], ["chr1:300-310"], TABLE, 50)
    with pytest.raises(ValueError, match="none of 1 peaks"):
        cis_pairs(["near"], ["Peak7"], TABLE)


N_GENES, N_PEAKS = 70, 190


def genome(seed=0, n_chroms=5, n_genes=N_GENES, n_peaks=N_PEAKS):
    """Pairs of genes and peaks strewn over a few chromosomes."""
    rng = np.random.default_rng(seed)
    genes = [f"g{i}" for i in range(n_genes)]
    chroms = rng.integers(0, n_chroms, n_genes)
    table = pd.DataFrame({"gene": genes, "chrom": [f"chr{c}" for c in chroms], "tss": rng.integers(0, 10**6, n_genes)})
    starts = rng.integers(0, 10**6, n_peaks)
    peaks = [f"chr{c}:{s}-{s + 300}" for c, s in zip(rng.integers(0, n_chroms, n_peaks), starts, strict=True)]
    return cis_pairs(genes, peaks, table)


def noise(seed, strength=0.0, pairs=None):
    """Effects of no pattern, with something added to cis pairs: gene x peak."""
    effects = np.random.default_rng(seed).normal(size=(N_GENES, N_PEAKS))
    if pairs is not None:
        effects[pairs.genes, pairs.peaks] += strength
    return effects


def of(effects):
    return lambda genes, peaks: effects[genes, peaks]


def test_swapped_pairs_keep_peaks_bins_and_how_often_each_gene_stands_in_each_bin_and_leave_the_chromosome():
    pairs = genome()
    chrom_of_gene, chrom_of_peak = (
        dict(zip(of_pair, pairs.chrom, strict=True)) for of_pair in (pairs.genes, pairs.peaks)
    )
    style_transfer = pairs.style_transfer(np.random.default_rng(1))
    np.testing.assert_array_equal(style_transfer.peaks, pairs.peaks)
    np.testing.assert_array_equal(style_transfer.distance, pairs.distance)
    for one in range(6):
        rows = pairs.bins == one
        assert sorted(style_transfer.genes[rows]) == sorted(pairs.genes[rows])
    assert all(
        chrom_of_gene[g] != chrom_of_peak[p] for g, p in zip(style_transfer.genes, style_transfer.peaks, strict=True)
    )
    again, other = (pairs.style_transfer(np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_array_equal(again.genes, style_transfer.genes)
    assert (other.genes != style_transfer.genes).any()


def test_bins_of_distance_follow_the_window():
    distance = np.array([0.0, 999, 1_000, 4_999, 5_000, 10_000, 25_000, 49_999, 50_000, 100_000])
    none = np.zeros(10, dtype=np.intp)
    assert CisPairs(none, none, distance, none, 100_000).bins.tolist() == [0, 0, 1, 1, 2, 3, 4, 4, 5, 5]
    assert CisPairs(none, none, distance / 10, none, 10_000).bins.tolist() == [0, 0, 1, 1, 2, 3, 4, 4, 5, 5]


def test_swapping_works_up_to_half_of_the_pairs_on_one_chromosome_and_is_refused_beyond():
    half = np.array([0, 0, 0, 0, 1, 2, 2, 3])
    pairs = CisPairs(np.arange(8), np.arange(8), np.zeros(8), half, 100_000)
    for seed in range(20):
        assert (half[pairs.style_transfer(np.random.default_rng(seed)).genes] != half).all()
    with pytest.raises(ValueError, match="5 of the 8 pairs of a bin"):
        replace(pairs, chrom=np.array([0, 0, 0, 0, 0, 2, 2, 3])).style_transfer(np.random.default_rng(0))


def test_pairs_of_a_bin_crowded_on_one_chromosome_are_left_out_and_counted():
    distance, chrom = np.array([0.0, 0, 9e4, 9e4, 9e4, 3e4, 9e4]), np.array([1, 0, 0, 2, 0, 3, 2])
    pairs = CisPairs(np.arange(7), np.arange(7), distance, chrom, 100_000)
    assert pairs.matchable.genes.tolist() == [0, 1, 2, 3, 4, 6]
    assert pairs.matchable.chrom.tolist() == [1, 0, 0, 2, 0, 2]
    found = cis_enrichment(of(np.eye(7)), pairs, np.random.default_rng(0), n_draws=5)
    assert (found.n_pairs, found.n_left_out, found.mean, found.matched_mean, found.auroc) == (6, 1, 1.0, 0.0, 1.0)
    assert cis_enrichment(of(noise(0)), genome(), np.random.default_rng(0), n_draws=1).n_left_out == 0
    with pytest.raises(ValueError, match="0 of 7 pairs, 5 draws"):
        cis_enrichment(of(np.eye(7)), replace(pairs, chrom=np.ones(7, dtype=np.intp)), np.random.default_rng(0), 5)
    with pytest.raises(ValueError, match="6 of 7 pairs, 0 draws"):
        cis_enrichment(of(np.eye(7)), pairs, np.random.default_rng(0), 0)


def test_a_planted_signal_is_found_and_its_sign_told():
    pairs = genome()
    rose = cis_enrichment(of(noise(3, 1.0, pairs)), pairs, np.random.default_rng(0))
    assert rose.p == rose.absolute_p == pytest.approx(1 / 201)
    assert rose.mean == pytest.approx(1.0, abs=0.15)
    assert rose.matched_mean == pytest.approx(0.0, abs=0.1)
    assert rose.auroc == pytest.approx(0.76, abs=0.04)  # Φ(1/√2)
    assert rose.top_ratio > 3
    fell = cis_enrichment(of(noise(3, -1.0, pairs)), pairs, np.random.default_rng(0))
    assert fell.p > 0.99
    assert fell.absolute_p == pytest.approx(1 / 201)
    assert fell.auroc == pytest.approx(0.24, abs=0.04)
    assert (rose.n_pairs, rose.n_draws) == (len(pairs), 200)


def test_without_a_signal_p_values_are_spread_evenly():
    pairs = genome(n_chroms=11)
    results = [cis_enrichment(of(noise(s)), pairs, np.random.default_rng(s), n_draws=19) for s in range(150)]
    for values in ([r.p for r in results], [r.absolute_p for r in results]):
        assert np.mean(values) == pytest.approx(0.5, abs=0.08)
        assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.07)
    assert np.mean([r.auroc for r in results]) == pytest.approx(0.5, abs=0.005)
    assert np.mean([r.top_ratio for r in results]) == pytest.approx(1.0, abs=0.15)


def test_effects_that_follow_genes_peaks_and_distance_alone_are_no_enrichment():
    """Peaks at promoters, and genes with many neighbours, have large effects with everybody."""
    pairs = genome()
    by_gene, by_peak = np.bincount(pairs.genes, minlength=N_GENES), np.zeros(N_PEAKS)
    by_peak[pairs.peaks[pairs.distance < 10_000]] = 9.0
    rng = np.random.default_rng(0)
    found = [cis_enrichment(of(noise(s) + by_gene[:, None] + by_peak), pairs, rng, n_draws=19) for s in range(20)]
    assert min(one.matched_mean for one in found) > 5.0
    assert np.mean([one.mean - one.matched_mean for one in found]) == pytest.approx(0.0, abs=0.05)
    assert np.mean([one.p for one in found]) == pytest.approx(0.5, abs=0.2)
    assert np.mean([one.auroc for one in found]) == pytest.approx(0.5, abs=0.01)


def test_effects_of_the_wrong_neighbours_are_no_enrichment():
    """Planted in the pairs of another genome; genes and peaks are no longer those that lie together."""
    pairs = genome()
    found = cis_enrichment(of(noise(6, 2.0, genome(seed=9))), pairs, np.random.default_rng(0))
    assert found.p > 0.02


def test_the_p_value_counts_draws_that_do_as_well_and_is_never_zero():
    pairs = genome()
    equal = cis_enrichment(of(np.ones((N_GENES, N_PEAKS))), pairs, np.random.default_rng(0), n_draws=9)
    assert (equal.p, equal.auroc, equal.top_ratio) == (1.0, 0.5, 1.0)
    assert cis_enrichment(of(noise(3, 9.0, pairs)), pairs, np.random.default_rng(0), n_draws=9).p == 0.1


def test_auroc_by_hand():
    assert auroc(np.array([3.0, 1.0]), np.array([[2.0, 0.0], [1.0, 3.0]])) == pytest.approx((3.5 + 1.5) / 8)
    assert auroc(np.array([5.0]), np.array([1.0, 2.0])) == 1.0
    assert auroc(np.array([1.0, 2.0]), np.array([5.0])) == 0.0


def factors(seed=7):
    """Effects of 13 genes and 17 peaks whose sizes differ a hundredfold, of rank 4."""
    rng = np.random.default_rng(seed)
    genes, peaks = rng.normal(size=(13, 4)) + 1.0, rng.normal(size=(17, 4)) - 0.5
    return Effects(genes * rng.uniform(0.1, 9.0, (13, 1)), peaks * rng.uniform(0.1, 9.0, (17, 1)))


def dense(effects):
    return effects.genes @ effects.peaks.T


def test_effects_of_pairs_are_entries_of_genes_by_peaks():
    made = factors()
    genes, peaks = np.array([0, 12, 3]), np.array([16, 0, 0])
    np.testing.assert_allclose(made.of(genes, peaks), dense(made)[genes, peaks])


def test_standardised_effects_have_mean_zero_and_variance_one_by_gene_and_by_peak():
    z = dense(factors().standardised())
    for axis in (0, 1):
        np.testing.assert_allclose(z.mean(axis=axis), 0.0, atol=2e-3)
        np.testing.assert_allclose(z.std(axis=axis), 1.0, atol=2e-3)


def test_standardised_effects_do_not_know_how_strong_a_gene_or_a_peak_is():
    made, rng = factors(), np.random.default_rng(8)
    centred = made.standardised()
    louder = Effects(centred.genes * rng.uniform(0.5, 2.0, (13, 1)), centred.peaks)
    shifted = Effects(np.column_stack([made.genes, rng.normal(size=13)]), np.column_stack([made.peaks, np.ones(17)]))
    np.testing.assert_allclose(dense(shifted.standardised()), dense(centred), atol=1e-6)
    assert np.corrcoef(dense(louder.standardised()).ravel(), dense(centred).ravel())[0, 1] > 0.98
    np.testing.assert_allclose(dense(centred.standardised()), dense(centred), atol=0.02)


def test_a_gene_without_effects_stays_at_zero_and_is_finite():
    centred = factors().standardised()
    silent = Effects(np.vstack([centred.genes, centred.genes.mean(axis=0)]), centred.peaks)
    z = dense(silent.standardised())
    assert np.isfinite(z).all()
    assert np.abs(dense(Effects(np.zeros((3, 2)), np.ones((5, 2))).standardised())).max() == 0.0


def test_the_strongest_genes_do_not_decide_once_effects_are_standardised():
    """A thousandfold gene with effects in all the wrong places hides the signal of the others."""
    pairs = genome()
    effects = noise(3, 1.0, pairs)
    loudest = np.bincount(pairs.genes).argmax()
    effects[loudest] *= 1000.0
    effects[loudest, pairs.peaks[pairs.genes == loudest]] = -1000.0
    made = Effects(effects, np.eye(N_PEAKS))
    raw = cis_enrichment(made.of, pairs, np.random.default_rng(0))
    fair = cis_enrichment(made.standardised().of, pairs, np.random.default_rng(0))
    assert raw.p > 0.5
    assert fair.p == pytest.approx(1 / 201)
