"""Few cells of a new laboratory: the same test cells for every number, both ways, and what a start is worth."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures import tiny
from test_left_out import simulated
from unisono_bench.studies import few_shot
from unisono_bench.studies.left_out.sets import DataSets
from unisono_bench.studies.report import Settings

NAMES = ("sun", "moon")


@pytest.fixture(scope="module")
def rows():
    sets = DataSets.of({name: simulated(name, seed) for seed, name in enumerate(NAMES)})
    return few_shot.measured(sets, Settings(NAMES, 2, "fast"), tiny(), ("moon",), (30, 50, 400))


def test_every_number_that_is_there_is_fitted_both_ways_and_zero_shot_once(rows):
    found = {(row["seed"], row["n"], row["way"]) for row in rows}
    both = {(s, n, way) for s in (0, 1) for n in (30, 50) for way in ("from scratch", "init")}
    assert found == both | {(s, 0, "zero-shot") for s in (0, 1)}
    assert len(rows) == 3 * len(found)
    assert all(np.isfinite(row["value"]) for row in rows)


def test_a_fit_of_its_own_knows_proteins_that_the_others_lack(rows):
    n = {row["way"]: row["n_features"] for row in rows if row["figure"] == "RNA→ADT"}
    assert n["from scratch"] == n["init"] == 9
    assert n["zero-shot"] == 7


def curve(values, way, figure="RNA→ADT"):
    return [
        {"new": "x", "figure": figure, "seed": 0, "n": n, "way": way, "value": value} for n, value in values.items()
    ]


def test_worth_is_read_off_the_curve_from_scratch():
    scratch = curve({50: 0.1, 200: 0.3, 400: 0.4}, "from scratch")
    found = few_shot.worth_table(scratch + curve({50: 0.2, 200: 0.45, 400: 0.05}, "init"))
    assert "| 2.0 × | > 2.0 × | < 0.1 × |" in found
    lower = curve({50: 0.3, 200: 0.1}, "from scratch", "FOSCTTM")
    assert "| 4.0 × |" in few_shot.worth_table(lower + curve({50: 0.1}, "init", "FOSCTTM"))


def test_the_page_names_ways_and_the_picture_is_written(rows, tmp_path):
    page = few_shot.tell({"rows": rows}, Settings(NAMES, 2, "fast"))
    assert "| moon | 0 | zero-shot |" in page
    assert "| moon | 50 | init |" in page
    assert few_shot.draw_curves(rows, tmp_path / "few_shot.png").stat().st_size > 5000
