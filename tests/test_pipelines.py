"""Tests of what carries Unisono into pipelines: each piece as far as it can be checked without its servers."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from shutil import which

import anndata as ad
import numpy as np
import pytest
import yaml
from pipelines_fixtures import (
    COMPONENTS,
    PIPELINES,
    ROOT,
    arguments_of,
    config_of,
    default_parameters,
    functions_of,
    halves,
    inputs_in,
    run_component,
    write_match_modality,
    write_predict_modality,
)
from scipy import sparse

import unisono as un
from unisono.metrics import mean_pearson, rmse

TASKS = ("predict_modality", "match_modality")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULE = PIPELINES / "nextflow" / "unisono" / "predict"
RECIPE = yaml.safe_load((PIPELINES / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
_as_they_are = pytest.mark.filterwarnings(
    "ignore::unisono.messages.InputWarning",  # of small samples and new batches
    "ignore:var_names are not unique:UserWarning",  # mudata, of a gene and a protein of one name
    "ignore:Cannot join columns:UserWarning",
)
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


@pytest.mark.parametrize("task", TASKS)
def test_a_component_has_what_the_checks_of_its_task_ask_of_a_config(task):
    config = config_of(task)
    assert re.fullmatch(r"[a-z_]{1,50}", config["name"])
    for field, most in (("label", 50), ("summary", 400), ("description", 5000)):
        assert len(config[field]) in range(1, most + 1), field
    assert re.match(r"@.*{.*", config["references"]["bibtex"][0])
    for field in ("documentation_url", "repository_url"):
        assert config["info"][field].startswith("https://")
    (nextflow,) = (runner for runner in config["runners"] if runner["type"] == "nextflow")
    for kind in ("time", "mem", "cpu"):
        assert len([label for label in nextflow["directives"]["label"] if label.endswith(kind)]) == 1
    assert [resource["path"] for resource in config["resources"]] == ["script.py"]
    assert (COMPONENTS / task / "script.py").is_file()


@pytest.mark.parametrize("task", TASKS)
def test_a_script_has_the_parameters_of_its_config_and_their_defaults(task):
    arguments, found = arguments_of(task), default_parameters(task)
    assert [f"--{name}" for name in found] == arguments
    for each in config_of(task)["arguments"]:
        if "default" in each:
            assert found[each["name"].lstrip("-")] == each["default"]


def test_a_prediction_is_brought_to_the_scale_of_the_task_by_a_line_for_each_feature():
    line = functions_of("predict_modality")["line_through"]
    own = sparse.random(37, 5, density=0.6, random_state=3, format="csr")
    wanted = sparse.csr_matrix(own.toarray() * [1.0, 2.0, 0.5, 3.0, 1.0] + [0.0, 1.0, -1.0, 0.0, 4.0])
    intercept, slope = line(own, wanted)
    np.testing.assert_allclose(slope, [1.0, 2.0, 0.5, 3.0, 1.0], rtol=1e-9)
    np.testing.assert_allclose(intercept, [0.0, 1.0, -1.0, 0.0, 4.0], atol=1e-9)
    constant = sparse.csr_matrix(np.full((4, 1), 2.0))
    intercept, slope = line(constant, sparse.csr_matrix([[1.0], [2.0], [3.0], [6.0]]))
    np.testing.assert_allclose([intercept[0], slope[0]], [3.0, 0.0])


@pytest.mark.slow
@_as_they_are
@pytest.mark.parametrize(("name", "source", "target"), [("bmmc_cite", "rna", "adt"), ("bmmc_multiome", "atac", "rna")])
def test_predict_modality_passes_the_format_and_scores_as_evaluate_does(tmp_path, name, source, target):
    name = f"{name}.h5mu"
    write_predict_modality(tmp_path, name, source, target)
    output = tmp_path / "output.h5ad"
    inputs = inputs_in(tmp_path, "train_mod1", "train_mod2", "test_mod1")
    run_component("predict_modality", tmp_path, **inputs, output=str(output), preset="fast")
    found, truth = ad.read_h5ad(output), ad.read_h5ad(tmp_path / "test_mod2.h5ad")
    assert found.shape == truth.shape
    assert found.var_names.equals(truth.var_names)
    assert found.uns == {"dataset_id": name, "method_id": "unisono"}
    assert np.isfinite(found.layers["normalized"].data).all()
    training, test = halves(name)
    model = un.fit(training, batch_key="batch", preset="fast", keep_controls=True, progress=False, device="cpu")
    scores = un.evaluate(model, test)
    known = truth.var_names.get_indexer(model.fitted.preprocessors[target].projection.features)
    assert len(known) > 0.9 * truth.n_vars
    sides = truth.layers["normalized"].tocsc()[:, known], found.layers["normalized"].toarray()[:, known]
    assert scores.value(source, target, "pearson") > 0.02
    assert rmse(*sides) == pytest.approx(scores.value(source, target, "rmse"), rel=1e-3)
    assert mean_pearson(*sides) == pytest.approx(scores.value(source, target, "pearson"), abs=1e-3)


@pytest.mark.slow
@_as_they_are
@pytest.mark.parametrize(("name", "left", "right"), [("bmmc_cite", "rna", "adt"), ("bmmc_multiome", "atac", "rna")])
def test_match_modality_passes_the_format_and_scores_as_evaluate_does(tmp_path, name, left, right):
    name = f"{name}.h5mu"
    write_match_modality(tmp_path, name, left, right)
    inputs = inputs_in(tmp_path, "train_mod1", "train_mod2", "train_sol", "test_mod1", "test_mod2")
    output = tmp_path / "output.h5ad"
    run_component("match_modality", tmp_path, **inputs, output=str(output), preset="fast")
    found, solution = ad.read_h5ad(output), ad.read_h5ad(tmp_path / "test_sol.h5ad")
    assert found.uns == {"dataset_id": name, "method_id": "unisono"}
    assert sparse.issparse(found.X)
    assert found.shape == solution.shape
    assert np.diff(found.X.tocsr().indptr).max() <= 1000
    assert found.X.data.min() >= 0
    np.testing.assert_allclose(found.X.sum(axis=1), 1, atol=1e-10)
    scored = found.X.tocsc()[:, np.argsort(solution.uns["pairing_ix"])].diagonal().mean()  # as match_probability does
    training, test = halves(name)
    model = un.fit(training, batch_key="batch", preset="fast", keep_controls=True, progress=False, device="cpu")
    wanted = un.evaluate(model, test).value(left, right, "match_probability", depth=True)
    assert wanted > 1.2 / found.n_obs
    assert scored == pytest.approx(wanted, rel=0.02)


def block_of(process: str, kind: str) -> str:
    """The text of a part of a Nextflow process."""
    found = re.search(rf"^    {kind}:\n(.*?)(?=^    \w+:\n|^}})", process, flags=re.DOTALL | re.MULTILINE)
    assert found is not None, kind
    return found[1]


def test_the_page_of_the_nextflow_module_names_its_inputs_and_outputs():
    process, page = (MODULE / "main.nf").read_text(), yaml.safe_load((MODULE / "meta.yml").read_text())
    inputs = re.findall(r"(?:val|path)\(?\s?\(?(\w+)\)?", block_of(process, "input"))
    named = [next(iter(each)) for entry in page["input"] for each in (entry if isinstance(entry, list) else [entry])]
    assert inputs == named == ["meta", "query", "meta2", "model", "source", "target"]
    assert re.findall(r"emit: (\w+)", block_of(process, "output")) == list(page["output"])
    tested = (MODULE / "tests" / "main.nf.test").read_text()
    assert re.search(r"process (\w+) {", process)[1] == "UNISONO_PREDICT"
    assert 'process "UNISONO_PREDICT"' in tested
    assert max(map(int, re.findall(r"input\[(\d)\]", tested))) + 1 == len(page["input"])


@pytest.mark.slow
def test_the_command_of_the_nextflow_module_runs(tmp_path):
    script = block_of((MODULE / "main.nf").read_text(), "script").split('"""')[1]
    values = {"task.cpus": "1", "which": "human-blood-cite", "query": "query.h5ad", "source": "rna", "target": "adt"}
    values |= {"args": "--interval 0.9", "prefix": "sample"}
    command = re.sub(r"\$\{([\w.]+)\}", lambda found: values[found[1]], script.replace("\\\\\n", "\\\n"))
    write_query(tmp_path / "query.h5ad")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    unisono = tmp_path / "unisono"
    unisono.write_text(f'#!/bin/sh\nexec {sys.executable} -m unisono.cli "$@"\n')
    unisono.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{path}", "PYTHONPATH": ":".join(sys.path)}
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, env=environment, check=True)
    assert {"lower", "upper"} <= set(ad.read_h5ad(tmp_path / "sample.h5ad").layers)


