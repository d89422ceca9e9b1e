"""Every Python block of the README and the guides runs, and every example of a docstring gives what it shows."""

from __future__ import annotations

import doctest
import re
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from io_fixtures import write_tenx_hdf5
from model_fixtures import TINY
from scipy import sparse

import unisono
from unisono import config, modalities

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = Path(unisono.__file__).parent

QUICK = {"n_members": 1, "max_epochs": 2, "n_codes": 8, "refit_below": 0}
"""What presets are here: examples show no figures of a fit."""


def _blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _write_files_of_the_readme(folder: Path) -> None:
    """10x files of RNA, and of RNA and proteins, and two .h5ad of other cells."""
    known = unisono.load("human-blood-cite").fitted.preprocessors["rna"].projection
    blood = np.random.default_rng(0).poisson(3000 * known.fraction, size=(60, len(known.features)))
    cells, types = [f"AAAC{i}-1" for i in range(60)], ["Gene Expression"] * len(known.features)
    file = folder / "filtered_feature_bc_matrix.h5"
    write_tenx_hdf5(file, sparse.csr_matrix(blood.astype(np.int32)), cells, list(known.features), types)
    mdata = unisono.datasets.simulate(n_cells=300, n_genes=120, n_peaks=200, n_proteins=10, seed=2)
    both = [mdata[name][:200] for name in ("rna", "adt")]
    types = ["Gene Expression"] * 120 + ["Antibody Capture"] * 10
    counts = sparse.csr_matrix(sparse.hstack([part.X for part in both])).astype(np.int32)
    names = [name for part in both for name in part.var_names]
    write_tenx_hdf5(folder / "my_cite.h5", counts, list(both[0].obs_names), names, types)
    for name in ("rna", "adt"):
        mdata[name][200:].copy().write_h5ad(folder / f"my_{name}.h5ad")


@pytest.mark.parametrize("name", ["README.md", "docs/user-guide.md", "docs/scale.md"])
def test_every_block_of_a_page_runs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _write_files_of_the_readme(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(modalities, "_SPECS", dict(modalities._SPECS))  # a page registers one
    monkeypatch.setitem(config._PRESETS, "fast", TINY | QUICK)
    monkeypatch.setitem(config._PRESETS, "default", TINY | QUICK)
    blocks = _blocks(_ROOT / name)
    assert blocks, f"{name} has no Python blocks"
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, block in enumerate(blocks):
            exec(compile(block, f"{name}, block {number}", "exec"), names)


def test_every_example_of_a_docstring_gives_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config._PRESETS, "fast", QUICK)
    files = [path for path in sorted(_PACKAGE.rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts) for path in files]
    results = {name: doctest.testmod(import_module(name)) for name in names}
    assert sum(result.attempted for result in results.values()) > 0
    assert [name for name, result in results.items() if result.failed] == []


def test_the_readme_names_one_command_to_run_and_one_to_test() -> None:
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^python3 -m venv .*$", text, flags=re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith("unisono demo")
    assert commands[1].endswith("pytest")


def test_every_promise_of_reliability_stands_beside_tests_that_are_there() -> None:
    page = (_ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_[^`]+)`", page))
    files = [path.read_text(encoding="utf-8") for path in (_ROOT / "tests").rglob("test_*.py")]
    assert len(named) > 30
    assert named - set(re.findall(r"^def (test_\w+)", "\n".join(files), flags=re.MULTILINE)) == set()
    promises = re.findall(r"^\| (?!promise|---).*$", page, flags=re.MULTILINE)
    assert [line for line in promises if "`test_" not in line and "the same" not in line] == []
