"""A new donor without labels: what is given pairs nobody, all ways are asked the same, the page tells them apart."""

from __future__ import annotations

import numpy as np
import pytest

import unisono as un
from fixtures import tiny
from unisono_bench.data import join, to_mudata
from unisono_bench.studies import unlabelled
from unisono_bench.studies.report import Settings


@pytest.fixture(scope="module")
def mdata():
    recipe = un.datasets.Recipe(n_cells=240, n_genes=50, n_peaks=20, n_proteins=9, n_batches=2, seed=8)
    found = to_mudata(un.datasets.simulate_cells(recipe).cells)
    return join({m: found[m] for m in ("rna", "adt")})


@pytest.fixture(scope="module")
def rows(mdata):
    return unlabelled.measured(mdata, "b2", tiny())


def test_every_way_is_asked_the_same(rows):
    found = {(row["given"], row["way"]) for row in rows}
    given = {(g, w) for g in ("the same cells", "two halves") for w in ("one modality each", "matched")}
    assert found == given | {("none", "not seen")}
    assert len(rows) == len(found) * 2 * 3
    assert all(np.isfinite(row["value"]) for row in rows)


def test_matches_are_made_only_where_they_are_asked_for(rows):
    n = {(row["given"], row["way"]): row["n_matched"] for row in rows}
    assert n["the same cells", "matched"] > 60
    assert 20 < n["two halves", "matched"] <= 40
    assert {n[key] for key in n if key[1] != "matched"} == {0}


def test_halves_hold_no_cell_twice_and_unpaired_sides_hold_all_under_other_names(mdata):
    first, second = (part.obs_names for part in unlabelled.halves(mdata).mod.values())
    assert set(first) | set(second) == set(mdata["rna"].obs_names)
    assert not set(first) & set(second)
    found = unlabelled.unpaired(mdata, 0)
    assert not set(found["rna"].obs_names) & set(found["adt"].obs_names)
    rows = [tuple(row) for row in found["adt"].X.toarray()]
    wanted = [tuple(row) for row in mdata["adt"].X.toarray()]
    assert rows != wanted
    assert sorted(rows) == sorted(wanted)


def test_the_page_has_a_table_for_cells_that_were_given_and_one_for_others(rows):
    rows = [{"data": "x, b2", "seed": 0, **row} for row in rows]
    page = unlabelled.tell({"rows": rows}, Settings(("bmmc_cite",), 1, "fast"))
    assert page.count("| data | given | way | RNA→ADT | ADT→RNA | FOSCTTM |") == 2
    assert page.count("| x, b2 | two halves | matched |") == 2
