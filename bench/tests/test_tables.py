"""Tests of the tables: medians and intervals, what is best, who is ahead of Unisono, and what failed."""

from __future__ import annotations

from fixtures import MATCHING, PREDICTION, run, scores
from unisono_bench.tables import (
    Cell,
    ablation_table,
    comparison,
    cost_table,
    markdown,
    overviews,
    score_column,
    score_tables,
)

COLUMNS = [score_column(PREDICTION, name, name) for name in ("pearson", "rmse")]
PEARSON, RMSE = 2, 3


def table(*runs):
    return {row[0].text: row for row in comparison("t", runs, COLUMNS).rows}


def test_an_entry_is_median_and_interval_over_runs():
    rows = table(run("a", 0, pearson=0.5), run("a", 1, pearson=0.1), run("a", 2, pearson=0.25))
    assert rows["a"][PEARSON].text == "0.2500 (0.1000–0.5000)"
    assert rows["a"][1].text == "3"
    assert rows["a"][RMSE] == Cell("–")


def test_a_single_run_has_no_interval():
    assert table(run("a", pearson=0.25))["a"][PEARSON].text == "0.2500"


def test_best_is_the_highest_correlation_and_the_lowest_error():
    rows = table(run("a", pearson=0.5, rmse=1.5), run("b", pearson=0.4, rmse=1.2))
    assert [rows["a"][PEARSON].is_best, rows["b"][PEARSON].is_best] == [True, False]
    assert [rows["a"][RMSE].is_best, rows["b"][RMSE].is_best] == [False, True]


def test_where_unisono_is_outperformed_is_said_and_by_whom():
    rows = table(
        run("unisono", pearson=0.5, rmse=1.5), run("b", pearson=0.4, rmse=1.2), run("c", pearson=0.4, rmse=1.7)
    )
    assert rows["unisono"][-1].text == "is outperformed on: rmse"
    assert rows["b"][-1].text == "ahead of unisono in: rmse"
    assert rows["c"][-1].text == ""


def test_unisono_that_nobody_is_ahead_of_is_best_and_one_alone_is_nothing():
    rows = table(run("unisono", pearson=0.5), run("b", pearson=0.5), run("c"))
    assert rows["unisono"][-1].text == "best in every figure"
    assert table(run("unisono", pearson=0.5))["unisono"][-1].text == ""


def test_a_failed_run_is_a_row_with_its_reason_and_is_not_ranked():
    rows = table(
        run("unisono", 0, pearson=0.5),
        run("unisono", 1, pearson=0.5),
        run("b", 0, pearson=0.9),
        run("b", 1, failure="out of luck"),
        run("c", 0, failure="not installed"),
    )
    assert rows["b"][1].text == "1 of 2"
    assert rows["b"][PEARSON] == Cell("0.9000", is_best=False)
    assert rows["b"][-1].text == "failed (random, seed 1): out of luck"
    assert rows["unisono"][PEARSON].is_best
    assert rows["unisono"][-1].text == ""
    assert [cell.text for cell in rows["c"]] == ["c", "0 of 1", "–", "–", "failed (random, seed 0): not installed"]


def test_a_failed_method_stands_in_every_overview():
    runs = [run("unisono", pearson=0.5), run("b", failure="out of luck")]
    for found in (*overviews(runs), *score_tables(runs), cost_table(runs)):
        assert [row[0].text for row in found.rows] == ["unisono", "b"]


def test_a_method_that_does_not_do_a_task_has_no_row_in_it():
    other = run("b").model_copy(update={"scores": scores(MATCHING, foscttm=0.1)})
    prediction, matching = overviews([run("unisono", pearson=0.5), other])
    assert [row[0].text for row in prediction.rows] == ["unisono"]
    assert [row[0].text for row in matching.rows] == ["b"]


def test_time_and_memory_decide_no_comparison():
    (found,) = overviews([run("unisono", 1, pearson=0.5), run("b", 0, pearson=0.4)])
    assert found.columns == ("method", "runs", "rna->adt pearson", "wall s", "CPU s", "peak GB", "remark")
    assert [cell.text for cell in found.rows[0]] == [
        "unisono",
        "1",
        "0.5000",
        "6.0",
        "2.0",
        "1.00",
        "best in every figure",
    ]
    assert [cell.is_best for cell in found.rows[1][3:5]] == [True, True]
    assert found.rows[1][-1].text == ""


def test_markdown_has_a_line_a_row_and_escapes_what_would_break_it():
    text = markdown([comparison("t", [run("a|b", pearson=0.5), run("c", pearson=0.25)], COLUMNS)])
    lines = text.splitlines()
    assert lines[:2] == ["## t", ""]
    assert lines[2] == "| method | runs | pearson | rmse | remark |"
    assert lines[4:] == ["| a\\|b | 1 | **0.5000** | – |  |", "| c | 1 | 0.2500 | – |  |"]


def test_an_ablation_is_compared_run_by_run():
    runs = [
        *(run("unisono", seed, pearson=p) for seed, p in enumerate((0.5, 0.6, 0.9))),
        *(run("unisono-no-style", seed, pearson=p) for seed, p in enumerate((0.4, 0.4, 0.85))),
        *(run("unisono-no-kl", seed, pearson=p) for seed, p in enumerate((0.6, 0.5, 0.95))),
        run("unisono-one-member", 0, failure="out of luck"),
    ]
    found = {row[0].text: row for row in ablation_table(runs).rows}
    assert found["unisono-no-style"][PEARSON] == Cell("-0.1000 (-0.2000 to -0.0500)", is_best=True)
    assert found["unisono-no-kl"][PEARSON] == Cell("+0.0500 (-0.1000 to +0.1000)", is_best=False)
    assert found["unisono-no-style"][-1].text == ""
    assert found["unisono-no-kl"][-1].text == "better without in: rna->adt pearson"
    assert found["unisono-one-member"][-1].text == "failed: out of luck"
    assert "unisono" not in found


def test_a_difference_too_small_to_print_is_none():
    runs = [run("unisono", pearson=0.5), run("unisono-no-kl", pearson=0.49999)]
    assert ablation_table(runs).rows[0][PEARSON] == Cell("+0.0000", is_best=False)
