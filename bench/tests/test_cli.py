"""The commands: run writes scores, tables and pictures, and what cannot be done is one line and exit code 2."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from types import SimpleNamespace

import mudata
import pytest

from fixtures import simulated
from unisono_bench.data import join, to_anndata
from unisono_bench.run import Report

TINY = """
n_members = 2
max_epochs = 2
n_codes = 12
[architecture]
content_dim = 8
style_dim = 3
n_channels = 4
n_tokens = 5
"""


def call(folder, line: str) -> SimpleNamespace:
    command = [sys.executable, "-c", "from unisono_bench.cli import main; main()", *shlex.split(line)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    return SimpleNamespace(code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with cells under unusual names and a config."""
    place = tmp_path_factory.mktemp("command")
    parts = {name: to_anndata(simulated().views[m]) for name, m in (("gene stuff", "rna"), ("tags", "adt"))}
    mdata: mudata.MuData = join(parts)
    mdata.write_h5mu(place / "unusual.h5mu")
    join({"rna": parts["gene stuff"], "adt": parts["tags"]}).write_h5mu(place / "usual.h5mu")
    (place / "tiny.toml").write_text(TINY)
    return place


@pytest.fixture(scope="module")
def compared(folder):
    """How a benchmark ended; run once in a process of its own."""
    options = "--batch-key batch --seeds 1 --methods unisono,mean,ridge,cca --config tiny.toml --device cpu"
    out = shlex.quote(str(folder / "out"))
    return call(folder, f"run unusual.h5mu -o {out} --modalities 'gene stuff=rna,tags=adt' {options}")


def test_run_writes_scores_tables_and_pictures(folder, compared):
    assert compared.code == 0, compared.stderr
    document = json.loads((folder / "out" / "benchmark.json").read_text())
    assert {run["method"]: run["failure"] for run in document["runs"]} == dict.fromkeys(
        ("unisono", "mean", "ridge", "cca")
    )
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"benchmark.json", "benchmark.md", "prediction.png", "matching.png", "runs"}
    assert "[4/4] cca, random, seed 0: " in compared.stderr


def test_run_records_its_command_without_the_folders_of_this_machine(folder, compared):
    command = json.loads((folder / "out" / "benchmark.json").read_text())["command"]
    assert command.startswith("unisono-bench run unusual.h5mu -o out --modalities")
    assert str(folder) not in (folder / "out" / "benchmark.md").read_text()


def test_run_prints_what_it_writes(folder, compared):
    runs = {run.method: run for run in Report.of(json.loads((folder / "out" / "benchmark.json").read_text())).runs}
    titles = {name: {row.question.title for row in run.scores} for name, run in runs.items()}
    settings = ("", " within batch", " with depth", " within batch with depth")
    assert titles["cca"] == {f"rna~adt{setting}" for setting in settings}
    assert titles["mean"] == {"rna->adt", "adt->rna"}
    assert titles["unisono"] == titles["cca"] | titles["mean"]
    printed = [line.split() for line in compared.stdout.splitlines()]
    assert [line[0] for line in printed if line and line[0] in runs] == ["unisono", "mean", "ridge", "unisono", "cca"]
    for method, metric in (("ridge", "pearson"), ("cca", "foscttm_of_posterior")):
        value = next(row.value for row in runs[method].scores if row.metric == metric)
        assert f"{value:.4f}" in compared.stdout
        assert f"{value:.4f}" in (folder / "out" / "benchmark.md").read_text()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run usual.h5mu -o x --methods ridge,rigde", ("--methods", "'rigde'", "kernel-ridge")),
        ("run usual.h5mu -o x --methods mean --split leave-one-batch-out", ("--batch-key",)),
        ("run usual.h5mu -o x --methods mean --batch-key batch --test-batches b9", ("E062", "'b9'", "b1, b2")),
        ("run usual.h5mu -o x --methods mean --preset slow", ("--preset slow",)),
        ("run usual.h5mu -o x --methods mean --seeds 0", ("seeds",)),
        ("run none.h5mu -o x --methods mean", ("none.h5mu: no such file",)),
        ("run unusual.h5mu -o x --methods mean", ("E007", "gene stuff")),
        ("study no-such", ("no study is called 'no-such'", "disentanglement, dogma, few-shot, left-out")),
        ("study trust --data moon", ("does not know the data set 'moon'", "bmmc_cite")),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_2(folder, line, words):
    ended = call(folder, line)
    assert (ended.code, ended.stdout) == (2, "")
    assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
    for word in words:
        assert word in ended.stderr


def test_help_lists_the_commands_and_loads_no_torch(folder):
    code = "import sys; from unisono_bench import cli; print({'torch', 'anndata'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
    ended = call(folder, "--help")
    assert ended.code == 0
    assert all(name in ended.stdout for name in ("run", "study", "overview"))
