"""Cells and cost: made cells are filled as they say, every stage is run and told, slopes are those of the numbers."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import unisono as un
from unisono_bench.studies import loader, made_cells, scale, scale_matching
from unisono_bench.studies.report import Settings


def test_made_cells_are_filled_like_real_ones_and_the_same_for_a_seed():
    parts = made_cells.made(400, seed=2)
    filling = {m: part.X.nnz / np.prod(part.shape) for m, part in parts.items()}
    assert 0.04 < filling["rna"] < 0.12
    assert 0.015 < filling["atac"] < 0.035
    assert filling["adt"] > 0.5
    again = made_cells.made(400, seed=2, modalities=("rna", "atac", "adt"))
    assert all((parts[m].X != again[m].X).nnz == 0 for m in parts)
    assert list(parts["rna"].obs["batch"].unique()) != ["b0"]


def test_partners_are_nearer_than_others():
    left, right = scale.vectors(300)
    similarity = left @ right.T
    assert (similarity > np.diag(similarity)[:, None]).mean() < 0.1


@pytest.fixture(scope="module")
def rows():
    cost = {"seconds": 2.0, "peak_gb": 0.5}
    return [
        {"n_cells": n, "stage": stage, "cpu_seconds": factor * n**power, **cost}
        for n in (1000, 10_000)
        for stage, factor, power in (("fit", 0.01, 1.0), ("match", 1e-6, 2.0))
    ]


def test_the_slope_is_the_exponent_of_cells(rows):
    found = scale.cost_table(rows)
    assert "| fit | 10 s, 2 s, 0.50 GiB | 100 s, 2 s, 0.50 GiB | 1.00 |" in found
    assert "| match | 1 s, 2 s, 0.50 GiB | 100 s, 2 s, 0.50 GiB | 2.00 |" in found


def test_candidates_are_compared_with_the_bare_product():
    found = list(scale.candidates(700))
    assert {"unisono, both ways, k 200", "bare product"} <= {row["way"] for row in found}
    assert "| bare product |" in scale.candidate_table(found)


def test_the_page_and_the_picture_are_written(rows, tmp_path):
    settings = Settings(("10k",), 1, "fast")
    compared = [{"n_cells": 1000, "way": "bare product", "cpu_seconds": 1.0}]
    shares = [{"n_cells": 1000, "waited": 1.0, "learned": 3.0}]
    page = scale.tell({"rows": rows, "candidates": compared, "loader": shares}, settings)
    assert "## Candidates" in page
    assert "learn from them for 3.0 s: 75% of the time." in page
    scale.draw({"rows": rows}, settings, tmp_path)
    assert (tmp_path / "scale.png").stat().st_size > 5000


def test_every_command_is_run_and_its_cost_told(tmp_path):
    found = list(scale.of_size(150, "fast", tmp_path, n_fitted=150))
    second = [row["stage"] for row in islice(scale.of_size(120, "fast", tmp_path), 2)]
    assert second == ["fit", "embed"]
    assert [row["stage"].split(" ")[0] for row in found] == ["fit", "embed", *["predict"] * 3, "match"]
    assert all(row["cpu_seconds"] > 0 and row["peak_gb"] > 0 for row in found)


@pytest.mark.filterwarnings("ignore::unisono.InputWarning")
def test_an_epoch_that_reads_by_rows_waits_and_learns(tmp_path):
    made_cells.write(300, 0, tmp_path / "cells.zarr")
    config = un.FitConfig.preset("fast", max_held_cells=100, max_cells_per_epoch=100, n_members=1, n_codes=8)
    waited, learned = loader.seconds_of_epochs(tmp_path / "cells.zarr", config)
    assert waited > 0
    assert learned > 0


def test_the_partners_of_made_contents_are_matched_and_told(tmp_path):
    (row,) = scale_matching.of_size(701, tmp_path)
    assert row["n_cells"] == 701
    assert 0.5 < row["right"] <= row["is_listed"]
    assert abs(row["stated"] - row["right"]) < 0.15
    assert row["cpu_seconds"] > 0
    text = scale_matching.tell({"rows": [row]}, Settings(("10k",), 1, "fast"))
    assert f"| 701 | {row['cpu_seconds']:,.0f} s |" in text