def write_query(path: Path) -> None:
    """Forty cells of RNA that the shipped model reads."""
    known = un.load("human-blood-cite", device="cpu").fitted.preprocessors["rna"].projection
    counts = np.random.default_rng(0).poisson(3000 * known.fraction, size=(40, len(known.features)))
    cells = ad.AnnData(sparse.csr_matrix(counts.astype(np.int32)))
    cells.obs_names, cells.var_names = [f"c{i}" for i in range(40)], list(known.features)
    cells.write_h5ad(path)


class _Named(list):
    """What a rule of Snakemake gives: entries, some of them by name."""

    def __init__(self, *entries, **named):
        super().__init__([*entries, *named.values()])
        self.__dict__.update(named)

    def get(self, name, default=None):
        return self.__dict__.get(name, default)


def run_wrapper(monkeypatch, **rule):
    """The text and the names that the wrapper hands to Snakemake's shell."""
    calls = []
    module = types.ModuleType("snakemake.shell")
    module.shell = calls.append
    monkeypatch.setitem(sys.modules, "snakemake", types.ModuleType("snakemake"))
    monkeypatch.setitem(sys.modules, "snakemake.shell", module)
    job = types.SimpleNamespace(log_fmt_shell=lambda **_: "2> log", threads=2, output=_Named("out.h5ad"), **rule)
    names = {"snakemake": job}
    exec(compile((PIPELINES / "snakemake" / "wrapper.py").read_text(), "wrapper.py", "exec"), names)
    return calls, names


