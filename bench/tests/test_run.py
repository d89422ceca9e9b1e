"""Tests of the benchmark as a whole, with methods whose place is known: ranking, failures, files, resuming."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fixtures import MATCHING, N_CELLS, PREDICTION, fake, write_twins
from unisono_bench import ChoiceError
from unisono_bench.data import Dataset, Protocol
from unisono_bench.records import RunFolder
from unisono_bench.run import Report, benchmark
from unisono_bench.scores import Question

FAKES = (
    fake("unisono", 0.5),
    fake("perfect", 0.0),
    fake("chance", 1000.0),
    fake("crash", 0.0, "crash"),
    fake("nan", 0.0, "nan"),
)


def compare(out: Path, data: Path, methods=FAKES, **options) -> SimpleNamespace:
    said: list[str] = []
    protocol = Protocol("random", options.pop("n_seeds", 2))
    report = benchmark(out, Dataset(data, "batch"), methods, protocol, say=said.append, **options)
    return SimpleNamespace(report=report, said=said)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    found = compare(folder / "out", write_twins(folder / "data.h5mu"))
    return SimpleNamespace(folder=folder, out=folder / "out", **vars(found))


def rows(table) -> dict[str, dict[str, str]]:
    return {row[0].text: dict(zip(table.columns, (cell.text for cell in row), strict=True)) for row in table.rows}


def median(done, method: str, question: Question, metric: str) -> float:
    return float(np.median([run.value(question, metric) for run in done.report.runs if run.method == method]))


def test_a_perfect_method_has_perfect_figures(done):
    assert median(done, "perfect", PREDICTION, "pearson") == pytest.approx(1.0, abs=1e-5)
    assert median(done, "perfect", Question("prediction", "adt", "rna"), "rmse") == pytest.approx(0.0, abs=1e-5)
    for within, depth in ((None, False), ("batch", False), (None, True), ("batch", True)):
        question = MATCHING._replace(within=within, depth=depth)
        assert median(done, "perfect", question, "foscttm") == pytest.approx(0.0)
        assert median(done, "perfect", question, "foscttm_of_posterior") == pytest.approx(0.0)
        assert median(done, "perfect", question, "one_to_one_accuracy") == pytest.approx(1.0)


def test_a_method_at_chance_has_figures_of_chance(done):
    assert abs(median(done, "chance", PREDICTION, "pearson")) < 0.3
    assert 0.3 < median(done, "chance", MATCHING, "foscttm") < 0.7
    assert 0.3 < median(done, "chance", MATCHING, "foscttm_of_posterior") < 0.7


def test_the_ranking_is_right_and_where_unisono_is_outperformed_is_said(done):
    prediction, matching = done.report.overviews
    assert "ahead of unisono in: rna->adt pearson" in rows(prediction)["perfect"]["remark"]
    assert rows(prediction)["unisono"]["remark"].startswith("is outperformed on: rna->adt pearson")
    assert rows(prediction)["chance"]["remark"] == ""
    best = {row[0].text for row in matching.rows if row[matching.columns.index("rna~adt foscttm")].is_best}
    assert best == {"perfect"}


def test_a_crash_and_a_nan_are_rows_with_a_reason(done):
    for table in done.report.overviews:
        assert rows(table)["crash"]["remark"] == "failed (random, seed 0): RuntimeError: no luck"
        assert rows(table)["crash"]["runs"] == "0 of 2"
        assert "not finite" in rows(table)["nan"]["remark"]
    assert "Traceback" in (done.out / "runs" / "crash-random-0.log").read_text()
    assert not (done.out / "runs" / "perfect-random-0.log").exists()


def test_json_and_markdown_agree(done):
    document = json.loads((done.out / "benchmark.json").read_text())
    assert document == done.report.document
    text = (done.out / "benchmark.md").read_text()
    values = [run.value(MATCHING, "foscttm") for run in Report.of(document).runs if run.method == "unisono"]
    entry = f"{np.median(values):.4f} ({min(values):.4f}–{max(values):.4f})"
    line = next(line for line in text.split("## rna~adt\n")[1].splitlines() if line.startswith("| unisono |"))
    assert line.startswith(f"| unisono | 2 | {entry} |")
    assert document["data"]["n_cells"] == N_CELLS
    assert document["data"]["fingerprint"][:12] in text


def test_the_report_of_the_json_is_the_report(done):
    found = Report.of(json.loads((done.out / "benchmark.json").read_text()))
    assert found == done.report
    assert found.markdown == (done.out / "benchmark.md").read_text()


def test_each_score_is_a_row_on_a_line_of_its_own(done):
    lines = (done.out / "benchmark.json").read_text().splitlines()
    row = (
        '{"task": "matching", "source": "rna", "target": "adt", "within": "batch", "depth": true, "metric": "foscttm", '
    )
    assert sum(line.strip().startswith(row) for line in lines) == 6


def test_each_run_is_a_file_with_costs_and_the_sizes_of_its_split(done):
    files = sorted(path.name for path in (done.out / "runs").glob("*.json"))
    assert files == sorted(f"{method.name}-random-{seed}.json" for method in FAKES for seed in (0, 1))
    run = json.loads((done.out / "runs" / "perfect-random-1.json").read_text())
    assert (run["n_training"], run["n_test"]) == (43, 10)
    assert run["costs"]["total"]["seconds"] == pytest.approx(
        run["costs"]["fit"]["seconds"] + run["costs"]["answer"]["seconds"]
    )
    assert 2**24 < run["costs"]["peak_bytes"] < 2**32


def test_runs_that_ended_well_are_not_repeated_and_failed_ones_are(done):
    before = (done.out / "runs" / "perfect-random-0.json").stat().st_mtime_ns
    again = compare(done.out, done.folder / "data.h5mu", n_seeds=1)
    assert [line.split("] ")[1] for line in again.said[:3]] == [
        f"{name}, random, seed 0: there already" for name in ("unisono", "perfect", "chance")
    ]
    assert "failed: RuntimeError: no luck" in again.said[3]
    assert (done.out / "runs" / "perfect-random-0.json").stat().st_mtime_ns == before


def test_a_run_is_repeated_when_data_or_settings_changed_or_it_is_forced(tmp_path):
    data, out = write_twins(tmp_path / "data.h5mu"), tmp_path / "out"

    def is_repeated(**options) -> bool:
        method = fake("perfect", 0.0, settings=options.pop("settings", ""))
        return "there already" not in compare(out, data, [method], n_seeds=1, **options).said[0]

    assert [is_repeated(), is_repeated(), is_repeated(force=True)] == [True, False, True]
    assert [is_repeated(settings="other"), is_repeated(settings="other")] == [True, False]
    write_twins(data, seed=1)
    assert [is_repeated(settings="other"), is_repeated(settings="other")] == [True, False]


def test_a_damaged_file_of_a_run_is_no_run(tmp_path):
    store = RunFolder(tmp_path)
    store.path("a", "random", 0).write_text('{"method": "a"')
    assert store.find("a", "random", 0, "key") is None


def test_two_names_never_share_a_file(tmp_path):
    store = RunFolder(tmp_path)
    names = ("a b", "a_b", "a/b", "../a", "a" * 80, "a" * 81)
    places = [store.path("m", name, 0) for name in names]
    assert len(set(places)) == len(names)
    assert {place.parent for place in places} == {tmp_path}


def test_a_folder_that_holds_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ChoiceError, match="holds other things and no benchmark"):
        compare(tmp_path, tmp_path / "data.h5mu")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
