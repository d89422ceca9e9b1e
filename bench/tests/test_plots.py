"""Tests of the pictures: one for each kind of task that was done, written whole."""

from __future__ import annotations

from fixtures import MATCHING, run, scores
from unisono_bench.plots import draw_benchmark


def test_a_picture_is_drawn_for_each_kind_of_task_that_was_done(tmp_path):
    runs = [run("unisono", seed, pearson=0.5 + seed / 10) for seed in (0, 1)]
    assert [path.name for path in draw_benchmark(runs, tmp_path)] == ["prediction.png"]
    matched = run("cca").model_copy(update={"scores": scores(MATCHING, foscttm=0.1)})
    failed = run("b", failure="out of luck")
    drawn = draw_benchmark([*runs, matched, failed], tmp_path)
    assert [path.name for path in drawn] == ["prediction.png", "matching.png"]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")
