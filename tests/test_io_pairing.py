"""Tests of joining modalities by cell name: never by place, and with a diagnosis when names do not meet."""

from __future__ import annotations

import numpy as np
import pytest
from io_fixtures import codes, findings_of, mu, only, table, two

from unisono.io.read import cells_from_mudata


def renamed(names, n_genes: int = 11):
    return mu(rna=table(7, n_genes, "g"), adt=table(len(names), 5, "p", cells=list(names)))


def test_rows_are_paired_by_name_not_place():
    order = [3, 0, 6, 1, 2, 5, 4]
    adt = table(7, 5, "p", seed=1)
    mdata = mu(rna=table(7, 11, "g"), adt=adt[order].copy())
    cells, findings = cells_from_mudata(mdata, batch_key=None, need=2, source_name="x.h5mu")
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
        assert not codes(findings_of(mdata, need=1))


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
