"""What stands in for viash, and for files of Open Problems, so that components run as programs; holds no test."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import yaml
from io_fixtures import real
from mudata import MuData
from scipy import sparse

import unisono as un
from unisono.modalities.normalise import clr, log1p_cp10k

ROOT = Path(__file__).resolve().parents[1]
PIPELINES = ROOT / "pipelines"
COMPONENTS = PIPELINES / "open_problems"
TYPES = {"rna": "GEX", "adt": "ADT", "atac": "ATAC"}
TASK_ARGUMENTS = ("--input_train_mod1", "--input_train_mod2", "--input_test_mod1", "--output")
"""Those of the task's `comp_method.yaml`, which predict_modality merges."""


def config_of(task: str) -> dict[str, Any]:
    """The config of a component."""
    return yaml.safe_load((COMPONENTS / task / "config.vsh.yaml").read_text(encoding="utf-8"))


def arguments_of(task: str) -> list[str]:
    """Names of all arguments of a component, those of the merged file among them."""
    config = config_of(task)
    merged = TASK_ARGUMENTS if "__merge__" in config else ()
    return [*merged, *(each["name"] for each in config["arguments"])]


def script_of(task: str) -> str:
    return (COMPONENTS / task / "script.py").read_text(encoding="utf-8")


_BLOCK = re.compile(r"## VIASH START\n(.*?)## VIASH END\n", flags=re.DOTALL)


def default_parameters(task: str) -> dict[str, Any]:
    """The dictionary `par` that stands in the script for use without viash."""
    block = _BLOCK.search(script_of(task))
    assert block is not None
    names: dict[str, Any] = {}
    exec(compile(block[1], f"{task}, par", "exec"), names)
    return names["par"]


def functions_of(task: str) -> dict[str, Any]:
    """The functions of a script, without running it."""
    tree = ast.parse(script_of(task))
    kept = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef))]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), task, "exec"), names)
    return names


def run_component(task: str, folder: Path, **parameters: Any) -> None:
    """Run a script as viash does: its block of parameters replaced by those that are given, over the defaults."""
    defaults = {name: value for name, value in default_parameters(task).items() if not name.startswith("input")}
    par, meta = defaults | parameters, {"name": config_of(task)["name"], "cpus": 1}
    text = _BLOCK.sub(lambda _: f"par = {par!r}\nmeta = {meta!r}\n", script_of(task))
    (folder / "script.py").write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "script.py"], cwd=folder, check=True)


@cache
def halves(name: str) -> tuple[MuData, MuData]:
    """Sample s1d1 to learn from and s1d2 to test on, as the starter files of the tasks are split."""
    mdata = un.read(real(name))
    found = []
    for sample in ("s1d1", "s1d2"):
        parts = {}
        for kind, part in mdata.mod.items():
            cells = part[(part.obs["batch"] == sample).to_numpy()].copy()
            parts[kind] = ad.AnnData(
                sparse.csr_matrix(cells.X), obs=cells.obs[["batch"]].astype(str), var=cells.var[[]]
            )
        with mudata.set_options(pull_on_update=False):
            found.append(MuData(parts))
    return found[0], found[1]


def _normalized(counts: sparse.csr_matrix, kind: str) -> sparse.csr_matrix:
    if kind == "adt":
        return clr(counts)
    return log1p_cp10k(counts, np.asarray(counts.sum(axis=1), dtype=np.float64).ravel())


def write_predict_modality(folder: Path, name: str, source: str, target: str) -> None:
    """train_mod1, train_mod2, test_mod1 and test_mod2 in the format of the task predict_modality."""
    for which, mdata in zip(("train", "test"), halves(name), strict=True):
        for number, kind in (("mod1", source), ("mod2", target)):
            part = mdata[kind]
            counts = sparse.csr_matrix(part.X)
            table = ad.AnnData(
                layers={"counts": counts.astype(np.int32), "normalized": _normalized(counts, kind)},
                obs=mdata[source].obs[["batch"]].assign(size_factors=1.0),
                var=pd.DataFrame({"hvg": True, "hvg_score": 1.0}, index=part.var_names),
                uns={"dataset_id": name, "modality": TYPES[kind], "normalization_id": "log_cp10k"},
            )
            table.write_h5ad(folder / f"{which}_{number}.h5ad")


def write_match_modality(folder: Path, name: str, left: str, right: str) -> None:
    """train and test mod1, mod2 and sol in the format of the task match_modality: the right side shuffled, unnamed."""
    for which, mdata in zip(("train", "test"), halves(name), strict=True):
        order = np.random.default_rng(7).permutation(mdata[left].n_obs)
        one, other = mdata[left].copy(), mdata[right][order].copy()
        other.obs = pd.DataFrame({"size_factors": 1.0}, index=[f"cell_{i}" for i in range(len(order))])
        for number, kind, table in (("mod1", left, one), ("mod2", right, other)):
            table.var["feature_types"] = TYPES[kind]
            table.uns["dataset_id"] = name
            table.write_h5ad(folder / f"{which}_{number}.h5ad")
        pairing = sparse.csr_matrix((np.ones(len(order)), (np.arange(len(order)), np.argsort(order))))
        uns = {"dataset_id": name, "pairing_ix": order}
        ad.AnnData(pairing, obs=one.obs[["batch"]], uns=uns).write_h5ad(folder / f"{which}_sol.h5ad")


def inputs_in(folder: Path, *names: str) -> dict[str, str]:
    return {f"input_{name}": str(folder / f"{name}.h5ad") for name in names}
