"""Tests of running a method: a process in its own environment answers by files, and every fault of it is one line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from published_fixtures import both, cache_with_numpy, fake_method, small_request
from unisono_bench.published import PUBLISHED, run_published
from unisono_bench.published.environment import Failure
from unisono_bench.published.exchange import FORMAT, PredictionRequest, Request, Response

SUMS = """
import numpy as np

def answer(work):
    answers = work.answers()
    for i, asked in enumerate(work.predictions):
        n_features = work.training[asked.target].n_vars
        answers.predictions[i] = np.repeat(np.asarray(asked.cells.X.sum(axis=1)), n_features, axis=1) + work.seed
    for i, asked in enumerate(work.matchings):
        sides = [np.asarray(side.X.sum(axis=1)) for side in (asked.left, asked.right)]
        answers.matchings[i] = (sides[0], sides[1])
    agree = (work.training["rna"].obs_names == work.training["adt"].obs_names).all()
    answers.notes += [f"variant {work.variant}", f"paired {agree}", "again", "again"]
    answers.notes += [",".join(work.genes_of("rna", "adt"))]
    return answers
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return cache_with_numpy(tmp_path_factory.mktemp("cache"))


def asked(tmp_path: Path, cache: Path, code: str, **options) -> Response | Failure:
    return run_published(fake_method(tmp_path / "method", code), small_request(seed=3), cache=cache, **options)


def totals(view) -> np.ndarray:
    return np.asarray(view.counts.sum(axis=1), dtype=np.float32)


def test_a_method_answers_through_its_environment_and_the_files(tmp_path, cache):
    response = asked(tmp_path, cache, SUMS)
    assert isinstance(response, Response), response
    request = small_request(seed=3)
    for values, question in zip(response.predictions, request.predictions, strict=True):
        assert values is not None
        assert values.dtype == np.float32
        assert np.array_equal(values, np.repeat(totals(question.source), values.shape[1], axis=1) + 3)
    vectors = response.matchings[0]
    assert vectors is not None
    assert np.array_equal(vectors.left, totals(request.matchings[0].left))
    assert np.array_equal(vectors.right, totals(request.matchings[0].right))
    assert response.notes == ("variant ", "paired True", "again", "CD3E,CD4,CD8A,CD8B,MS4A1")


def test_time_memory_and_versions_are_those_of_the_method(tmp_path, cache):
    slow = SUMS.replace("def answer(work):", "def answer(work):\n    import time; time.sleep(0.3)")
    ballast = np.ones(2**26)  # 512 MB here must not count as the method's
    response = asked(tmp_path, cache, slow)
    assert isinstance(response, Response)
    assert 0.3 < response.spent.wall_s < 20
    assert 0 <= response.spent.cpu_s < response.spent.wall_s
    assert 20e6 < response.spent.peak_bytes < ballast.nbytes
    assert response.versions["numpy"] == np.__version__
    assert response.versions["no-such-thing"] == "absent"
    assert response.versions["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_variant_reaches_the_script(tmp_path, cache):
    response = run_published(fake_method(tmp_path / "method", SUMS, variant="paired"), small_request(), cache=cache)
    assert isinstance(response, Response)
    assert response.notes[0] == "variant paired"


def test_cells_without_all_modalities_are_no_training_cells_of_a_method(tmp_path, cache):
    cells = both(9, 1, "c")
    lacking = type(cells)({"rna": cells.views["rna"], "adt": cells.views["adt"].take(np.asarray([5, 2, 7]))})
    code = SUMS.replace('f"paired {agree}"', 'str([one.n_obs for one in work.training.values()]), f"paired {agree}"')
    request = Request(lacking, predictions=(PredictionRequest(cells.views["rna"], "adt"),))
    response = run_published(fake_method(tmp_path / "method", code), request, cache=cache)
    assert isinstance(response, Response), response
    assert response.notes[1:3] == ("[3, 3]", "paired True")


def test_a_crash_is_the_last_line_of_its_stderr_and_the_log_is_kept(tmp_path, cache):
    failure = asked(tmp_path, cache, "print('so far so good')\nraise KeyError('no such gene')\n")
    assert isinstance(failure, Failure)
    assert failure.reason == "KeyError: 'no such gene'"
    assert failure.log is not None
    assert failure.log.is_relative_to(cache)
    assert "so far so good" in failure.log.read_text()


def test_a_script_that_gives_up_in_words_is_a_failure_in_those_words(tmp_path, cache):
    failure = asked(tmp_path, cache, "def answer(work):\n    raise SystemExit('no peak is linked to a gene')\n")
    assert isinstance(failure, Failure)
    assert failure.reason == "no peak is linked to a gene"


def test_a_script_that_stops_without_an_answer_is_a_failure(tmp_path, cache):
    failure = asked(tmp_path, cache, "import os\nos._exit(0)\n")
    assert isinstance(failure, Failure)
    assert "response.json" in failure.reason


def test_a_method_that_runs_too_long_is_stopped(tmp_path, cache):
    failure = asked(tmp_path, cache, "import time\ntime.sleep(60)\n", seconds=1)
    assert isinstance(failure, Failure)
    assert failure.reason == "stopped after 1 s"


def test_a_missing_library_is_named(tmp_path, cache):
    failure = asked(tmp_path, cache, "import no_such_library\n")
    assert isinstance(failure, Failure)
    assert failure.reason == "ModuleNotFoundError: No module named 'no_such_library'"


def test_a_script_may_be_called_like_the_library_it_runs(tmp_path, cache):
    method = fake_method(tmp_path / "method", SUMS.replace("import numpy as np", "import anndata.abc, numpy as np"))
    script = method.script.with_name("anndata.py")
    script.write_text(method.script.read_text())
    response = run_published(
        type(method)("x", method.requirements, script, environment="fake"), small_request(), cache=cache
    )
    assert isinstance(response, Response), response


def test_a_failed_installation_is_a_failure_of_the_method(tmp_path):
    method = fake_method(tmp_path / "method", SUMS, requirements="numpy==1\n")
    failure = run_published(method, small_request(), cache=tmp_path / "cache", venv_options=["--without-pip"])
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("not installed: ")
    assert failure.log is not None
    assert failure.log.exists()


def test_the_files_are_kept_where_told(tmp_path, cache):
    asked(tmp_path, cache, SUMS, keep=tmp_path / "kept")
    assert {"request.json", "log.txt", "response.json", "prediction_0.npy"} <= {
        path.name for path in (tmp_path / "kept").iterdir()
    }


def test_every_published_method_has_its_pins_and_its_script():
    for name, method in PUBLISHED.items():
        assert method.name == name
        assert method.says
        pins = [line.split("#")[0].strip() for line in method.requirements.read_text().splitlines()]
        assert [pin for pin in pins if pin and not re.fullmatch(r"[\w.-]+(\[\w+\])?==[\w.]+", pin)] == [], name
        tree = ast.parse(method.script.read_text())
        named = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        named |= {ast.unparse(t) for node in tree.body if isinstance(node, ast.Assign) for t in node.targets}
        assert {"answer", "VERSIONS"} <= named, name


def test_no_script_imports_unisono():
    for path in (Path(next(iter(PUBLISHED.values())).script).parent).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "unisono" for name in names), path.name


def test_the_frame_reads_the_format_that_is_written():
    frame = (next(iter(PUBLISHED.values())).script.parent / "frame.py").read_text()
    assert f"\nFORMAT = {FORMAT}\n" in frame


def test_the_registry_brings_no_heavy_library():
    code = "import sys, unisono_bench.published; print(sorted({'torch', 'anndata', 'scanpy'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
