"""Tests of joining modalities by cell name: never by place, and with a diagnosis when names do not meet."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from io_fixtures import codes, findings_of, mu, only, table, two

from unisono.io.checks.pairing import disagreeing_samples, paired_names, pairing_findings
from unisono.io.naming import Source
from unisono.io.read import cells_from_mudata


def renamed(names, n_genes: int = 11):
    return mu(rna=table(7, n_genes, "g"), adt=table(len(names), 5, "p", cells=list(names)))


def test_rows_are_paired_by_name_not_place():
    order = [3, 0, 6, 1, 2, 5, 4]
    adt = table(7, 5, "p", seed=1)
    mdata = mu(rna=table(7, 11, "g"), adt=adt[order].copy())
    cells, findings = cells_from_mudata(mdata, batch_key=None, is_training=True, source_name="x.h5mu")
    np.testing.assert_array_equal(
        cells.views["adt"].counts[cells.rows["adt"]].toarray(), adt[list(cells.names)].X.toarray()
    )
    finding = only(findings, "I025")
    assert str(finding) == "I025 x.h5mu, rna and adt: adt is in another order than rna; joined by name (7 cells)."


def test_the_same_order_is_not_worth_a_word():
    assert not codes(findings_of(two()))


def test_partial_overlap_is_warned_about_in_numbers():
    finding = only(findings_of(renamed(["c5", "c6", "d0", "d1", "d2"])), "W026")
    assert finding.what == "2 of 10 cells paired; 8 used as unpaired (in rna only: 5, in adt only: 3)."


@pytest.mark.parametrize(
    ("suffix", "words"),
    [("_run2", "rna as they are and adt without the last part would share 7 of 7"), ("zzz", "c6zzz")],
)
def test_no_overlap_is_refused_with_what_would_help(suffix, words):
    finding = only(findings_of(renamed([f"c{i}{suffix}" for i in reversed(range(7))])), "E027")
    assert f"no shared cell names: rna 'c0', adt 'c6{suffix}'" in finding.what
    assert words in finding.what
    assert "obs_names" in finding.remedy


def test_two_suffixes_are_diagnosed_together():
    mdata = mu(
        rna=table(7, 11, "g", cells=[f"s{i}-1" for i in range(7)]),
        adt=table(7, 5, "p", cells=[f"s{i}-2" for i in range(7)]),
    )
    words = "rna without the last part and adt without the last part would share 7 of 7"
    assert words in only(findings_of(mdata), "E027").what


def test_default_names_in_both_modalities_are_refused_and_in_one_are_not():
    digits = [str(i) for i in range(7)]
    mdata = mu(rna=table(7, 11, "g", cells=digits), adt=table(7, 5, "p", cells=digits))
    finding = only(findings_of(mdata), "E028")
    assert finding.what.startswith("rna and adt have default cell names 0..n")
    assert "set real names" in finding.remedy
    assert "E028" not in codes(findings_of(renamed(digits)))


def test_a_query_may_have_any_names():
    digits = [str(i) for i in range(7)]
    for mdata in (
        renamed([f"x{i}" for i in range(6)]),
        mu(rna=table(7, 11, "g", cells=digits), adt=table(7, 5, "p", cells=digits)),
    ):
        assert not codes(findings_of(mdata, is_training=False))


def test_a_bridge_joins_modalities_that_share_no_cell():
    mdata = mu(
        atac=table(5, 13, "k", cells=[f"c{i}" for i in range(5)]),
        rna=table(9, 11, "g"),
        adt=table(4, 3, "p", cells=[f"c{i}" for i in range(5, 9)]),
    )
    findings = findings_of(mdata)
    assert "E027" not in codes(findings)
    where = [finding.where for finding in findings if finding.code == "W026"]
    assert where == ["data, atac and rna", "data, rna and adt"]


def barcodes(n: int, seed: int = 0) -> list[str]:
    """Different barcodes of a 10x library."""
    letters = np.random.default_rng(seed).choice(list("ACGT"), (n, 16))
    found = ["".join(row) for row in letters]
    assert len(set(found)) == n
    return found


CODES = barcodes(31)


def paired(left, right, kinds=("rna", "adt")):
    """How many cells meet after cutting, and the finding about it."""
    cells, findings = paired_names({kinds[0]: pd.Index(left), kinds[1]: pd.Index(right)}, "x")
    return len(cells[kinds[0]].intersection(cells[kinds[1]])), findings


@pytest.mark.parametrize(
    ("left", "right", "kinds"),
    [
        ("{}-1_rna", "{}-1_adt", ("rna", "adt")),
        ("{}_RNA", "{}-ADT", ("rna", "adt")),
        ("{}_gex", "{}_protein", ("rna", "adt")),
        ("RNA_{}", "Protein_{}", ("rna", "prot")),
        ("gex:{}-1", "atac:{}-1", ("rna", "atac")),
        ("s1_{}_rna", "s1_{}", ("rna", "adt")),
        ("{}-1", "{}", ("rna", "adt")),
        ("{}-1", "{}-2", ("rna", "adt")),
        ("{}-1_rna", "{}_adt", ("rna", "adt")),
        ("rna_{}-1", "{}", ("rna", "adt")),
    ],
)
def test_cells_that_share_no_name_are_paired_without_modality_and_library(left, right, kinds):
    n_met, findings = paired([left.format(c) for c in CODES], [right.format(c) for c in CODES[::-1]], kinds)
    assert n_met == 31
    assert only(findings, "W027").what.startswith("cells share no name as they are; paired with ")
    assert left.format(CODES[0]) in findings[0].what


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([f"{c}-{1 + i % 2}" for i, c in enumerate(CODES)], CODES),
        ([f"{c}-1" for c in CODES], barcodes(31, 9)),
        ([f"{c}-1" for c in CODES], [c.lower() for c in CODES]),
        ([f"{CODES[i // 2]}_{'rna' if i % 2 else 'ab'}" for i in range(30)], CODES),
        ([f"c{i}-1" for i in range(7)], [f"c{i}-2" for i in range(7)]),
        ([f"{c}_rna" for c in CODES[:9]] + CODES[9:11], [f"{c}_adt" for c in CODES[:9]]),
    ],
    ids=["lanes", "other barcodes", "other case", "cut names repeat", "no barcodes", "not all"],
)
def test_names_are_left_as_they_are_where_a_cut_pairs_none_or_makes_two_cells_one(left, right):
    assert paired(left, right) == (0, [])


def test_one_shared_name_leaves_all_names_as_they_are():
    assert paired(["a", *(f"{c}_rna" for c in CODES)], ["a", *(f"{c}_adt" for c in CODES)]) == (1, [])


def test_a_cell_keeps_its_own_name_in_its_view_s_batches():
    rna, adt = (table(7, n, p, cells=[f"{c}_{kind}" for c in CODES[:7]]) for kind, n, p in WITH_SUFFIX)
    for part in (rna, adt):
        part.obs["batch"] = list("aabbaba")
    cells, findings = cells_from_mudata(mu(rna=rna, adt=adt), batch_key="batch", is_training=True)
    assert cells.views["rna"].cells.tolist() == CODES[:7]
    assert cells.views["rna"].batch.tolist() == list("aabbaba")
    assert "W027" in codes(findings)


WITH_SUFFIX = (("rna", 11, "g"), ("adt", 5, "p"))


def overlap(left, right):
    return pairing_findings({"rna": pd.Index(left), "adt": pd.Index(right)}, "x")


MANY, OTHERS = barcodes(5000, 4), barcodes(5000, 5)


@pytest.mark.parametrize("n_shared", [1, 3, 12, 34])
@pytest.mark.parametrize("name", ["{}", "{}-1", "s1_{}-1"])
def test_no_more_pairs_than_chance_gives_are_refused_with_what_it_gives(n_shared, name):
    """5,000 x 5,000 / 737,280 = 33.9."""
    left, right = MANY, MANY[:n_shared] + OTHERS[n_shared:]
    finding = only(overlap(*([name.format(c) for c in side] for side in (left, right))), "E026")
    assert finding.what.startswith(f"only {n_shared} of {10_000 - n_shared} cells paired, and 34 names would meet")


@pytest.mark.parametrize("n_shared", [61, 300])
def test_some_more_pairs_than_chance_gives_are_read_and_chance_is_told(n_shared):
    finding = only(overlap(MANY, MANY[:n_shared] + OTHERS[n_shared:]), "W026")
    assert "34 names would meet by chance among the 737,280 barcodes" in finding.what


def test_where_most_cells_are_paired_nothing_is_said_of_chance():
    finding = only(overlap(MANY[:60], MANY[30:90]), "W026")
    assert finding.what == "30 of 90 cells paired; 60 used as unpaired (in rna only: 30, in adt only: 30)."


def test_a_few_pairs_under_names_that_are_no_barcodes_are_pairs():
    finding = only(overlap([f"a{i}" for i in range(1000)], [f"a{i}" for i in range(990, 2500)]), "W026")
    assert "10 of 2500 cells paired" in finding.what
    assert "chance" not in finding.what


def test_barcodes_meet_by_chance_within_a_sample_or_lane_only():
    """40 samples of 125 x 125 cells: 40 x 125^2 / 737,280 = 0.85, and not 34."""
    left, right = ([f"s{i % 40}_{c}-1" for i, c in enumerate(side)] for side in (MANY, MANY[:12] + OTHERS[12:]))
    finding = only(overlap(left, right), "W026")
    assert "12 of 9988 cells paired" in finding.what
    assert "0.85 names would meet by chance" in finding.what
    other_lane = [f"{c}-2" for c in OTHERS[:-1]]
    finding = only(overlap([f"{c}-1" for c in MANY], [*other_lane, f"{MANY[0]}-1"]), "E026")
    assert "0.0068 names would meet" in finding.what


def test_two_runs_are_refused_in_a_reading_and_a_query_of_them_is_not():
    left, right = barcodes(211, 6), [*barcodes(211, 6)[:1], *barcodes(196, 7)]
    mdata = mu(rna=table(211, 11, "g", cells=left), adt=table(197, 5, "p", cells=right))
    assert "E026" in codes(findings_of(mdata))
    assert not codes(findings_of(mdata, is_training=False))


SAMPLES = ["s1"] * 11 + ["s2"] * 8 + ["s3"] * 5


def samples(left, right, column: str = "sample", batch_key: str | None = None):
    """What is said of a column on both sides, of cells in other orders."""
    names = [f"c{i}" for i in range(len(left))]
    frames = [pd.DataFrame({column: side}, index=names) for side in (left, right)]
    frames[1] = frames[1].iloc[np.random.default_rng(3).permutation(len(names))]
    found = [
        Source(kind, kind, AnnData(np.zeros((len(names), 1), np.float32), obs=frame), kind)
        for kind, frame in zip(("rna", "adt"), frames, strict=True)
    ]
    return disagreeing_samples(found, {each.name: each.cells for each in found}, "x", batch_key)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (SAMPLES, SAMPLES),
        ([f"{s}_rna" for s in SAMPLES], [f"{s}_adt" for s in SAMPLES]),
        ([s.upper() for s in SAMPLES], SAMPLES),
        ([int(s[1]) for s in SAMPLES], [float(s[1]) for s in SAMPLES]),
        ([s[1] for s in SAMPLES], pd.Categorical([s[1] for s in SAMPLES])),
        ([None, *SAMPLES[1:]], [*SAMPLES[:-1], None]),
        (["rna"] * 24, ["adt"] * 24),
        (["SeuratProject"] * 24, SAMPLES),
        (SAMPLES, ["protein"] * 24),
        (["l1"] * 6 + ["l2"] * 5 + ["l3"] * 8 + ["l4"] * 5, [f"{s}_adt" for s in SAMPLES]),
        ([f"{s}_rna" for s in SAMPLES], ["l1"] * 6 + ["l2"] * 5 + ["l3"] * 8 + ["l4"] * 5),
    ],
)
def test_samples_that_are_only_called_differently_do_not_disagree(left, right):
    assert samples(left, right, "orig.ident") == []


def moved(values, suffix: str = ""):
    """The same samples of other cells."""
    return [f"{values[i]}{suffix}" for i in np.random.default_rng(8).permutation(len(values))]


@pytest.mark.parametrize("column", ["sample", "Sample_ID", "donor", "orig.ident", "hash.ID", "HTO", "patient id"])
def test_pairs_of_cells_of_two_samples_are_told_with_number_and_first(column):
    other = moved(SAMPLES)
    n_apart = sum(a != b for a, b in zip(SAMPLES, other, strict=True))
    first = next(i for i, (a, b) in enumerate(zip(SAMPLES, other, strict=True)) if a != b)
    finding = only(samples(SAMPLES, other, column), "W030")
    assert finding.what.startswith(f"{column} differs for {n_apart} of 24 pairs of cells of one name (first: ")
    assert f"c{first} is '{SAMPLES[first]}' and '{other[first]}'" in finding.what


def test_one_cell_of_another_sample_is_told_and_samples_of_other_names_and_cells_too():
    assert "differs for 1 of 24" in only(samples(SAMPLES, ["s2", *SAMPLES[1:]]), "W030").what
    called = [f"{s}_rna" for s in SAMPLES]
    assert "differs for 1 of 24" in only(samples(called, ["s2_adt", *(f"{s}_adt" for s in SAMPLES[1:])]), "W030").what
    assert "W030" in codes(samples(called, moved(SAMPLES, "_adt")))


@pytest.mark.parametrize("column", ["cell_type", "leiden", "n_counts", "resampled", "batchy"])
def test_columns_that_are_of_no_samples_may_differ(column):
    assert samples(SAMPLES, moved(SAMPLES), column) == []


def test_the_batch_column_is_not_looked_at_twice():
    assert samples(SAMPLES, moved(SAMPLES), "batch", batch_key="batch") == []
    assert codes(samples(SAMPLES, moved(SAMPLES), "batch")) == {"W030"}