def test_the_snakemake_wrapper_takes_a_folder_before_a_name_and_refuses_other_commands(monkeypatch):
    calls, names = run_wrapper(monkeypatch, input=_Named(query="q.h5ad"), params=_Named(extra="--from rna --to adt"))
    assert (names["command"], names["model"], names["extra"]) == ("predict", "human-blood-cite", "--from rna --to adt")
    assert "unisono {command} {model:q} {snakemake.input.query:q} {extra} -o {snakemake.output[0]:q} {log}" in calls[0]
    _, names = run_wrapper(monkeypatch, input=_Named(query="q", model="m"), params=_Named(command="embed", model="no"))
    assert (names["command"], names["model"]) == ("embed", "m")
    with pytest.raises(ValueError, match="expected predict, match, embed or evaluate"):
        run_wrapper(monkeypatch, input=_Named(query="q"), params=_Named(command="fit; rm"))


@pytest.mark.slow
@pytest.mark.skipif(which("snakemake") is None, reason="snakemake is not installed")
def test_the_snakefile_runs(tmp_path):
    text = (PIPELINES / "snakemake" / "test" / "Snakefile").read_text()
    (tmp_path / "Snakefile").write_text(text.replace("master/bio/unisono", f"file://{PIPELINES}/snakemake"))
    write_query(tmp_path / "sample.h5ad")
    subprocess.run(["snakemake", "--cores", "1", "sample.protein.h5ad"], cwd=tmp_path, check=True)
    assert {"lower", "upper"} <= set(ad.read_h5ad(tmp_path / "sample.protein.h5ad").layers)


def test_the_recipe_asks_for_what_the_project_asks_for():
    run = [entry for entry in RECIPE["requirements"]["run"] if not entry.startswith("python ")]
    parts = [re.fullmatch(r"([\w.-]+?)([<>=].*)", each).groups() for each in PROJECT["dependencies"]]
    assert run == [f"{CONDA_NAMES.get(name, name)} {limits}" for name, limits in parts]
    assert f">={RECIPE['context']['python_min']}" == PROJECT["requires-python"]
    assert RECIPE["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in PROJECT["scripts"].items()]
    assert RECIPE["build"]["noarch"] == "python"
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert RECIPE["about"]["summary"] == PROJECT["description"]


def test_every_piece_names_the_version_of_the_project():
    version = PROJECT["version"]
    assert RECIPE["context"]["version"] == version
    files = [path for path in PIPELINES.rglob("*") if path.is_file() and "README" not in path.name]
    found = {
        (path.name, each)
        for path in files
        for each in re.findall(
            r"(?:unisono(?:\[\w+\])?==|unisono:|unisono-|VERSION=|version = \{)(\d[\w.]*\d)", path.read_text()
        )
    }
    assert {name for name, _ in found} >= {
        "Dockerfile",
        "config.vsh.yaml",
        "environment.yml",
        "environment.yaml",
        "main.nf",
    }
    assert {each for _, each in found} == {version}


def test_the_image_is_pinned_installs_the_wheel_and_runs_as_nobody_special():
    lines = (PIPELINES / "docker" / "Dockerfile").read_text().splitlines()
    assert re.fullmatch(r"FROM python:3\.\d+\.\d+-slim-\w+", next(line for line in lines if line.startswith("FROM")))
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["unisono"]
    assert lines.index("USER unisono") > max(n for n, line in enumerate(lines) if line.startswith("RUN"))
    extras = re.search(r"whl\[([\w,]+)\]", "\n".join(lines))[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])


def test_the_page_says_of_each_piece_what_was_checked_and_what_was_not():
    page = (PIPELINES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`([\w/]+)`\]\(([\w/]+)\) \| (.+) \| (.+) \|$", page, flags=re.MULTILINE)
    assert [row[0] for row in rows] == [
        "open_problems/predict_modality",
        "open_problems/match_modality",
        "nextflow/unisono/predict",
        "snakemake",
        "docker",
        "conda",
    ]
    for name, link, checked, unchecked in rows:
        assert name == link
        assert (PIPELINES / name).is_dir()
        assert min(len(checked), len(unchecked)) > 30
