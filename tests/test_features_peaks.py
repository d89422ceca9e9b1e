"""Query peaks are divided among model peaks by shared base pairs, and sets of different genomes are refused."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from io_fixtures import real

from unisono.features import peaks as room
from unisono.features.peaks import Genome, genome_of, overlap_weights, parse_peaks
from unisono.messages import BadInput

WHERE = "q.h5mu, atac"
HG19 = ["chr4:191000000-191000500", "chr20:62000000-62000700", "chr1:100-300"]
HG38 = ["chr5:181000000-181000500", "chr20:62000000-62000700", "chr1:100-300"]
MM9_MM10 = ["chr16:98100000-98100300", "chr1:100-300"]
MOUSE = ["chr19:61300000-61300400", "chr1:100-300"]

widths = st.integers(1, 25)
peak = st.tuples(st.sampled_from(["chr1", "chr2", "GL0_1.1"]), st.integers(0, 70), widths)


def names(*peaks):
    return np.array(peaks, dtype=str)


def spelled(triples, marks=":-"):
    return names(*(f"{chrom}{marks[0]}{start}{marks[1]}{end}" for chrom, start, end in triples))


def brute_force(wanted, found):
    """Weights by a loop over all pairs, in float64."""
    shared = np.zeros((len(found), len(wanted)))
    for q, (chrom, start, end) in enumerate(found):
        for m, (other, first, last) in enumerate(wanted):
            shared[q, m] = max(0, min(end, last) - max(start, first)) if chrom == other else 0
    total = shared.sum(axis=1, keepdims=True)
    return np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)


def triples(peaks):
    return [(chrom, start, start + width) for chrom, start, width in peaks]


def weights(wanted, found):
    return overlap_weights(names(*wanted), names(*found), WHERE).toarray()


def message(wanted, found):
    with pytest.raises(BadInput) as caught:
        overlap_weights(names(*wanted), names(*found), WHERE)
    return str(caught.value)


def random_peaks(n_peaks, seed):
    rng = np.random.default_rng(seed)
    chrom, start = rng.integers(1, 23, n_peaks), rng.integers(0, 2_000_000, n_peaks)
    return [
        (f"chr{c}", int(s), int(s + w)) for c, s, w in zip(chrom, start, rng.integers(150, 1500, n_peaks), strict=True)
    ]


INTERVALS = {
    "chr1:100-200": ("chr1", 100, 200),
    "chr1-100-200": ("chr1", 100, 200),
    "chr1_100_200": ("chr1", 100, 200),
    "1:100-200": ("1", 100, 200),
    "1-100-200": ("1", 100, 200),
    "X_0_7": ("X", 0, 7),
    "chr1:1,234,567-1,234,890": ("chr1", 1_234_567, 1_234_890),
    "chr2:999-1,000": ("chr2", 999, 1000),
    "GL000194.1-101-200": ("GL000194.1", 101, 200),
    "GL000194.1:101-200": ("GL000194.1", 101, 200),
    "chrUn_KI270442v1_1_200": ("chrUn_KI270442v1", 1, 200),
    "chrUn_KI270442v1:1-200": ("chrUn_KI270442v1", 1, 200),
    "chr1_GL456210_random-5-60": ("chr1_GL456210_random", 5, 60),
    "HLA-DRB1-15:1-20": ("HLA-DRB1-15", 1, 20),
    "scaffold-7-1-20": ("scaffold-7", 1, 20),
    "scaffold_7_1_20": ("scaffold_7", 1, 20),
}


def test_every_spelling_is_read_as_the_interval_it_means():
    assert {name: tuple(parse_peaks(names(name), WHERE).iloc[0]) for name in INTERVALS} == INTERVALS


def test_peaks_are_read_in_the_order_of_their_names():
    found = parse_peaks(names("chr2:5-9", "chr1_30_40", "chr1-10-20"), WHERE)
    assert found.columns.tolist() == ["chrom", "start", "end"]
    assert found["start"].tolist() == [5, 30, 10]
    assert found["start"].dtype == found["end"].dtype == np.int64


NO_PEAKS = [
    "CD3E",
    "chr1",
    "chr1:100",
    "100-200",
    "chr1:200-100",
    "chr1:100-100",
    "chr1:nan-200",
    "chr1:-5-100",
    "chr1:1e+05-100200",
    "chr1:1,00-2,00",
    "chr1:100_200",
    "chr1:1-99999999999999999999",
    "chr1:100-200 ",
    "chr1:100-200\n",
    "chr1:100-200-x",
    ":100-200",
    "",
]


def test_a_name_that_is_no_peak_is_refused_with_the_count_and_the_first():
    for name in NO_PEAKS:
        with pytest.raises(BadInput) as caught:
            parse_peaks(names("chr1:100-200", name, "chr1:300-400", "TP53", "chr2:1-2"), WHERE)
        first = f"E040 {WHERE}: 2 of 5 names are not chr:start-end with start before end (first: {name!r})."
        assert str(caught.value).startswith(first)


def test_the_message_says_whether_the_query_or_the_model_has_names_that_are_no_peaks():
    assert message(["CD4"], ["chr1:1-5"]).startswith(f"E040 {WHERE}, the model's peaks: 1 of 1 names")
    assert message(["chr1:1-5"], ["CD4"]).startswith(f"E040 {WHERE}: 1 of 1 names")


def test_a_set_that_names_chromosomes_in_two_ways_is_refused():
    with pytest.raises(BadInput, match=r"^E040 q.h5mu, atac: chromosomes are named in two ways \('chr2' and 'X'\)"):
        parse_peaks(names("chr2:1-5", "X:1-5"), WHERE)


def test_scaffolds_go_with_either_naming():
    assert len(parse_peaks(names("chr2:1-5", "GL000194.1:1-5", "KI270442:1-5"), WHERE)) == 3
    assert len(parse_peaks(names("2:1-5", "GL000194.1:1-5", "chrUn_KI270442v1:1-5"), WHERE)) == 3


def test_a_peak_over_two_model_peaks_is_split_by_shared_base_pairs():
    wanted = ["chr1:100-130", "chr1:130-200", "chr1:500-600", "chr2:100-200"]
    found = ["chr1:100-200", "chr1:590-700", "chr1:50-110"]
    np.testing.assert_allclose(weights(wanted, found), [[0.3, 0.7, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]], rtol=1e-7)


def test_counts_times_weights_are_the_counts_over_the_model_s_peaks():
    wanted, found = ["chr1:100-130", "chr1:130-200"], ["chr1:100-200", "chr1:150-300", "chr1:900-950"]
    counts = np.array([[10, 1, 5], [0, 2, 0]])
    np.testing.assert_allclose(counts @ weights(wanted, found), [[3, 8], [0, 2]], rtol=1e-6)


def test_peaks_that_only_touch_do_not_overlap_and_one_shared_base_pair_is_enough():
    wanted = ["chr1:100-200", "chr1:300-400"]
    np.testing.assert_array_equal(weights(wanted, ["chr1:200-300", "chr1:200-301"]), [[0, 0], [0, 1]])


def test_the_same_place_on_another_chromosome_does_not_overlap():
    np.testing.assert_array_equal(weights(["chr1:1-9", "chr11:1-9"], ["chr11:1-9", "chr2:1-9"]), [[0, 1], [0, 0]])


def test_weights_are_float32_and_sorted_within_a_row():
    found = overlap_weights(names("chr1:50-90", "chr1:10-40", "chr1:40-50"), names("chr1:1-100", "chr2:3-5"), WHERE)
    assert found.dtype == np.float32
    assert found.shape == (2, 3)
    assert found.indices.tolist() == [0, 1, 2]


@pytest.mark.parametrize("marks", [":-", "--", "__"])
def test_a_set_without_overlaps_maps_to_itself_in_any_order_and_spelling(marks):
    own = [("chr1", 100 * i, 100 * i + 10 + i) for i in range(11)] + [("GL000194.1", 3, 8), ("chr2_x_random", 5, 9)]
    order = np.random.default_rng(0).permutation(len(own))
    expected = np.eye(len(own))
    np.testing.assert_array_equal(weights(spelled(own), spelled(own, marks)), expected)
    np.testing.assert_array_equal(weights(spelled(own), spelled([own[i] for i in order], marks)), expected[order])
    np.testing.assert_array_equal(weights(spelled([own[i] for i in order]), spelled(own, marks)), expected[:, order])


@settings(deadline=None, max_examples=150)
@given(st.lists(peak, min_size=1, max_size=7), st.lists(peak, min_size=1, max_size=11))
def test_weights_equal_those_of_a_loop_over_all_pairs(wanted, found):
    wanted, found = triples(wanted), triples(found)
    expected = brute_force(wanted, found)
    if not expected.any():
        assert f"no peak of {len(found)} overlaps any of the model's {len(wanted)}" in message(
            spelled(wanted), spelled(found)
        )
        return
    computed = weights(spelled(wanted), spelled(found))
    np.testing.assert_allclose(computed, expected, atol=1e-6)
    total = np.asarray(computed.sum(axis=1)).ravel()
    np.testing.assert_allclose(total, expected.any(axis=1), atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(widths, st.integers(1, 9)), min_size=2, max_size=9), st.data())
def test_merged_peaks_are_divided_by_width_and_shifted_ones_by_what_they_still_share(widths_and_gaps, data):
    ends = np.cumsum([gap + width for width, gap in widths_and_gaps])
    own = [("chr3", int(end - width), int(end)) for (width, _), end in zip(widths_and_gaps, ends, strict=True)]
    first = data.draw(st.integers(0, len(own) - 2))
    last = data.draw(st.integers(first + 1, len(own) - 1))
    merged = weights(spelled(own), spelled([("chr3", own[first][1], own[last][2])]))[0]
    width = np.array([end - start for _, start, end in own])
    width[:first] = width[last + 1 :] = 0
    np.testing.assert_allclose(merged, width / width.sum(), rtol=1e-6)

    shifted = [(chrom, start + data.draw(st.integers(0, end - start - 1)), end) for chrom, start, end in own]
    np.testing.assert_array_equal(weights(spelled(own), spelled(shifted)), np.eye(len(own)))


def test_many_peaks_have_the_weights_of_a_loop():
    wanted, found = random_peaks(20_000, 0), random_peaks(20_000, 1)
    computed = overlap_weights(spelled(wanted), spelled(found), WHERE)
    rows = np.random.default_rng(2).choice(len(found), 13, replace=False)
    np.testing.assert_allclose(computed[rows].toarray(), brute_force(wanted, [found[i] for i in rows]), atol=1e-6)
    total = np.asarray(computed.sum(axis=1)).ravel()
    assert 0.4 < (total > 0).mean() < 1
    np.testing.assert_allclose(total[total > 0], 1, atol=1e-6)


def test_sets_that_name_chromosomes_differently_are_refused_with_the_way_to_rename():
    found = message(["chr1:1-9"], ["1:1-9", "X:1-9"])
    assert found.startswith(f"E039 {WHERE}: the query names its chromosomes like '1', the model like 'chr1'.")
    assert found.endswith("rename the query's peaks with f'chr{name}'")
    other_way = message(["1:1-9"], ["chr1:1-9"])
    assert "like 'chr1', the model like '1'" in other_way
    assert other_way.endswith("rename the query's peaks with name.removeprefix('chr')")


@pytest.mark.parametrize(
    ("wanted", "found", "told"),
    [
        (HG38, HG19, "the query fits hg19, the model hg38."),
        (HG19, HG38, "the query fits hg38, the model hg19."),
        (HG38, MM9_MM10, "the query fits mm9 or mm10, the model hg38."),
        (MOUSE, HG38, "the query fits hg38, the model mm9, mm10 or mm39."),
    ],
)
def test_sets_of_two_genomes_are_refused_by_name_though_some_peaks_overlap(wanted, found, told):
    assert message(wanted, found).startswith(f"E039 {WHERE}: the peaks lie on another genome: {told}")


def test_sets_that_may_be_of_one_build_are_let_pass():
    assert weights(MOUSE, MM9_MM10)[1, 1] == 1
    assert weights(HG38, ["chr1:100-300"])[0, 2] == 1


def test_peaks_that_overlap_none_are_refused_with_the_numbers_and_the_builds():
    found = message(HG38, ["chr20:1-9", "chr20:64000000-64000500"])
    expected = "no peak of 2 overlaps any of the model's 3; the query fits hg38 and the model fits hg38."
    assert found.startswith(f"E039 {WHERE}: {expected}")


def test_nothing_is_said_of_builds_that_cannot_be_told():
    assert "no peak of 1 overlaps any of the model's 2. Fix" in message(["GL1.1:1-9", "GL2.1:1-9"], ["GL1.1:9-12"])
    assert "the model's 1; the model fits mm9, mm10 or mm39. Fix" in message(MOUSE[:1], ["chr2L:9-12"])


@pytest.mark.parametrize(
    ("peaks", "expected"),
    [
        (HG19, Genome("chr", ("hg19",))),
        ([name.removeprefix("chr") for name in HG38], Genome("", ("hg38",))),
        (["chr1:1-9"], Genome("chr", ("hg19", "hg38", "mm9", "mm10", "mm39"))),
        (["chr1:1-195471971"], Genome("chr", ("hg19", "hg38", "mm9", "mm10"))),
        (["chr1:1-195471972"], Genome("chr", ("hg19", "hg38", "mm9"))),
        (["chrY:16000000-16000100"], Genome("chr", ("hg19", "hg38", "mm10", "mm39"))),
        (["MT:1-16400"], Genome("", ("hg19", "hg38"))),
        (["chrM:1-16299", "GL1.1:1-900000000"], Genome("chr", ("hg19", "hg38", "mm9", "mm10", "mm39"))),
        (["chr2L:1-9", "chrX:1-9"], Genome("chr", ())),
        (["chrIV:1-9", "chrX:1-9"], Genome("chr", ())),
        (["chr1:1-9", "chr25:1-9"], Genome("chr", ())),
        (["GL000194.1:1-9"], Genome(None, ())),
    ],
)
def test_the_builds_of_a_set_have_all_its_chromosomes_and_reach_its_last_peak(peaks, expected):
    assert genome_of(parse_peaks(names(*peaks), WHERE), WHERE) == expected


def test_builds_are_told_without_a_network(monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    room._lengths.cache_clear()
    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(f"socket.{name}", no_network)
    assert genome_of(parse_peaks(names(*HG38), WHERE), WHERE).builds == ("hg38",)


def test_reading_peaks_does_not_load_bioframe():
    code = (
        "import sys, numpy, unisono, unisono.features.peaks as p; "
        "p.parse_peaks(numpy.array(['chr1:1-2']), 'x'); sys.exit('bioframe' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_real_peaks_shifted_by_50_base_pairs_map_to_themselves():
    with h5py.File(real("snareseq_cortex.h5mu")) as file:
        var = file["mod/atac/var"]
        own = var[var.attrs["_index"]].asstr()[:].astype(str)
    peaks = parse_peaks(own, WHERE)
    shifted = spelled(zip(peaks["chrom"], peaks["start"] + 50, peaks["end"] + 50, strict=True))
    computed = overlap_weights(own, shifted, WHERE)
    is_own = np.asarray(computed.argmax(axis=1)).ravel() == np.arange(len(own))
    assert (is_own & (computed.diagonal() > 0)).mean() > 0.99
    assert set(genome_of(peaks, WHERE).builds) <= {"mm9", "mm10", "mm39"}


def test_an_empty_set_overlaps_none():
    assert "no peak of 0 overlaps any of the model's 1;" in message(["chr1:1-9"], [])
    assert "no peak of 1 overlaps any of the model's 0;" in message([], ["chr1:1-9"])


def test_a_stretch_counts_by_its_length_times_the_counts_expected_of_it():
    """Of a peak over two others of 100 and 200 bases, seen 1 and 6 times: 50 · 1/100 against 100 · 6/200."""
    wanted, found = np.array(["chr1:100-200", "chr1:300-500"]), np.array(["chr1:150-400"])
    plain = overlap_weights(wanted, found, "here").toarray()[0]
    weighed = overlap_weights(wanted, found, "here", np.array([1.0, 6.0])).toarray()[0]
    np.testing.assert_allclose(plain, [50 / 150, 100 / 150], rtol=1e-6)
    np.testing.assert_allclose(weighed, [0.5 / 3.5, 3.0 / 3.5], rtol=1e-6)


def test_a_peak_never_seen_in_training_still_takes_counts_that_are_its_alone():
    wanted, found = np.array(["chr1:100-200", "chr1:300-500"]), np.array(["chr1:120-180", "chr1:310-320"])
    weights = overlap_weights(wanted, found, "here", np.array([0.0, 6.0])).toarray()
    np.testing.assert_array_equal(weights, np.eye(2))


@pytest.mark.parametrize("genome", ["GRCh38_", "hg38-", "mm10___", "GRCh38______", "hg38.p13_"])
@pytest.mark.parametrize("spelling", ["chr1:{}-{}", "chr1-{}-{}", "chr1_{}_{}"])
def test_a_genome_before_every_peak_is_cut_on_either_side(genome, spelling):
    plain = [spelling.format(1000 * i, 1000 * i + 301) for i in range(7)]
    prefixed = names(*(f"{genome}{peak}" for peak in plain))
    assert parse_peaks(prefixed, WHERE).equals(parse_peaks(names(*plain), WHERE))
    for wanted, found in ((names(*plain), prefixed), (prefixed, names(*plain))):
        np.testing.assert_array_equal(overlap_weights(wanted, found, WHERE).toarray(), np.eye(7))


def test_peaks_of_two_genomes_in_one_set_are_not_laid_over_each_other():
    both = names("GRCh38_chr1:100-200", "mm10_chr1:100-200")
    assert parse_peaks(both, WHERE)["chrom"].tolist() == ["GRCh38_chr1", "mm10_chr1"]
