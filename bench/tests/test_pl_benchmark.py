"""Tests of the pictures: one a task that was done, written whole, and refused in one line without matplotlib."""

from __future__ import annotations

import pytest
from benchmark_fixtures import run

from unisono.messages import BadInput
from unisono.pl import canvas
from unisono_bench.plots import draw_benchmark


def test_a_picture_is_drawn_for_each_kind_of_task_that_was_done(tmp_path):
    runs = [run("unisono", seed, pearson=0.5 + seed / 10) for seed in (0, 1)]
    assert [path.name for path in draw_benchmark(runs, tmp_path)] == ["prediction.png"]
    matched = run("cca").model_copy(update={"figures": {"rna~adt": {"foscttm": 0.1}}})
    failed = run("b", failure="out of luck")
    drawn = draw_benchmark([*runs, matched, failed], tmp_path)
    assert [path.name for path in drawn] == ["prediction.png", "matching.png"]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_matplotlib_missing_is_refused_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(canvas, "find_spec", lambda _: None)
    with pytest.raises(BadInput, match=r"E063 .*matplotlib.*pip install unisono\[benchmark\]"):
        draw_benchmark([run("unisono", pearson=0.5)], tmp_path)
    assert list(tmp_path.iterdir()) == []
